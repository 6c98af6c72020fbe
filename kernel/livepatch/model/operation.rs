// SPDX-License-Identifier: GPL-2.0

//! The four operations: what each of them does to a patch, or why it is refused.

use super::phase::{
    Phase,
    Target, //
};

/// How long a patch is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// From being enabled until it is disabled.
    OneShot,
    /// From being registered until it is unregistered.
    Registered,
}

/// What someone wants to be done to a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Register,
    Enable,
    Disable,
    Unregister,
}

/// A patch that is known, and what there is around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) lifetime: Lifetime,
    pub(crate) phase: Phase,
    /// Whether another patch is in transition.
    pub(crate) other_running: bool,
    /// Whether a patch was enabled after this one and is still in use.
    pub(crate) covered: bool,
}

/// What has to be done for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make the patch known.
    Admit(Lifetime),
    /// Start a transition towards this side.
    Start(Target),
    /// Turn the running transition of this very patch round.
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
pub(crate) fn decide(operation: Operation, patch: Option<Known>) -> Result<Step, Refusal> {
    let Some(patch) = patch else {
        return match operation {
            Operation::Register => Ok(Step::Admit(Lifetime::Registered)),
            Operation::Enable => Ok(Step::Admit(Lifetime::OneShot)),
            Operation::Disable | Operation::Unregister => Err(Refusal::Unknown),
        };
    };

    match (operation, patch.phase, patch.lifetime) {
        (Operation::Register, ..) => Err(Refusal::Exists),

        (Operation::Enable, Phase::Enabling | Phase::Enabled, _) => Err(Refusal::Already),
        (Operation::Enable, Phase::Disabling, _) => Ok(Step::Reverse),
        // This one is on its way out.
        (Operation::Enable, Phase::Registered, Lifetime::OneShot) => Err(Refusal::Unknown),
        (Operation::Enable, Phase::Registered, _) if patch.other_running => Err(Refusal::Busy),
        (Operation::Enable, Phase::Registered, _) => Ok(Step::Start(Target::Patched)),

        (Operation::Disable, Phase::Disabling | Phase::Registered, _) => Err(Refusal::Already),
        (Operation::Disable, Phase::Enabling, _) => Ok(Step::Reverse),
        // Whoever registers patches relies on the order. One-shot patches can always be disabled.
        (Operation::Disable, _, Lifetime::Registered) if patch.covered => Err(Refusal::Covered),
        (Operation::Disable, ..) if patch.other_running => Err(Refusal::Busy),
        (Operation::Disable, ..) => Ok(Step::Start(Target::Unpatched)),

        (Operation::Unregister, _, Lifetime::OneShot) => Err(Refusal::Unknown),
        (Operation::Unregister, Phase::Registered, _) => Ok(Step::Forget),
        (Operation::Unregister, ..) => Err(Refusal::InUse),
    }
}
