// SPDX-License-Identifier: GPL-2.0

//! The life of a patch as a state machine.

/// The side that tasks are moved to, and the side that a task is on.
///
/// The values are those of `KLP_TRANSITION_UNPATCHED` and `KLP_TRANSITION_PATCHED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// Tasks run what was there before the patch.
    Unpatched = 0,
    /// Tasks run the patch.
    Patched = 1,
}

impl Target {
    /// The side where tasks start from when they are moved to this one.
    pub(crate) const fn opposite(self) -> Self {
        match self {
            Target::Unpatched => Target::Patched,
            Target::Patched => Target::Unpatched,
        }
    }

    /// Reads a `patch_state`; `None` for `KLP_TRANSITION_IDLE`.
    pub(crate) const fn from_patch_state(state: i32) -> Option<Self> {
        match state {
            0 => Some(Target::Unpatched),
            1 => Some(Target::Patched),
            _ => None,
        }
    }

    /// The value of `patch_state` for this side.
    pub(crate) const fn patch_state(self) -> i32 {
        self as i32
    }
}

/// Where a patch is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Known and not in use.
    Registered = 0,
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
            _ => Phase::Registered,
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

    /// The phase of a patch whose transition towards `target` starts or turns round.
    pub(crate) const fn towards(target: Target) -> Self {
        match target {
            Target::Patched => Phase::Enabling,
            Target::Unpatched => Phase::Disabling,
        }
    }

    /// The phase after a transition towards `target` is complete.
    pub(crate) const fn settled(target: Target) -> Self {
        match target {
            Target::Patched => Phase::Enabled,
            Target::Unpatched => Phase::Registered,
        }
    }
}
