// SPDX-License-Identifier: GPL-2.0

//! Frees patches that are in no use any more.
//!
//! That waits for those who read or write the patch's attributes, and a writer waits for
//! `klp_mutex`: so none of it is done under `klp_mutex`, nor by a writer. What was disabled by a
//! write is freed by a work item, which [`Registry::retire`](crate::registry::Registry::retire)
//! queues; who has to know that it is done when a function returns calls [`release`] itself.

use crate::{
    patch::{
        ModuleId,
        Patch, //
    },
    registry, //
};

/// Frees all patches that are to be freed. For the work item. May sleep.
pub(crate) fn reap() {
    loop {
        // Not in the condition of a loop, which would hold the lock for its body.
        let patch = registry::lock().take_outgoing();

        match patch {
            Some(patch) => release(patch),
            None => return,
        }
    }
}

/// Frees a patch that is neither on a stack nor in a list, and lets its module go.
///
/// May sleep. Must be called without `klp_mutex`, after `Registry::begin_removal`.
pub(crate) fn release(patch: Patch) {
    // The module of a patch that was removed by force stays, and nobody else gets its place.
    if let Some(module) = dismantle(patch) {
        registry::lock().end_removal(module);
    }
}

/// As [`release`], up to where `klp_mutex` is needed, which somebody may hold for long: callbacks
/// run under it. Returns the module that may go now.
pub(crate) fn dismantle(mut patch: Patch) -> Option<ModuleId> {
    // Before the directory goes: who sees that can remove the module at once. klp_module_going()
    // then waits for `end_removal`.
    drop(patch.release_module());
    patch.remove_from_sysfs();
    (!patch.is_forced()).then(|| patch.module())
}
