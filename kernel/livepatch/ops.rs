// SPDX-License-Identifier: GPL-2.0

//! The stacks of versions, one per patched function, and how ftrace gets to them.
//!
//! All patched functions share one `ftrace_ops` (`shim/handler.c`). The handler finds the stack of
//! a function by the address of the call site, in a hash table that is replaced as a whole when
//! functions are patched for the first time. Call sites are attached and left in batches, one pass
//! over ftrace's records for each.

use crate::{
    fault::{
        self,
        Point, //
    },
    model::{
        choice::Stacked,
        ip_table::{
            self,
            Slot, //
        },
        phase::PatchState,
        versions::{
            self,
            OldCode,
            Link, //
        },
    },
    publish::{
        Published,
        Retired,
        Synchronized, //
    },
};
use core::{
    mem,
    ptr, //
};
use kernel::{
    alloc::AllocError,
    bindings,
    error::to_result,
    prelude::*,
    sync::{
        atomic::{
            atomic_load,
            atomic_store,
            Atomic,
            Relaxed,
            Release, //
        },
        Arc, //
    },
    types::Opaque,
};

/// One version of a function: what the handler reads of a patched function.
///
/// Lives in the patch that owns the replacement, at an address that does not change.
///
/// # Invariants
///
/// While it is on a stack, `below` is null or points to the `raw` of another version on that stack.
#[repr(C)]
pub(crate) struct Version {
    /// What the handler reads. Comes first, so that a pointer to it is one to the whole.
    raw: Opaque<bindings::klp_version>,
    /// The size of the replacement in bytes.
    new_size: Atomic<usize>,
}

// SAFETY: Only plain data, changed by atomic stores under `klp_mutex`.
unsafe impl Send for Version {}

// SAFETY: As for `Send`; concurrent readers use single-copy atomic loads.
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
        // SAFETY: The field is valid, and all accesses to it are atomic.
        unsafe { atomic_store(&raw mut (*self.raw.get()).transition, on, Relaxed) };
    }

    /// Is the version being applied or reverted?
    pub(crate) fn in_transition(&self) -> bool {
        // SAFETY: The field is valid, and all accesses to it are atomic.
        unsafe { atomic_load(&raw mut (*self.raw.get()).transition, Relaxed) }
    }

    /// The address of the replacement; 0 for the original function.
    pub(crate) fn new_func(&self) -> usize {
        // SAFETY: The field is valid, and all accesses to it are atomic.
        unsafe { atomic_load(&raw mut (*self.raw.get()).new_func, Relaxed) }
    }

    /// The size of the replacement in bytes; 0 before [`Version::set_new_size`].
    pub(crate) fn new_size(&self) -> usize {
        self.new_size.load(Relaxed)
    }

    pub(crate) fn set_new_size(&self, size: usize) {
        self.new_size.store(size, Relaxed);
    }

    fn below(&self) -> *mut bindings::klp_version {
        // SAFETY: The field is valid, and all accesses to it are atomic.
        unsafe { atomic_load(&raw mut (*self.raw.get()).below, Relaxed) }
    }

    fn set_below(&self, below: *mut bindings::klp_version) {
        // SAFETY: The field is valid, and all accesses to it are atomic.
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
        // INVARIANT: The lock is still held.
        // SAFETY: Null or another version on the stack by the type invariant of `Version`; under
        // `klp_mutex` all of them are allocated, by the contract of `KlpOps::push`. A pointer to
        // `raw` is one to the whole.
        unsafe { self.0.below().cast::<Version>().as_ref() }.map(Entry)
    }
}

/// The stack of one patched function, newest version on top.
pub(crate) struct KlpOps {
    /// The call site as ftrace knows it.
    ip: usize,
    /// Null when no patch of the function is applied.
    top: Atomic<*mut bindings::klp_version>,
    /// Whether calls at `ip` come to the handler.
    attached: Atomic<bool>,
    /// By which `ftrace_ops`, if not by the shared one. Only used under `klp_mutex`.
    alone: Atomic<*mut bindings::ftrace_ops>,
}

// SAFETY: `top` is only dereferenced under the rules of `find` and of `klp_mutex`.
unsafe impl Send for KlpOps {}

// SAFETY: As for `Send`; all fields that change are atomics.
unsafe impl Sync for KlpOps {}

impl KlpOps {
    /// The top of the stack for the ftrace handler: no traceable call, null for an empty stack.
    #[inline(always)]
    pub(crate) fn top_for_handler(&self) -> *mut bindings::klp_version {
        // ORDERING: An address dependency orders the reads of the version's content after this
        // one. Pairs with `PushThenRead` in `KlpOps::push`.
        // SAFETY: The place is valid and only changed by atomic stores.
        unsafe { ptr::read_volatile(self.top.as_ptr()) }
    }

