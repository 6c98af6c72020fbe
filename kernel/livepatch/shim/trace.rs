// SPDX-License-Identifier: GPL-2.0

//! Tracepoints. What they say, and to whom it is interface: `include/trace/events/livepatch.h`.
//!
//! Any context, as long as RCU is watching.

use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*, //
};

/// Tasks are about to be moved to the patch of this name, or away from it.
pub(crate) fn start(patch: &CStr, patched: bool) {
    // SAFETY: `patch` is a string that ends with its only NUL, and is copied.
    unsafe { bindings::klp_shim_trace_start(patch.as_char_ptr(), patched) };
}

/// The tasks that are left are about to be moved at once.
pub(crate) fn force(patch: &CStr, patched: bool) {
    // SAFETY: `patch` is a string that ends with its only NUL, and is copied.
    unsafe { bindings::klp_shim_trace_force(patch.as_char_ptr(), patched) };
}

/// All tasks have moved, and all callbacks have run.
pub(crate) fn complete(patch: &CStr, patched: bool) {
    // SAFETY: `patch` is a string that ends with its only NUL, and is copied.
    unsafe { bindings::klp_shim_trace_complete(patch.as_char_ptr(), patched) };
}

/// The patch was applied to a module that is coming, or not, with an errno; or taken off one that
/// goes.
pub(crate) fn object(patch: &CStr, object: &CStr, coming: bool, errno: c_int) {
    let (patch, object) = (patch.as_char_ptr(), object.as_char_ptr());

    // SAFETY: Both are strings that end with their only NUL, and are copied.
    unsafe { bindings::klp_shim_trace_object(patch, object, coming, errno) };
}

/// The task has moved, by itself or because its CPU is offline.
///
/// # Safety
///
/// `task` must be valid.
pub(crate) unsafe fn switched(task: NonNull<bindings::task_struct>) {
    // SAFETY: The task is valid, as the caller promises.
    unsafe { bindings::klp_shim_trace_switched(task.as_ptr()) };
}
