// SPDX-License-Identifier: GPL-2.0

//! The descriptors in the memory of patch modules: every read and every write of `klp_patch`,
//! `klp_object`, `klp_func` and `klp_state`.
//!
//! They are input. The core reads them when a patch is made known. What it writes later, and the
//! lists that it links, are for C callbacks and for debuggers: the core does not read them, except
//! for `post_unpatch_enabled`. The types here stand for descriptors that are valid, which is what a
//! module promises that calls `klp_register_patch()` or `klp_enable_patch()`: they are as
//! include/linux/livepatch.h says, and stay in place while the module is in memory. The core keeps
//! them only as long as that, see [`klp_module_going`](crate::module).

mod lists;

use crate::model::{
    compatibility::State,
    names, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings,
    ffi::c_void,
    prelude::*,
    sync::atomic::{
        atomic_load,
        atomic_store,
        Relaxed, //
    }, //
};

/// A `klp_patch` whose required fields are there.
///
/// # Invariants
///
/// Points to a valid descriptor in a module that is in memory. `mod`, `objs` and all lists of
/// functions are not null, and every function has a name.
#[derive(Clone, Copy)]
pub(crate) struct PatchDescriptor(NonNull<bindings::klp_patch>);

// SAFETY: The descriptor is memory of a module, which belongs to no thread. What changes in it is
// accessed under `klp_mutex`.
unsafe impl Send for PatchDescriptor {}

impl PatchDescriptor {
    /// Checks that nothing required is null. What is wrong is said in the kernel log.
    ///
    /// # Safety
    ///
    /// `patch` must be null, or point to a `klp_patch` in a module that is in memory. Its pointers
    /// must be null or valid, and its lists must have their ends. None of that may change, and the
    /// result may be used, as long as the module is in memory.
    pub(crate) unsafe fn check(patch: *mut bindings::klp_patch) -> Result<Self> {
        let Some(patch) = NonNull::new(patch) else {
            pr_err!("the patch descriptor is null\n");
            return Err(EINVAL);
        };
        // SAFETY: Not null, so it points to a `klp_patch` by the contract of this function.
        let (module, objects) = unsafe { ((*patch.as_ptr()).mod_, (*patch.as_ptr()).objs) };
        if module.is_null() {
            pr_err!("the patch descriptor has no module\n");
            return Err(EINVAL);
        }

        // INVARIANT: `patch` is valid by the contract of this function and `mod` was just checked.
        // The rest is checked before anybody else gets this.
        let this = PatchDescriptor(patch);
        if objects.is_null() {
            pr_err!("patch '{}' has no list of objects\n", this.name());
            return Err(EINVAL);
        }
        this.objects()
            .try_for_each(|object| object.check(this.name()))?;
        Ok(this)
    }

    /// Whether this is the descriptor at `patch`.
    pub(crate) fn is_at(self, patch: *const bindings::klp_patch) -> bool {
        core::ptr::eq(self.0.as_ptr(), patch)
    }

    pub(crate) fn as_ptr(self) -> *mut bindings::klp_patch {
        self.0.as_ptr()
    }

    /// The module that the patch is in.
    pub(crate) fn module(self) -> NonNull<bindings::module> {
        // SAFETY: The descriptor is valid and `mod` is not null, by the type invariants.
        unsafe { NonNull::new_unchecked((*self.0.as_ptr()).mod_) }
    }

    /// The name of the patch, which is that of its module.
    pub(crate) fn name(&self) -> &CStr {
        // SAFETY: The module is in memory by the type invariants, and the loader has made sure that
        // its name ends within the array.
        unsafe { CStr::from_char_ptr((&raw const (*self.module().as_ptr()).name).cast()) }
    }

    pub(crate) fn is_livepatch_module(self) -> bool {
        // SAFETY: The module is in memory by the type invariants.
        unsafe { (*self.module().as_ptr()).klp }
    }

