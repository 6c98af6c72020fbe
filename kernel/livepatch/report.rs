// SPDX-License-Identifier: GPL-2.0

//! Messages. Their text and order are interface: scripts compare the kernel log.

use crate::{
    model::phase::PatchState,
    ops::AttachError, //
};
use kernel::{
    bindings,
    prelude::*, //
};

fn direction(target: PatchState) -> &'static str {
    match target {
        PatchState::Patched => "patching",
        PatchState::Unpatched => "unpatching",
    }
}

pub(crate) fn initializing(patch: &CStr, target: PatchState) {
    // SAFETY: `patch` is a valid string.
    unsafe { bindings::klp_init_transition(patch.as_char_ptr(), target == PatchState::Patched) };
}

pub(crate) fn starting(patch: &CStr, target: PatchState) {
    pr_notice!("'{}': starting {} transition\n", patch, direction(target));
}

pub(crate) fn completing(patch: &CStr, target: PatchState) {
    // SAFETY: `patch` is a valid string.
    unsafe { bindings::klp_complete_transition(patch.as_char_ptr(), target == PatchState::Patched) };
}

pub(crate) fn complete(patch: &CStr, target: PatchState) {
    pr_notice!("'{}': {} complete\n", patch, direction(target));
}

pub(crate) fn canceling(patch: &CStr) {
    // SAFETY: `patch` is a valid string.
    unsafe { bindings::klp_cancel_transition(patch.as_char_ptr()) };
}

/// The transition towards `target` turns round.
pub(crate) fn reversing(patch: &CStr, target: PatchState) {
    // SAFETY: `patch` is a valid string.
    unsafe { bindings::klp_reverse_transition(patch.as_char_ptr(), target == PatchState::Patched) };
}

/// A batch of functions could not be attached; `func` is the one to blame, if it is one's fault.
pub(crate) fn attach_failed(func: Option<&CStr>, failed: &AttachError) {
    let errno = failed.error.to_errno();

    match func {
        Some(func) if failed.handler_refused => pr_err!(
            "failed to register ftrace handler for function '{}' ({})\n",
            func,
            errno
        ),
        Some(func) => pr_err!(
            "failed to set ftrace filter for function '{}' ({})\n",
            func,
            errno
        ),
        // Each function can be attached by itself, or there is no memory to find out.
        None => pr_err!("failed to attach the functions to ftrace ({})\n", errno),
    }
}
