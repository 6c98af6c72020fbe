// SPDX-License-Identifier: GPL-2.0

//! The versions of one patched function, as a stack that the handler goes down without a lock.

use super::attach::CallSite;
use crate::model::{
    choice::Stacked,
    phase::PatchState,
    versions::{
        self,
        Link,
        OldCode, //
    },
};
use core::ptr;
use kernel::{
    bindings,
    sync::atomic::{
        atomic_load,
        atomic_store,
        Atomic,
        Relaxed,
        Release, //
    },
    types::Opaque,
};

/// One version of a function: what the handler reads of a patched function.
///
/// Lives in the patch that owns the replacement, at an address that does not change.
///
/// # Invariants
///
/// While it is on a stack, `below` is null or the link to another version on that stack.
#[repr(C)]
pub(crate) struct Version {
    /// What the handler reads. Comes first, so that a pointer to it is one to the whole.
    raw: Opaque<bindings::klp_version>,
    /// The size of the replacement in bytes.
    new_size: Atomic<usize>,
}

// SAFETY: Plain data and a link that is only followed under the rules of `FuncStack`: neither
// belongs to a thread.
unsafe impl Send for Version {}

// SAFETY: Everything in it is accessed by single-copy atomic loads and stores.
unsafe impl Sync for Version {}

impl Version {
    /// A version that is on no stack; `new_func` 0 runs the original function.
    pub(crate) const fn new(new_func: usize) -> Self {
        Version {
            raw: Opaque::new(bindings::klp_version {
                below: ptr::null_mut(),
                new_func,
                transition: false,
            }),
            new_size: Atomic::new(0),
        }
    }

    /// Marks the version as being applied or reverted, or ends that.
    ///
    /// The order against the stacks and the tasks' states is the caller's business.
    pub(crate) fn set_transition(&self, on: bool) {
        // SAFETY: `raw` is a part of `self` and initialized; all accesses to the field are atomic.
        unsafe { atomic_store(&raw mut (*self.raw.get()).transition, on, Relaxed) };
    }

    /// Is the version being applied or reverted?
    pub(crate) fn in_transition(&self) -> bool {
        // SAFETY: `raw` is a part of `self` and initialized; all accesses to the field are atomic.
        unsafe { atomic_load(&raw mut (*self.raw.get()).transition, Relaxed) }
    }

    /// The address of the replacement; 0 for the original function.
    pub(crate) fn new_func(&self) -> usize {
        // SAFETY: `raw` is a part of `self` and initialized; the field never changes.
        unsafe { (*self.raw.get()).new_func }
    }

    /// The size of the replacement in bytes; 0 if that is not known.
    pub(crate) fn new_size(&self) -> usize {
        self.new_size.load(Relaxed)
    }

    pub(crate) fn set_new_size(&self, size: usize) {
        self.new_size.store(size, Relaxed);
    }

    /// What links and the handler hold: a pointer to `raw` that may be used for the whole.
    fn as_link(&self) -> *mut bindings::klp_version {
        ptr::from_ref(self).cast_mut().cast()
    }

    fn below(&self) -> *mut bindings::klp_version {
        // SAFETY: `raw` is a part of `self` and initialized; all accesses to the field are atomic.
        unsafe { atomic_load(&raw mut (*self.raw.get()).below, Relaxed) }
    }

    fn set_below(&self, below: *mut bindings::klp_version) {
        // SAFETY: `raw` is a part of `self` and initialized; all accesses to the field are atomic.
        unsafe { atomic_store(&raw mut (*self.raw.get()).below, below, Release) };
    }
}

/// A version, seen under `klp_mutex`.
///
/// # Invariants
///
/// `klp_mutex` is held as long as there is an entry: it borrows a stack, or a version from one who
/// has the registry.
#[derive(Clone, Copy)]
struct Entry<'a>(&'a Version);

impl<'a> Entry<'a> {
    /// # Safety
    ///
    /// `version` must be null or the link to a version on a stack, and `klp_mutex` must be held
    /// for `'a`.
    unsafe fn from_link(version: *mut bindings::klp_version) -> Option<Self> {
        // INVARIANT: The lock is held, as the caller promises.
        // SAFETY: A version on a stack stays allocated as long as `klp_mutex` is held by those who
        // could take it off: that is the contract of `FuncStack::push`. A link is for the whole of
        // it.
        unsafe { version.cast::<Version>().as_ref() }.map(Entry)
    }
}

/// Two are equal if they are the same.
impl PartialEq for Entry<'_> {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self.0, other.0)
    }
}