    /// The newest version. Under `klp_mutex`.
    fn top(&self) -> Option<Entry<'_>> {
        // SAFETY: Null or a version on this stack, which is allocated under `klp_mutex` by the
        // contract of `KlpOps::push`. A pointer to `raw` is one to the whole.
        unsafe { self.top.load(Relaxed).cast::<Version>().as_ref() }.map(Entry)
    }

    /// The replacements below `version`, newest first. Under `klp_mutex`.
    pub(crate) fn below<'a>(&'a self, version: &'a Version) -> impl Iterator<Item = &'a Version> {
        versions::older(self.top(), Entry(version))
            .map(|Entry(below)| below)
            .filter(|below| below.new_func() != 0)
    }

    /// What a task leaves that is moved to `target`, while `version` is in transition. Under
    /// `klp_mutex`.
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

    /// Puts `version` on top.
    ///
    /// # Safety
    ///
    /// `version` must be on no stack, and stay allocated until it was taken off by
    /// [`KlpOps::remove`] and `synchronize` was called after that.
    unsafe fn push(&self, version: &Version) {
        version.set_below(self.top.load(Relaxed));
        // ORDERING: `PushThenRead` makes `below`, and the transition flag set earlier, visible
        // before the version itself. Pairs with the address dependency in
        // `KlpOps::top_for_handler`.
        self.top.store(version.raw.get(), Release);
    }

    /// Takes `version` off, wherever it is in the stack.
    ///
    /// Its own `below` stays as it is: a handler that already holds the version goes on from it.
    fn remove(&self, version: &Version) {
        // ORDERING: Each link is written as in `push`: what is below may have got there in the same
        // section of `klp_mutex`. Pairs with the address dependencies in the handler.
        match versions::link_to(self.top(), Entry(version)) {
            Some(Link::Top) => self.top.store(version.below(), Release),
            Some(Link::Above(Entry(above))) => above.set_below(version.below()),
            None => {}
        }
    }

    fn is_empty(&self) -> bool {
        self.top.load(Relaxed).is_null()
    }

    fn is_only(&self, version: &Version) -> bool {
        versions::is_only(self.top(), Entry(version))
    }
}

/// What the handler searches.
struct Table {
    slots: KVVec<Slot<Arc<KlpOps>>>,
}

static TABLE: Published<Table> = Published::empty();

/// Finds the stack for the call site `ip`.
///
/// # Safety
///
/// As for [`Published::read`]: preemption must stay disabled while the result is used.
#[inline(always)]
pub(crate) unsafe fn find<'a>(ip: usize) -> Option<&'a KlpOps> {
    // SAFETY: By the contract of this function.
    let table = unsafe { TABLE.read() }?;

    // `&**` and not `as_ref()` or `clone()`: the reference count is not touched.
    ip_table::find(&table.slots, ip).map(|ops| &**ops)
}

/// A version to apply or to take off, and the call site of the function that it is for.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) ip: usize,
    pub(crate) version: &'a Version,
}

/// Why a batch of functions could not be attached.
pub(crate) struct AttachError {
    /// Index of the function in the batch; `None` if it is not the fault of one of them.
    pub(crate) index: Option<usize>,
    /// Whether ftrace accepted the address and refused the handler.
    pub(crate) handler_refused: bool,
    pub(crate) error: Error,
}

impl From<Error> for AttachError {
    fn from(error: Error) -> Self {
        AttachError {
            index: None,
            handler_refused: false,
            error,
        }
    }
}

impl From<AllocError> for AttachError {
    fn from(error: AllocError) -> Self {
        Error::from(error).into()
    }
}

/// All stacks. Guarded by `klp_mutex` as a part of the registry.
///
/// # Invariants
///
/// `scratch` has room for an element per stack.
pub(crate) struct Ops {
    /// Sorted by call site.
    stacks: KVVec<Arc<KlpOps>>,
    /// Tables that were replaced and that the handler may still be reading.
    retired: KVec<Retired<Table>>,
    /// How many call sites are in the filter of the shared `ftrace_ops`, which is registered if
    /// there are any.
    shared: usize,
    /// Room for the call sites of one batch, so that leaving them takes no memory.
    scratch: KVVec<usize>,
}

impl Ops {
    pub(crate) const fn new() -> Self {
        Ops {
            stacks: KVVec::new(),
            retired: KVec::new(),
            shared: 0,
            scratch: KVVec::new(),
        }
    }