    /// Has the loader kept the parts of the module's ELF file? It does so before the init function.
    pub(crate) fn has_elf_info(self) -> bool {
        // SAFETY: The module is in memory by the type invariants.
        unsafe { !(*self.module().as_ptr()).klp_info.is_null() }
    }

    pub(crate) fn replaces(self) -> bool {
        // SAFETY: The descriptor is valid by the type invariants.
        unsafe { (*self.0.as_ptr()).replace }
    }

    /// Says whether the patch is enabled. Under `klp_mutex`.
    pub(crate) fn set_enabled(self, enabled: bool) {
        // SAFETY: The descriptor is valid by the type invariants.
        unsafe { atomic_store(&raw mut (*self.0.as_ptr()).enabled, enabled, Relaxed) };
    }

    /// Says that the patch was removed by force. Under `klp_mutex`.
    pub(crate) fn set_forced(self) {
        // SAFETY: The descriptor is valid by the type invariants.
        unsafe { atomic_store(&raw mut (*self.0.as_ptr()).forced, true, Relaxed) };
    }

    /// Says that the patch is in transition, or that none is any more. Under `klp_mutex`.
    pub(crate) fn set_in_transition(self, on: bool) {
        let patch = if on { self.as_ptr() } else { ptr::null_mut() };

        // SAFETY: The variable is static, and only accessed here.
        unsafe { atomic_store(&raw mut bindings::klp_transition_patch, patch, Relaxed) };
    }

    pub(crate) fn objects(self) -> impl Iterator<Item = ObjectDescriptor> {
        // SAFETY: The descriptor is valid by the type invariants, and its list of objects ends with
        // an entry that has neither functions nor a name.
        let objects = unsafe {
            entries((*self.0.as_ptr()).objs, |object| {
                (*object).funcs.is_null() && (*object).name.is_null()
            })
        };

        // INVARIANT: An entry of a valid list, and not its end.
        objects.map(ObjectDescriptor)
    }

    pub(crate) fn states(self) -> impl Iterator<Item = StateDescriptor> {
        // SAFETY: The descriptor, with its list of states, is valid by the type invariants.
        unsafe { states(self.0.as_ptr()) }
    }
}

/// A `klp_object`.
///
/// # Invariants
///
/// Points to a valid entry of a list of objects, not to its end, in a module that is in memory.
#[derive(Clone, Copy)]
pub(crate) struct ObjectDescriptor(NonNull<bindings::klp_object>);

// SAFETY: The entry is memory of a module, which belongs to no thread. What changes in it is
// accessed under `klp_mutex`.
unsafe impl Send for ObjectDescriptor {}

/// A callback that cannot refuse.
#[derive(Clone, Copy)]
pub(crate) enum Callback {
    PostPatch,
    PreUnpatch,
    PostUnpatch,
}

impl ObjectDescriptor {
    fn check(self, patch: &CStr) -> Result {
        // SAFETY: The entry is valid by the type invariants.
        let error = if unsafe { (*self.0.as_ptr()).funcs }.is_null() {
            c"has no list of functions"
        } else if self.funcs().any(|func| func.name().is_none()) {
            c"has a function without a name"
        } else {
            return Ok(());
        };
        pr_err!("patch '{}': object '{}' {}\n", patch, self.label(), error);
        Err(EINVAL)
    }

    /// The name of the module; `None` for vmlinux.
    pub(crate) fn name(&self) -> Option<&CStr> {
        // SAFETY: The entry is valid by the type invariants, so its name is null or a string.
        unsafe {
            let name = (*self.0.as_ptr()).name;
            (!name.is_null()).then(|| CStr::from_char_ptr(name))
        }
    }

    /// The name in sysfs and in messages.
    pub(crate) fn label(&self) -> &CStr {
        names::object_label(self.name())
    }

    /// The functions; none if there is no list.
    pub(crate) fn funcs(self) -> impl Iterator<Item = FuncDescriptor> {
        // SAFETY: The entry is valid by the type invariants, and its list of functions is null or
        // ends with an entry of zeroes.
        let funcs = unsafe {
            entries((*self.0.as_ptr()).funcs, |func| {
                (*func).old_name.is_null() && (*func).new_func.is_null() && (*func).old_sympos == 0
            })
        };

        // INVARIANT: An entry of a valid list, and not its end.
        funcs.map(FuncDescriptor)
    }

