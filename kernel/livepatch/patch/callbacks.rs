// SPDX-License-Identifier: GPL-2.0

//! Calls the callbacks of patches, which run under `klp_mutex`.

use crate::{
    descriptor::{
        Callback,
        ObjectDescriptor, //
    },
    shim, //
};
use core::ptr;
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// The task that is in a callback of a patch; null if none is. Only changed under `klp_mutex`.
static CALLING: Atomic<*mut bindings::task_struct> = Atomic::new(ptr::null_mut());

/// Whether the caller was called by a callback of a patch, and hence under `klp_mutex`.
pub(crate) fn in_callback() -> bool {
    // Nobody else writes the address of the current task.
    CALLING.load(Relaxed) == shim::current().as_ptr()
}

fn calling<R>(callback: impl FnOnce() -> R) -> R {
    CALLING.store(shim::current().as_ptr(), Relaxed);
    let result = callback();
    CALLING.store(ptr::null_mut(), Relaxed);
    result
}

/// Calls the callback before the functions are applied, which may refuse that.
pub(super) fn pre_patch(object: ObjectDescriptor) -> Result {
    let done = match calling(|| object.call_pre_patch()) {
        // Not 0 and no errno is a refusal, too.
        Some(1..) => Err(EINVAL),
        Some(ret) => to_result(ret),
        None => Ok(()),
    };

    object.enable_post_unpatch(done.is_ok());
    done
}

/// Calls the callback after all tasks were moved to the patch.
pub(super) fn post_patch(object: ObjectDescriptor) {
    calling(|| object.call(Callback::PostPatch));
}

/// Calls the callback before tasks are moved away from the patch.
pub(super) fn pre_unpatch(object: ObjectDescriptor) {
    calling(|| object.call(Callback::PreUnpatch));
}

/// Calls the callback after the functions were taken off, if the last [`pre_patch`] had succeeded
/// and [`skip_post_unpatch`] was not called.
pub(super) fn post_unpatch(object: ObjectDescriptor) {
    if object.is_post_unpatch_enabled() {
        calling(|| object.call(Callback::PostUnpatch));
    }
    skip_post_unpatch(object);
}

/// There will be no [`post_unpatch`] for the last [`pre_patch`]: the patch was replaced.
pub(super) fn skip_post_unpatch(object: ObjectDescriptor) {
    object.enable_post_unpatch(false);
}
