// SPDX-License-Identifier: GPL-2.0

//! What may be read of patches and objects without `klp_mutex`.
//!
//! Written under `klp_mutex`, by the patch and the object. Each field stands for itself: nothing
//! else is ordered by it.

use super::owner::PatchId;
use crate::model::phase::Phase;
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The status of a patch.
pub(crate) struct PatchStatus {
    pub(crate) id: PatchId,
    /// Does the patch replace all others?
    pub(crate) replace: bool,
    phase: Atomic<i32>,
    enabled: Atomic<bool>,
}

impl PatchStatus {
    pub(super) const fn new(id: PatchId, replace: bool) -> Self {
        PatchStatus {
            id,
            replace,
            phase: Atomic::new(Phase::Disabled.encode()),
            enabled: Atomic::new(false),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::decode(self.phase.load(Relaxed))
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase.encode(), Relaxed);
    }

    /// Follows the phase as soon as tasks can move, which is after some callbacks have run.
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    pub(super) fn set_enabled(&self, enabled: bool) {
        self.enabled.store(enabled, Relaxed);
    }
}

/// The status of an object.
pub(crate) struct ObjectStatus {
    patched: Atomic<bool>,
}

impl ObjectStatus {
    pub(super) const fn new() -> Self {
        ObjectStatus {
            patched: Atomic::new(false),
        }
    }

    /// Whether the versions of the object's functions are on their stacks.
    pub(crate) fn is_patched(&self) -> bool {
        self.patched.load(Relaxed)
    }

    pub(super) fn set_patched(&self, patched: bool) {
        self.patched.store(patched, Relaxed);
    }
}

/// The status of a function: that it is there.
pub(crate) struct FuncStatus;