impl Stacked for Entry<'_> {
    fn in_transition(self) -> bool {
        self.0.in_transition()
    }

    fn below(self) -> Option<Self> {
        // SAFETY: `below` is null or the `raw` of a version on the same stack by the type
        // invariants of `Version`; the lock is held by those of `Entry`.
        unsafe { Entry::from_link(self.0.below()) }
    }
}

/// The stack of one patched function, newest version on top. Under `klp_mutex`; the handler has a
/// copy of the top.
pub(crate) struct FuncStack {
    pub(super) call_site: CallSite,
    /// Null when no patch of the function is applied.
    top: Atomic<*mut bindings::klp_version>,
}

// SAFETY: `top` is only followed by those who hold `klp_mutex`, on any thread.
unsafe impl Send for FuncStack {}

impl FuncStack {
    /// A stack without versions for the function with the call site `ip`.
    pub(super) const fn new(ip: usize) -> Self {
        FuncStack {
            call_site: CallSite::new(ip),
            top: Atomic::new(ptr::null_mut()),
        }
    }

    /// The call site as ftrace knows it.
    pub(super) fn ip(&self) -> usize {
        self.call_site.ip
    }

    /// The link to the top, for the handler; null for an empty stack.
    pub(super) fn top_link(&self) -> *mut bindings::klp_version {
        self.top.load(Relaxed)
    }

    /// The newest version. Under `klp_mutex`.
    fn top(&self) -> Option<Entry<'_>> {
        // SAFETY: `top` is null or was set by `push` to the `raw` of a version on this stack. Who
        // has a reference to a stack outside of the handler got it from `FuncStacks`, and with it
        // holds `klp_mutex`.
        unsafe { Entry::from_link(self.top.load(Relaxed)) }
    }

    /// Is `version` the newest one? Under `klp_mutex`.
    pub(crate) fn is_top(&self, version: &Version) -> bool {
        self.top() == Some(Entry(version))
    }

    /// The replacements below `version`, newest first. Under `klp_mutex`.
    pub(crate) fn below<'a>(&'a self, version: &'a Version) -> impl Iterator<Item = &'a Version> {
        versions::older(self.top(), Entry(version))
            .map(|Entry(below)| below)
            .filter(|below| below.new_func() != 0)
    }

    /// Finds the code that a task runs before it is moved to `target` and not after, while
    /// `version` is in transition. Under `klp_mutex`.
    pub(crate) fn old_code<'a>(
        &'a self,
        version: &'a Version,
        target: PatchState,
    ) -> OldCode<&'a Version> {
        match versions::old_code(self.top(), Entry(version), target) {
            OldCode::Version(Entry(version)) => OldCode::Version(version),
            OldCode::Original => OldCode::Original,
            OldCode::Nothing => OldCode::Nothing,
        }
    }

    /// Puts `version` on top. The handler has to be told.
    ///
    /// # Safety
    ///
    /// `version` must be on no stack, and stay allocated until it was taken off by
    /// [`FuncStack::remove`] and `synchronize` was called after that.
    pub(super) unsafe fn push(&self, version: &Version) {
        // INVARIANT: `top` is null or a version on this stack, and so is `version` from now on.
        version.set_below(self.top.load(Relaxed));
        self.top.store(version.as_link(), Relaxed);
    }

    /// Takes `version` off, wherever it is in the stack. The handler has to be told.
    ///
    /// Its own `below` stays as it is: a handler that already holds the version goes on from it.
    pub(super) fn remove(&self, version: &Version) {
        // The link from above is written with release, as the handler's copy of the top is: what is
        // below may have got there in the same section of `klp_mutex`.
        match versions::link_to(self.top(), Entry(version)) {
            Some(Link::Top) => self.top.store(version.below(), Relaxed),
            Some(Link::Above(Entry(above))) => above.set_below(version.below()),
            None => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.top.load(Relaxed).is_null()
    }

    /// The replacement that all tasks run; `None` if they run different versions, or the original
    /// function. Under `klp_mutex`.
    pub(super) fn settled(&self) -> Option<usize> {
        let Entry(top) = self.top()?;

        // A nop that is still there may not be jumped to: it stands for the original function,
        // which would jump to itself.
        Some(top.new_func()).filter(|&new_func| new_func != 0 && !top.in_transition())
    }

    pub(super) fn is_only(&self, version: &Version) -> bool {
        versions::is_only(self.top(), Entry(version))
    }

    /// Has the function no version, and no call that comes to the handler?
    pub(super) fn is_unused(&self) -> bool {
        self.is_empty() && !self.call_site.is_attached()
    }

    /// The replacements from top to bottom, nops included. Under `klp_mutex`.
    #[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
    pub(super) fn new_funcs(&self) -> impl Iterator<Item = usize> + '_ {
        versions::versions(self.top()).map(|Entry(version)| version.new_func())
    }
}
