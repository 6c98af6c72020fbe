// SPDX-License-Identifier: GPL-2.0

//! Messages. Their text and order are interface: scripts compare the kernel log.

use crate::{
    func_stacks::AttachError,
    model::phase::PatchState,
    shim::{
        self,
        trace,
        DebugMessage, //
    },
};
use kernel::prelude::*;

/// Warns with a backtrace, and with a message before it if there is one, the first time that this
/// is reached.
macro_rules! warn_once {
    ($($message:tt)*) => {{
        static WARNED: kernel::sync::atomic::AtomicFlag =
            kernel::sync::atomic::AtomicFlag::new(false);

        if !WARNED.xchg(true, kernel::sync::atomic::Relaxed) {
            $crate::report::warn_message!($($message)*);
            kernel::warn_on!(true);
        }
    }};
}
pub(crate) use warn_once;

/// The message of [`warn_once`], if there is one.
macro_rules! warn_message {
    () => {};
    ($($message:tt)+) => {
        kernel::prelude::pr_warn!($($message)+)
    };
}
pub(crate) use warn_message;

fn direction(target: PatchState) -> &'static str {
    match target {
        PatchState::Patched => "patching",
        PatchState::Unpatched => "unpatching",
    }
}

pub(crate) fn initializing(patch: &CStr, target: PatchState) {
    let patching = target == PatchState::Patched;

    shim::debug(patch, DebugMessage::Initializing { patching });
}

pub(crate) fn starting(patch: &CStr, target: PatchState) {
    pr_notice!("'{}': starting {} transition\n", patch, direction(target));
    trace::start(patch, target == PatchState::Patched);
}

pub(crate) fn forcing(patch: &CStr, target: PatchState) {
    pr_warn!("forcing remaining tasks to the patched state\n");
    trace::force(patch, target == PatchState::Patched);
}

pub(crate) fn completing(patch: &CStr, target: PatchState) {
    let patching = target == PatchState::Patched;

    shim::debug(patch, DebugMessage::Completing { patching });
}

pub(crate) fn complete(patch: &CStr, target: PatchState) {
    pr_notice!("'{}': {} complete\n", patch, direction(target));
    trace::complete(patch, target == PatchState::Patched);
}

pub(crate) fn canceling(patch: &CStr) {
    shim::debug(patch, DebugMessage::Canceling);
}

/// The transition towards `target` is being reversed.
pub(crate) fn reversing(patch: &CStr, target: PatchState) {
    let was_patching = target == PatchState::Patched;

    shim::debug(patch, DebugMessage::Reversing { was_patching });
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

/// The patch was applied to the module, which is coming, or it was not.
pub(crate) fn module_come(patch: &CStr, module: &CStr, applied: Result) {
    let errno = applied.map_or_else(Error::to_errno, |()| 0);

    if errno != 0 {
        pr_warn!(
            "patch '{}' failed for module '{}', refusing to load module '{}'\n",
            patch,
            module,
            module
        );
    }
    trace::object(patch, module, true, errno);
}

/// The patch was taken off the module, which goes.
pub(crate) fn module_gone(patch: &CStr, module: &CStr) {
    trace::object(patch, module, false, 0);
}
