// SPDX-License-Identifier: GPL-2.0

//! Which version of a function does this task run, while that is not the same for all?
//!
//! Called by the shell in `shim/handler.c`, which has found the function, in any context, with
//! preemption disabled. Nothing here may sleep, allocate, lock, print, panic or call a function
//! that can be traced. Rust code itself is not instrumented; the C helpers behind the kernel's
//! atomics and barriers are, so plain volatile reads are used and the barriers stay in the shell.

use crate::model::{
    choice::{
        self,
        Stacked, //
    },
    phase::PatchState, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// A version that the handler found on the stack of a function.
///
/// # Invariants
///
/// Points to a version that was reachable after preemption was disabled, which keeps it allocated
/// until preemption is enabled again.
#[derive(Clone, Copy)]
struct Seen(NonNull<bindings::klp_version>);

impl Stacked for Seen {
    #[inline(always)]
    fn in_transition(self) -> bool {
        // SAFETY: The version is allocated by the type invariants. The byte that is read only ever
        // is 0 or 1, so it is a `bool`.
        unsafe { ptr::read_volatile(&raw const (*self.0.as_ptr()).transition) }
    }

    #[inline(always)]
    fn below(self) -> Option<Self> {
        // SAFETY: The version is allocated by the type invariants; a pointer is read, whatever it
        // is.
        let below = unsafe { ptr::read_volatile(&raw const (*self.0.as_ptr()).below) };

        // INVARIANT: A version that is on a stack only points to versions on the same stack.
        NonNull::new(below).map(Seen)
    }
}

/// Chooses the version for a task in `patch_state` when `top` is in transition; null stands for
/// the original function.
///
/// # Safety
///
/// `top` must have been found by `klp_find_call()` since preemption was last disabled, and not be
/// null.
#[export]
pub(crate) unsafe extern "C" fn klp_handler_choose(
    top: *mut bindings::klp_version,
    patch_state: c_int,
) -> *mut bindings::klp_version {
    // SAFETY: The caller has found a version, so this is not null.
    let top = unsafe { NonNull::new_unchecked(top) };

    // INVARIANT: `top` was reachable since preemption was disabled, as the caller promises.
    match choice::choose(Seen(top), PatchState::from_raw(patch_state)) {
        Some(Seen(version)) => version.as_ptr(),
        None => ptr::null_mut(),
    }
}