    /// Finds the stack of the function with the call site `ip`.
    ///
    /// The borrow proves that `klp_mutex` is held while the stack is looked at.
    pub(crate) fn get(&self, ip: usize) -> Option<&KlpOps> {
        let at = self.stacks.binary_search_by_key(&ip, |ops| ops.ip).ok()?;
        self.stacks.get(at).map(|ops| &**ops)
    }

    /// Applies all of `sites`, or none.
    ///
    /// The versions are visible to the handler when this returns.
    ///
    /// # Safety
    ///
    /// No version may be on a stack. Each must stay allocated, at its address, until it was taken
    /// off by [`Ops::remove`] and `synchronize` was called after that.
    pub(crate) unsafe fn apply(&mut self, sites: &[Site<'_>]) -> Result<(), AttachError> {
        self.prepare(sites)?;

        for site in sites {
            if let Some(ops) = self.get(site.ip) {
                // SAFETY: By the contract of this function.
                unsafe { ops.push(site.version) };
            }
        }

        // The stack first and then the call site: a call that arrives finds its version.
        self.attach(sites).inspect_err(|_| {
            for site in sites.iter().rev() {
                if let Some(ops) = self.get(site.ip) {
                    ops.remove(site.version);
                }
            }
        })
    }

    /// Takes all of `sites` off and leaves the call sites that have no version any more.
    ///
    /// Cannot fail. The versions may be freed, and [`Ops::collect`] called, after `synchronize`.
    pub(crate) fn remove<'a>(&mut self, sites: impl Iterator<Item = Site<'a>> + Clone) {
        let mut ips = mem::take(&mut self.scratch);

        // The call sites first and then the stacks: while a call can still arrive, it should find
        // the version. One that is late finds an empty stack, which is as good as none.
        ips.clear();
        for site in sites.clone() {
            if let Some(ops) = self.get(site.ip) {
                if ops.is_only(site.version) && ops.attached.load(Relaxed) {
                    // INVARIANT: `scratch` has room for every stack. Should that be wrong, the call
                    // site stays attached to an empty stack, which is harmless.
                    let _ = ips.push_within_capacity(site.ip);
                }
            }
        }
        self.detach(&mut ips);
        self.scratch = ips;

        self.take_off(sites);
        // Left over: stacks on which the patch had two versions.
        self.leave_unused();
    }

