// SPDX-License-Identifier: GPL-2.0

//! Shadow variables: data that patches attach to objects of the kernel.
//!
//! A variable is found by the address of its object and a number. Readers take no lock. Writers
//! take one with interrupts off; under it, constructors and destructors run, so that each runs once
//! per variable and nobody else sees a variable that is not ready.

use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings,
    ffi::c_void,
    prelude::*,
    sync::lock::GlobalGuard, //
};

kernel::sync::global_lock! {
    /// Serializes everything that adds or removes variables.
    // SAFETY: `init` is called by a core initcall, before modules can be loaded, and nobody else
    // uses variables.
    unsafe(uninit) static SHADOW_LOCK: SpinLockIrq<()> = ();
}

/// The proof that `SHADOW_LOCK` is held.
type Guard = GlobalGuard<SHADOW_LOCK>;

/// Prepares the lock; generic.c has made the container.
///
/// # Safety
///
/// For an initcall: must be called once, before anything else of this module.
pub(crate) unsafe fn init() {
    // SAFETY: Called once and before any use of the lock, as the caller promises.
    unsafe { SHADOW_LOCK.init() };
}

/// A variable that is not known to others yet. Dropping it frees the memory.
///
/// # Invariants
///
/// Owns what klp_shim_shadow_alloc() has returned.
struct Unattached(NonNull<bindings::klp_shadow>);

impl Unattached {
    /// Allocates a variable with `size` bytes of zeroes for its data.
    fn new(key: &bindings::klp_shadow_key, size: usize, gfp: bindings::gfp_t) -> Option<Self> {
        // SAFETY: Takes no pointer: the size is checked for overflow, and the flags are the
        // caller's.
        let shadow = NonNull::new(unsafe { bindings::klp_shim_shadow_alloc(size, gfp) })?;

        // SAFETY: The variable was just allocated, zeroed, and nobody else knows it.
        unsafe { (*shadow.as_ptr()).key = *key };
        // INVARIANT: It was just allocated.
        Some(Unattached(shadow))
    }

    /// Lets others find the variable.
    ///
    /// The caller has made sure that there is no variable with the same key.
    fn attach(self, _guard: &Guard) -> *mut c_void {
        // SAFETY: The variable is owned by the type invariants, so it is in no container; `_guard`
        // shows that the lock of the container is held.
        unsafe { bindings::klp_shim_shadow_insert(self.0.as_ptr()) };
        let data = data_of(self.0);
        // It belongs to the container now.
        core::mem::forget(self);
        data
    }
}

impl Drop for Unattached {
    fn drop(&mut self) {
        // SAFETY: The variable is owned by the type invariants, and was never in the container, as
        // `attach` would have forgotten `self`.
        unsafe { bindings::klp_shim_shadow_free(self.0.as_ptr()) };
    }
}

fn data_of(shadow: NonNull<bindings::klp_shadow>) -> *mut c_void {
    // The data follow the header in the same allocation, as shadow.c asserts.
    shadow.as_ptr().wrapping_add(1).cast()
}

fn find(key: &bindings::klp_shadow_key) -> Option<NonNull<bindings::klp_shadow>> {
    // SAFETY: `key` is borrowed for the time of the call, and only read; RCU guards the walk.
    NonNull::new(unsafe { bindings::klp_shim_shadow_find(key) })
}

/// Takes a variable away from those who have not found it yet.
///
/// # Safety
///
/// `shadow` must be in the container, and `dtor` a destructor for it.
unsafe fn detach(
    shadow: NonNull<bindings::klp_shadow>,
    dtor: bindings::klp_shadow_dtor_t,
    _guard: &Guard,
) {
    // SAFETY: `shadow` is in the container and `dtor` is for it, as the caller promises; `_guard`
    // shows that the lock is held. RCU keeps the memory for readers.
    unsafe {
        bindings::klp_shim_shadow_remove(shadow.as_ptr());
        if let Some(dtor) = dtor {
            dtor((*shadow.as_ptr()).key.obj, data_of(shadow));
        }
        bindings::klp_shim_shadow_free_rcu(shadow.as_ptr());
    }
}

/// A variable that others can find: its data.
enum Attached {
    /// It was made.
    New(*mut c_void),
    /// It was there already.
    Old(*mut c_void),
}

/// Finds the variable, or makes it; `None` if that fails.
///
/// # Safety
///
/// `ctor` must be a constructor for a variable of `size` bytes.
unsafe fn find_or_attach(
    key: &bindings::klp_shadow_key,
    size: usize,
    gfp: bindings::gfp_t,
    ctor: bindings::klp_shadow_ctor_t,
    ctor_data: *mut c_void,
) -> Option<Attached> {
    if let Some(old) = find(key) {
        return Some(Attached::Old(data_of(old)));
    }
    // Before the lock is taken: this may sleep if `gfp` says so.
    let new = Unattached::new(key, size, gfp)?;

    let guard = SHADOW_LOCK.lock();
    if let Some(old) = find(key) {
        return Some(Attached::Old(data_of(old)));
    }
    if let Some(ctor) = ctor {
        // SAFETY: `ctor` is for a variable of `size` bytes, as the caller promises, which is what
        // `new` has; nobody else knows it.
        let err = unsafe { ctor(key.obj, data_of(new.0), ctor_data) };
        if err != 0 {
            drop(guard);
            // SAFETY: `key` is borrowed for the time of the call, and only printed.
            unsafe { bindings::klp_shim_shadow_failed(key, err) };
            return None;
        }
    }
    Some(Attached::New(new.attach(&guard)))
}