    /// Says whether the object is patched. Under `klp_mutex`.
    pub(crate) fn set_patched(self, patched: bool) {
        // SAFETY: The entry is valid by the type invariants.
        unsafe { atomic_store(&raw mut (*self.0.as_ptr()).patched, patched, Relaxed) };
    }

    /// Says which module the object is, null if it is not loaded. Under `klp_mutex`.
    pub(crate) fn set_module(self, module: *mut bindings::module) {
        // SAFETY: The entry is valid by the type invariants.
        unsafe { atomic_store(&raw mut (*self.0.as_ptr()).mod_, module, Relaxed) };
    }

    /// Calls the `pre_patch` callback. `None` if there is none. Under `klp_mutex`.
    pub(crate) fn call_pre_patch(self) -> Option<c_int> {
        // SAFETY: The entry is valid by the type invariants.
        let callback = unsafe { (*self.0.as_ptr()).callbacks.pre_patch }?;

        // SAFETY: A valid descriptor has a callback of this type, which C calls with the object.
        Some(unsafe { callback(self.0.as_ptr()) })
    }

    /// Calls a callback, if there is one. Under `klp_mutex`.
    pub(crate) fn call(self, which: Callback) {
        // SAFETY: The entry is valid by the type invariants.
        let callback = unsafe {
            let callbacks = &raw const (*self.0.as_ptr()).callbacks;
            match which {
                Callback::PostPatch => (*callbacks).post_patch,
                Callback::PreUnpatch => (*callbacks).pre_unpatch,
                Callback::PostUnpatch => (*callbacks).post_unpatch,
            }
        };
        if let Some(callback) = callback {
            // SAFETY: A valid descriptor has callbacks of this type, which C calls with the object.
            unsafe { callback(self.0.as_ptr()) };
        }
    }

    /// Is the `post_unpatch` callback due? Under `klp_mutex`.
    pub(crate) fn is_post_unpatch_enabled(self) -> bool {
        // SAFETY: The entry is valid by the type invariants.
        unsafe {
            let callbacks = &raw mut (*self.0.as_ptr()).callbacks;
            atomic_load(&raw mut (*callbacks).post_unpatch_enabled, Relaxed)
        }
    }

    /// Says whether the `post_unpatch` callback is due. Under `klp_mutex`.
    pub(crate) fn enable_post_unpatch(self, enabled: bool) {
        // SAFETY: The entry is valid by the type invariants.
        unsafe {
            let callbacks = &raw mut (*self.0.as_ptr()).callbacks;
            atomic_store(&raw mut (*callbacks).post_unpatch_enabled, enabled, Relaxed);
        }
    }
}

/// A `klp_func`.
///
/// # Invariants
///
/// Points to a valid entry of a list of functions, not to its end, in a module that is in memory.
#[derive(Clone, Copy)]
pub(crate) struct FuncDescriptor(NonNull<bindings::klp_func>);

// SAFETY: The entry is memory of a module, which belongs to no thread. What changes in it is
// accessed under `klp_mutex`.
unsafe impl Send for FuncDescriptor {}

impl FuncDescriptor {
    /// The name of the function that is replaced.
    pub(crate) fn name(&self) -> Option<&CStr> {
        // SAFETY: The entry is valid by the type invariants, so its name is null or a string.
        unsafe {
            let name = (*self.0.as_ptr()).old_name;
            (!name.is_null()).then(|| CStr::from_char_ptr(name))
        }
    }

    /// Which of the functions of that name; 0 for the only one.
    pub(crate) fn sympos(self) -> usize {
        // SAFETY: The entry is valid by the type invariants.
        unsafe { (*self.0.as_ptr()).old_sympos }
    }