    /// Takes all of `sites` off their stacks. As for [`Ops::remove`], except that the call sites
    /// are left by [`Ops::leave_unused`], which has to follow.
    pub(crate) fn take_off<'a>(&mut self, sites: impl Iterator<Item = Site<'a>>) {
        for site in sites {
            if let Some(ops) = self.get(site.ip) {
                ops.remove(site.version);
            }
        }
    }

    /// OldCode the call sites that have no version any more. Cannot fail.
    pub(crate) fn leave_unused(&mut self) {
        let mut ips = mem::take(&mut self.scratch);

        ips.clear();
        for ops in &self.stacks {
            if ops.is_empty() && ops.attached.load(Relaxed) {
                let _ = ips.push_within_capacity(ops.ip);
            }
        }
        self.detach(&mut ips);

        self.scratch = ips;
    }

    /// Frees what no handler can be using any more.
    pub(crate) fn collect(&mut self, proof: &Synchronized) {
        for table in self.retired.drain_all() {
            table.free(proof);
        }
        // Stacks that are not in use are dropped from the table when it is next replaced, except
        // when that takes no memory.
        let unused = |ops: &Arc<KlpOps>| ops.is_empty() && !ops.attached.load(Relaxed);
        if !self.stacks.is_empty() && self.stacks.iter().all(unused) {
            self.stacks.clear();
            let last = TABLE.replace(None);
            if self.retired.push_within_capacity(last).is_err() {
                // `retired` has had room for a table since the first one was published.
                pr_warn!("leaked an empty table of patched functions\n");
            }
        }
    }

    /// Makes a stack for each call site that has none, and lets the handler find it.
    fn prepare(&mut self, sites: &[Site<'_>]) -> Result<(), AllocError> {
        fault::check(Point::MakeStacks).map_err(|_| AllocError)?;
        // Room for this table and for the `None` that ends it, see `collect`.
        self.retired.reserve(2, GFP_KERNEL)?;

        let mut stacks = KVVec::with_capacity(self.stacks.len() + sites.len(), GFP_KERNEL)?;
        for ops in &self.stacks {
            if !ops.is_empty() || ops.attached.load(Relaxed) {
                stacks.push(ops.clone(), GFP_KERNEL)?;
            }
        }
        let known = stacks.len();
        for site in sites {
            let old = stacks.get(..known).and_then(|old| {
                old.binary_search_by_key(&site.ip, |ops: &Arc<KlpOps>| ops.ip)
                    .ok()
            });
            if old.is_none() {
                let ops = Arc::new(
                    KlpOps {
                        ip: site.ip,
                        top: Atomic::new(ptr::null_mut()),
                        attached: Atomic::new(false),
                        alone: Atomic::new(ptr::null_mut()),
                    },
                    GFP_KERNEL,
                )?;
                stacks.push(ops, GFP_KERNEL)?;
            }
        }
        if stacks.len() == known && known == self.stacks.len() {
            return Ok(());
        }
        stacks.sort_unstable_by_key(|ops| ops.ip);
        // One patch may name a function twice.
        let mut last = 0;
        stacks.retain(|ops| mem::replace(&mut last, ops.ip) != ops.ip);

        let size = ip_table::slots_for(stacks.len()).ok_or(AllocError)?;
        let mut slots = KVVec::with_capacity(size, GFP_KERNEL)?;
        for _ in 0..size {
            slots.push(Slot::FREE, GFP_KERNEL)?;
        }
        for ops in &stacks {
            ip_table::insert(&mut slots, ops.ip, ops.clone());
        }
        let table = KBox::new(Table { slots }, GFP_KERNEL)?;

        // INVARIANT: The room is made before the stacks are there.
        let more = stacks.len().saturating_sub(self.scratch.len());
        self.scratch.reserve(more, GFP_KERNEL)?;

        // The old table keeps its stacks alive for handlers that still search it.
        let old = TABLE.replace(Some(table));
        let _ = self.retired.push_within_capacity(old);
        self.stacks = stacks;
        Ok(())
    }

    /// Attaches the call sites that are not attached yet, or none.
    fn attach(&mut self, sites: &[Site<'_>]) -> Result<(), AttachError> {
        let mut shared = KVVec::with_capacity(sites.len(), GFP_KERNEL)?;
        let mut one_by_one = KVVec::with_capacity(sites.len(), GFP_KERNEL)?;
        let mut done = KVVec::with_capacity(sites.len(), GFP_KERNEL)?;

        for site in sites {
            if self
                .get(site.ip)
                .is_some_and(|ops| !ops.attached.load(Relaxed))
            {
                // See klp_shim_attach_alone().
                if self.shared > 0 && has_direct_caller(site.ip) {
                    one_by_one.push(site.ip, GFP_KERNEL)?;
                } else {
                    shared.push(site.ip, GFP_KERNEL)?;
                }
            }
        }
        // One patch may name a function twice.
        for ips in [&mut shared, &mut one_by_one] {
            ips.sort_unstable();
            let mut last = 0;
            ips.retain(|&mut ip| mem::replace(&mut last, ip) != ip);
        }

        let live = self.shared > 0;
        match self.attach_shared(&mut shared) {
            Ok(()) => {
                for &ip in &shared {
                    // Did a direct caller come in between?
                    if live && has_direct_caller(ip) {
                        self.detach(&mut [ip]);
                        let _ = one_by_one.push_within_capacity(ip);
                    } else {
                        let _ = done.push_within_capacity(ip);
                    }
                }
            }
            // ftrace does not say which function it refused: find out. Should it take them all
            // now, all is well.
            Err(_) => {
                for &ip in &shared {
                    let _ = one_by_one.push_within_capacity(ip);
                }
            }
        }
        let result = one_by_one.iter().try_for_each(|&ip| {
            self.attach_one(ip).map_err(|refused| AttachError {
                index: sites.iter().position(|site| site.ip == ip),
                ..refused
            })?;
            let _ = done.push_within_capacity(ip);
            Ok(())
        });
        if result.is_err() {
            self.detach(&mut done);
        }
        result
    }

    /// Adds call sites to the shared filter, and registers the handler with the first of them.
    fn attach_shared(&mut self, ips: &mut [usize]) -> Result<(), AttachError> {
        if ips.is_empty() {
            return Ok(());
        }
        let count = ips.len() as u32;
        let live = self.shared > 0;

        fault::check(Point::SetFilter)?;
        // SAFETY: `ips` has `count` elements. May sleep, as the caller may.
        let filter = to_result(unsafe {
            if live {
                bindings::klp_shim_filter_add(ips.as_mut_ptr(), count)
            } else {
                bindings::klp_shim_filter_set(ips.as_mut_ptr(), count)
            }
        });
        filter.map_err(|error| AttachError {
            index: None,
            // With a live filter this is where another owner of the function is met.
            handler_refused: live && error == EBUSY,
            error,
        })?;

        if !live {
            fault::check(Point::RegisterHandler)?;
            // SAFETY: The ops are not registered, as no call site is attached.
            to_result(unsafe { bindings::klp_shim_register() }).map_err(|error| AttachError {
                index: None,
                handler_refused: true,
                error,
            })?;
        }

        for ops in ips.iter().filter_map(|&ip| self.get(ip)) {
            ops.attached.store(true, Relaxed);
        }
        self.shared += ips.len();
        Ok(())
    }

    /// Attaches one call site, by the shared filter or by an `ftrace_ops` of its own.
    fn attach_one(&mut self, ip: usize) -> Result<(), AttachError> {
        let live = self.shared > 0;

        if live && has_direct_caller(ip) {
            return self.attach_alone(ip);
        }
        self.attach_shared(&mut [ip])?;
        // Did a direct caller come in between?
        if live && has_direct_caller(ip) {
            self.detach(&mut [ip]);
            return self.attach_alone(ip);
        }
        Ok(())
    }

    /// Attaches one call site by an `ftrace_ops` of its own.
    fn attach_alone(&mut self, ip: usize) -> Result<(), AttachError> {
        let refused = |error| AttachError {
            index: None,
            handler_refused: true,
            error,
        };
        let ops = self.get(ip).ok_or(refused(EINVAL))?;
        let mut alone = ptr::null_mut();

        // SAFETY: The result goes to a valid place.
        to_result(unsafe { bindings::klp_shim_attach_alone(ip, &raw mut alone) })
            .map_err(refused)?;
        ops.alone.store(alone, Relaxed);
        ops.attached.store(true, Relaxed);
        Ok(())
    }

    /// OldCode call sites, and unregisters the handler with the last one of the shared filter.
    ///
    /// Cannot fail. Reorders `ips`.
    fn detach(&mut self, ips: &mut [usize]) {
        let mut shared = 0;
        for at in 0..ips.len() {
            let Some(&ip) = ips.get(at) else { break };
            let Some(ops) = self.get(ip) else { continue };
            let alone = ops.alone.load(Relaxed);

            if alone.is_null() {
                ips.swap(at, shared);
                shared += 1;
            } else {
                // SAFETY: The ops were made by `attach_alone` for this call site.
                unsafe { bindings::klp_shim_detach_alone(alone) };
                ops.alone.store(ptr::null_mut(), Relaxed);
            }
            ops.attached.store(false, Relaxed);
        }
        if let Some(ips) = ips.get_mut(..shared) {
            self.detach_shared(ips);
        }
    }

    fn detach_shared(&mut self, ips: &mut [usize]) {
        if ips.is_empty() {
            return;
        }
        let count = ips.len() as u32;

        self.shared -= ips.len();
        let left = loop {
            // SAFETY: The ops are registered, as call sites are attached; `ips` has `count`
            // elements.
            let left = to_result(unsafe {
                if self.shared == 0 {
                    bindings::klp_shim_unregister()
                } else {
                    bindings::klp_shim_filter_remove(ips.as_mut_ptr(), count)
                }
            });
            if left != Err(ENOMEM) {
                break left;
            }
            // ftrace copies the filter to change it. The call sites may be those of a module that
            // goes away, so there is no way but to wait for memory.
            // SAFETY: May sleep.
            unsafe { bindings::msleep(1) };
        };
        if let Err(error) = left {
            // Only if ftrace has shut down after an error of its own.
            pr_err!(
                "failed to leave {} functions ({})\n",
                count,
                error.to_errno()
            );
        }
    }
}

#[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
impl Ops {
    /// What the tests compare: for each stack in use the call site, whether it is attached, and the
    /// replacements from top to bottom.
    pub(crate) fn in_use(
        &self,
    ) -> impl Iterator<Item = (usize, bool, impl Iterator<Item = usize> + '_)> {
        self.stacks
            .iter()
            .filter(|ops| !ops.is_empty() || ops.attached.load(Relaxed))
            .map(|ops| {
                let versions =
                    versions::versions(ops.top()).map(|Entry(version)| version.new_func());
                (ops.ip, ops.attached.load(Relaxed), versions)
            })
    }

    /// How many call sites are in the filter of the shared `ftrace_ops`.
    pub(crate) fn shared(&self) -> usize {
        self.shared
    }
}

/// Does something other than a handler run when the function is called, such as a BPF trampoline?
fn has_direct_caller(ip: usize) -> bool {
    // SAFETY: Any address may be asked for.
    unsafe { bindings::klp_shim_has_direct_caller(ip) }
}