/// Returns the data of the variable `id` of `obj`; null if there is none.
///
/// Any context. `obj` is not accessed. Whoever may free the variable has to be kept from that while
/// it is used.
#[export]
pub(crate) extern "C" fn klp_shadow_get(obj: *mut c_void, id: usize) -> *mut c_void {
    find(&bindings::klp_shadow_key { obj, id }).map_or(ptr::null_mut(), data_of)
}

/// Makes the variable `id` of `obj` and returns its data.
///
/// Null, with a warning, if it exists; null if there is no memory or `ctor` fails. Sleeps only if
/// `gfp_flags` allow that; `ctor` runs with interrupts off and must not make or free shadow
/// variables.
///
/// # Safety
///
/// `ctor` must be a constructor for a variable of `size` bytes.
#[export]
pub(crate) unsafe extern "C" fn klp_shadow_alloc(
    obj: *mut c_void,
    id: usize,
    size: usize,
    gfp_flags: bindings::gfp_t,
    ctor: bindings::klp_shadow_ctor_t,
    ctor_data: *mut c_void,
) -> *mut c_void {
    let key = bindings::klp_shadow_key { obj, id };

    // SAFETY: `ctor` is for a variable of `size` bytes, as the caller promises.
    match unsafe { find_or_attach(&key, size, gfp_flags, ctor, ctor_data) } {
        Some(Attached::New(data)) => data,
        Some(Attached::Old(_)) => {
            // SAFETY: `key` is borrowed for the time of the call, and only printed.
            unsafe { bindings::klp_shim_shadow_duplicate(&key) };
            ptr::null_mut()
        }
        None => ptr::null_mut(),
    }
}

/// Like [`klp_shadow_alloc`], and returns the data of a variable that exists.
///
/// # Safety
///
/// As for [`klp_shadow_alloc`].
#[export]
pub(crate) unsafe extern "C" fn klp_shadow_get_or_alloc(
    obj: *mut c_void,
    id: usize,
    size: usize,
    gfp_flags: bindings::gfp_t,
    ctor: bindings::klp_shadow_ctor_t,
    ctor_data: *mut c_void,
) -> *mut c_void {
    let key = bindings::klp_shadow_key { obj, id };

    // SAFETY: `ctor` is for a variable of `size` bytes, as the caller promises.
    match unsafe { find_or_attach(&key, size, gfp_flags, ctor, ctor_data) } {
        Some(Attached::New(data) | Attached::Old(data)) => data,
        None => ptr::null_mut(),
    }
}

/// Frees the variable `id` of `obj`, if there is one, after `dtor` has run.
///
/// Any context but NMI; `dtor` runs with interrupts off and must not make or free shadow
/// variables.
///
/// # Safety
///
/// `dtor` must be a destructor for the variable.
#[export]
pub(crate) unsafe extern "C" fn klp_shadow_free(
    obj: *mut c_void,
    id: usize,
    dtor: bindings::klp_shadow_dtor_t,
) {
    let guard = SHADOW_LOCK.lock();

    if let Some(shadow) = find(&bindings::klp_shadow_key { obj, id }) {
        // SAFETY: The variable was found in the container under the lock, which keeps it there;
        // `dtor` is for it, as the caller promises.
        unsafe { detach(shadow, dtor, &guard) };
    }
}

/// Frees the variables `id` of all objects, each after `dtor` has run.
///
/// As for [`klp_shadow_free`].
///
/// # Safety
///
/// `dtor` must be a destructor for the variables.
#[export]
pub(crate) unsafe extern "C" fn klp_shadow_free_all(id: usize, dtor: bindings::klp_shadow_dtor_t) {
    let guard = SHADOW_LOCK.lock();

    // SAFETY: Null asks for the first variable; the lock of the container is held.
    let mut next = NonNull::new(unsafe { bindings::klp_shim_shadow_next(ptr::null_mut()) });
    while let Some(shadow) = next {
        // SAFETY: `shadow` came from the list, and stays in it until it is detached: the lock is
        // held. `dtor` is for the variables with this number, as the caller promises.
        unsafe {
            next = NonNull::new(bindings::klp_shim_shadow_next(shadow.as_ptr()));
            if (*shadow.as_ptr()).key.id == id {
                detach(shadow, dtor, &guard);
            }
        }
    }
}
