// SPDX-License-Identifier: GPL-2.0

//! Which version of a patched function does a task run?

use super::phase::PatchState;

/// One version in the stack of a patched function, seen by the ftrace handler.
pub(crate) trait Stacked: Copy {
    /// Is the patch of this version being applied or reverted?
    fn in_transition(self) -> bool;

    /// The version that was current before this one; `None` stands for the original function.
    fn below(self) -> Option<Self>;
}

/// Chooses the version for a task while the patch of `top` is in transition.
///
/// `patch_state` is that of the task, `None` for `KLP_TRANSITION_IDLE`. A patched task runs the
/// newest version. An unpatched one runs the newest version that does not belong to the patch in
/// transition: all of that patch's versions are skipped, since one patch may reach the same
/// function by two symbol names.
///
/// Returns `None` when the task has to run the original function.
///
/// That `top` is in transition has been found out before, and is not looked at again.
#[inline(always)]
pub(crate) fn choose<V: Stacked>(top: V, patch_state: Option<PatchState>) -> Option<V> {
    match patch_state {
        Some(PatchState::Unpatched) => settled(top.below()),
        // An idle state cannot meet a version in transition; the newest version is the answer that
        // needs no history.
        Some(PatchState::Patched) | None => Some(top),
    }
}

/// Returns the newest version at or below `from` whose patch is not in transition.
#[inline(always)]
pub(crate) fn settled<V: Stacked>(mut from: Option<V>) -> Option<V> {
    while let Some(version) = from {
        if !version.in_transition() {
            break;
        }
        from = version.below();
    }
    from
}
