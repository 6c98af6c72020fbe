// SPDX-License-Identifier: GPL-2.0

//! The four operations: what each of them does to a patch, or why it is refused.

use super::phase::{
    PatchState,
    Phase, //
};

/// How a patch came to be known, and hence for how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registration {
    /// From being enabled until it is disabled.
    OneShot,
    /// From being registered until it is unregistered.
    Registered,
}

/// What someone wants to be done to a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Register,
    /// By `klp_enable_patch()`.
    Enable,
    /// By `1` to the attribute `enabled`, which only knows patches that are there.
    EnableBySysfs,
    /// By `klp_disable_patch()`, or by `0` to the attribute `enabled`.
    Disable,
    Unregister,
}

/// A patch that is known, and what there is around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) registration: Registration,
    pub(crate) phase: Phase,
    /// Whether another patch is in transition.
    pub(crate) other_running: bool,
    /// Whether a patch was enabled after this one and is still in use.
    pub(crate) covered: bool,
}

/// What has to be done for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Make the patch known.
    Admit(Registration),
    /// Start a transition towards this state.
    Start(PatchState),
    /// Reverse the running transition of this very patch.
    Reverse,
    /// Forget the patch.
    Forget,
}

/// Why an operation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no such patch, or none that this can be done to.
    Unknown,
    /// The patch is known already.
    Exists,
    /// The patch is already in the requested state.
    Already,
    /// Another patch is in transition.
    Busy,
    /// Another patch was enabled later: it has to be disabled first.
    Covered,
    /// The patch is enabled or in transition.
    InUse,
}

/// Decides on `operation`; `patch` is `None` for one that is not known.
pub(crate) fn decide(operation: Operation, patch: Option<Known>) -> Result<Decision, Refusal> {
    let Some(patch) = patch else {
        return match operation {
            Operation::Register => Ok(Decision::Admit(Registration::Registered)),
            Operation::Enable => Ok(Decision::Admit(Registration::OneShot)),
            Operation::EnableBySysfs | Operation::Disable | Operation::Unregister => {
                Err(Refusal::Unknown)
            }
        };
    };

    match (operation, patch.phase, patch.registration) {
        (Operation::Register, ..) => Err(Refusal::Exists),

        // To the function, a one-shot patch is a new one each time: it has the name of the old one.
        (Operation::Enable, Phase::Enabling | Phase::Enabled, Registration::OneShot) => {
            Err(Refusal::Exists)
        }
        (Operation::Enable | Operation::EnableBySysfs, phase, registration) => {
            decide_enable(phase, registration, patch.other_running)
        }

        (Operation::Disable, Phase::Disabling | Phase::Disabled, _) => Err(Refusal::Already),
        (Operation::Disable, Phase::Enabling, _) => Ok(Decision::Reverse),
        // Whoever registers patches relies on the order. One-shot patches can always be disabled.
        (Operation::Disable, _, Registration::Registered) if patch.covered => Err(Refusal::Covered),
        (Operation::Disable, ..) if patch.other_running => Err(Refusal::Busy),
        (Operation::Disable, ..) => Ok(Decision::Start(PatchState::Unpatched)),

        (Operation::Unregister, _, Registration::OneShot) => Err(Refusal::Unknown),
        (Operation::Unregister, Phase::Disabled, _) => Ok(Decision::Forget),
        (Operation::Unregister, ..) => Err(Refusal::InUse),
    }
}

fn decide_enable(
    phase: Phase,
    registration: Registration,
    other_running: bool,
) -> Result<Decision, Refusal> {
    match (phase, registration) {
        (Phase::Enabling | Phase::Enabled, _) => Err(Refusal::Already),
        (Phase::Disabling, _) => Ok(Decision::Reverse),
        // This one is on its way out.
        (Phase::Disabled, Registration::OneShot) => Err(Refusal::Unknown),
        (Phase::Disabled, _) if other_running => Err(Refusal::Busy),
        (Phase::Disabled, _) => Ok(Decision::Start(PatchState::Patched)),
    }
}