    /// Equal for two entries of one object that name the same function.
    pub(crate) fn key(&self) -> Option<(&CStr, usize)> {
        self.name().map(|name| names::func_key(name, self.sympos()))
    }

    /// The address of the replacement; 0 if there is none.
    pub(crate) fn new_func(self) -> usize {
        // SAFETY: The entry is valid by the type invariants.
        unsafe { (*self.0.as_ptr()).new_func as usize }
    }

    /// Says where the function is, 0 if that is not known. Under `klp_mutex`.
    pub(crate) fn set_old_func(self, addr: usize) {
        // SAFETY: The entry is valid by the type invariants.
        unsafe {
            atomic_store(
                &raw mut (*self.0.as_ptr()).old_func,
                addr as *mut c_void,
                Relaxed,
            )
        };
    }

    /// Says how large the function and its replacement are, in bytes. Under `klp_mutex`.
    pub(crate) fn set_sizes(self, old_size: usize, new_size: usize) {
        // SAFETY: The entry is valid by the type invariants.
        unsafe {
            atomic_store(&raw mut (*self.0.as_ptr()).old_size, old_size, Relaxed);
            atomic_store(&raw mut (*self.0.as_ptr()).new_size, new_size, Relaxed);
        }
    }

    /// Says whether the replacement is on the function's stack. Under `klp_mutex`.
    pub(crate) fn set_patched(self, patched: bool) {
        // SAFETY: The entry is valid by the type invariants.
        unsafe { atomic_store(&raw mut (*self.0.as_ptr()).patched, patched, Relaxed) };
    }

    /// Says whether the replacement is being applied or reverted. Under `klp_mutex`.
    pub(crate) fn set_transition(self, on: bool) {
        // SAFETY: The entry is valid by the type invariants.
        unsafe { atomic_store(&raw mut (*self.0.as_ptr()).transition, on, Relaxed) };
    }
}

/// A `klp_state`.
///
/// # Invariants
///
/// Points to a valid entry of a list of states, not to its end, in a module that is in memory.
#[derive(Clone, Copy)]
pub(crate) struct StateDescriptor(NonNull<bindings::klp_state>);

// SAFETY: The entry is memory of a module, which belongs to no thread. The core reads what is never
// changed; `data` is the callbacks' business.
unsafe impl Send for StateDescriptor {}

impl StateDescriptor {
    /// The content.
    pub(crate) fn state(self) -> State {
        // SAFETY: The entry is valid by the type invariants.
        unsafe {
            State {
                id: (*self.0.as_ptr()).id,
                version: (*self.0.as_ptr()).version,
            }
        }
    }

    pub(crate) fn as_ptr(self) -> *mut bindings::klp_state {
        self.0.as_ptr()
    }
}

/// The states of a descriptor, in its order.
///
/// # Safety
///
/// `patch` must point to a valid descriptor, which stays while the iterator is used.
pub(crate) unsafe fn states(
    patch: *mut bindings::klp_patch,
) -> impl Iterator<Item = StateDescriptor> {
    // SAFETY: `patch` is valid and stays, as the caller promises, and the list of states of a valid
    // descriptor is null or ends with an id of 0.
    let states = unsafe { entries((*patch).states, |state| (*state).id == 0) };

    // INVARIANT: An entry of a valid list, and not its end.
    states.map(StateDescriptor)
}

/// Walks over a list of C up to its end; null is an empty one.
///
/// # Safety
///
/// `first` must be null, or point to the first entry of a list that ends with one for which
/// `is_end` is true; that is called with each entry up to there, which stays valid. The list must
/// stay, and what `is_end` reads must not change, while the iterator is used.
unsafe fn entries<T>(
    first: *mut T,
    is_end: impl Fn(*mut T) -> bool,
) -> impl Iterator<Item = NonNull<T>> {
    let mut next = first;

    core::iter::from_fn(move || {
        let entry = NonNull::new(next)?;
        if is_end(next) {
            return None;
        }
        // SAFETY: The entry was not the end, and the caller promises that there is one.
        next = unsafe { next.add(1) };
        Some(entry)
    })
}
