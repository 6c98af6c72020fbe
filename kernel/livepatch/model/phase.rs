// SPDX-License-Identifier: GPL-2.0

//! The life of a patch as a state machine.

/// What a task runs during a transition, and what tasks are moved to.
///
/// The values are those of `patch_state` in `struct task_struct`: `KLP_TRANSITION_UNPATCHED` and
/// `KLP_TRANSITION_PATCHED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PatchState {
    /// Tasks run what was there before the patch.
    Unpatched = 0,
    /// Tasks run the patch.
    Patched = 1,
}

impl PatchState {
    /// The state that tasks start from when they are moved to this one.
    pub(crate) const fn opposite(self) -> Self {
        match self {
            PatchState::Unpatched => PatchState::Patched,
            PatchState::Patched => PatchState::Unpatched,
        }
    }

    /// Reads a `patch_state`; `None` for `KLP_TRANSITION_IDLE`.
    pub(crate) const fn from_raw(state: i32) -> Option<Self> {
        match state {
            0 => Some(PatchState::Unpatched),
            1 => Some(PatchState::Patched),
            _ => None,
        }
    }

    /// The value of `patch_state`.
    pub(crate) const fn as_raw(self) -> i32 {
        self as i32
    }
}

/// Where a patch is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Known and not in use.
    Disabled = 0,
    /// Tasks are being moved to the patch.
    Enabling = 1,
    /// Every task runs the patch.
    Enabled = 2,
    /// Tasks are being moved away from the patch.
    Disabling = 3,
}

impl Phase {
    /// Decodes what [`Phase::encode`] made.
    pub(crate) const fn decode(raw: i32) -> Self {
        match raw {
            1 => Phase::Enabling,
            2 => Phase::Enabled,
            3 => Phase::Disabling,
            _ => Phase::Disabled,
        }
    }

    /// Encodes the phase for an atomic.
    pub(crate) const fn encode(self) -> i32 {
        self as i32
    }

    /// What the sysfs attribute `enabled` says: the direction that the patch goes or went.
    pub(crate) const fn is_enabled(self) -> bool {
        matches!(self, Phase::Enabling | Phase::Enabled)
    }

    /// What the sysfs attribute `transition` says.
    pub(crate) const fn in_transition(self) -> bool {
        matches!(self, Phase::Enabling | Phase::Disabling)
    }

    /// The phase of a patch whose transition towards `target` starts or is reversed.
    pub(crate) const fn towards(target: PatchState) -> Self {
        match target {
            PatchState::Patched => Phase::Enabling,
            PatchState::Unpatched => Phase::Disabling,
        }
    }

    /// The phase after a transition towards `target` is complete.
    pub(crate) const fn settled(target: PatchState) -> Self {
        match target {
            PatchState::Patched => Phase::Enabled,
            PatchState::Unpatched => Phase::Disabled,
        }
    }
}
