// SPDX-License-Identifier: GPL-2.0

//! The operations.

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_operation))]
mod cases {
    use crate::model::{
        operation::{
            decide,
            Decision,
            Known,
            Operation,
            Refusal,
            Registration, //
        },
        phase::{
            PatchState,
            Phase, //
        },
    };

    type Answer = Result<Decision, Refusal>;

    const APPLY: Answer = Ok(Decision::Start(PatchState::Patched));
    const REVERT: Answer = Ok(Decision::Start(PatchState::Unpatched));
    const REVERSE: Answer = Ok(Decision::Reverse);
    const FORGET: Answer = Ok(Decision::Forget);
    const UNKNOWN: Answer = Err(Refusal::Unknown);
    const EXISTS: Answer = Err(Refusal::Exists);
    const ALREADY: Answer = Err(Refusal::Already);
    const BUSY: Answer = Err(Refusal::Busy);
    const COVERED: Answer = Err(Refusal::Covered);
    const IN_USE: Answer = Err(Refusal::InUse);

    /// A patch with nothing around it.
    fn patch(registration: Registration, phase: Phase) -> Known {
        Known {
            registration,
            phase,
            other_running: false,
            covered: false,
        }
    }

    /// Are these the answers for such a patch that is disabled, enabling, enabled, disabling?
    fn answers_are(operation: Operation, registration: Registration, answers: [Answer; 4]) -> bool {
        [
            Phase::Disabled,
            Phase::Enabling,
            Phase::Enabled,
            Phase::Disabling,
        ]
        .map(|phase| decide(operation, Some(patch(registration, phase))))
            == answers
    }

    #[test]
    fn unknown_patch() {
        for (operation, answer) in [
            (
                Operation::Register,
                Ok(Decision::Admit(Registration::Registered)),
            ),
            (
                Operation::Enable,
                Ok(Decision::Admit(Registration::OneShot)),
            ),
            (Operation::EnableBySysfs, UNKNOWN),
            (Operation::Disable, UNKNOWN),
            (Operation::Unregister, UNKNOWN),
        ] {
            assert_eq!(decide(operation, None), answer);
        }
    }

    /// The table of Documentation/livepatch/lifecycle.rst.
    #[test]
    fn registered_patch() {
        for (operation, answers) in [
            (Operation::Register, [EXISTS; 4]),
            (Operation::Enable, [APPLY, ALREADY, ALREADY, REVERSE]),
            (Operation::EnableBySysfs, [APPLY, ALREADY, ALREADY, REVERSE]),
            (Operation::Disable, [ALREADY, REVERSE, REVERT, ALREADY]),
            (Operation::Unregister, [FORGET, IN_USE, IN_USE, IN_USE]),
        ] {
            assert!(answers_are(operation, Registration::Registered, answers));
        }
    }

    /// Once it is disabled, it is not enabled again.
    #[test]
    fn one_shot_patch() {
        for (operation, answers) in [
            (Operation::Register, [EXISTS; 4]),
            (Operation::Enable, [UNKNOWN, EXISTS, EXISTS, REVERSE]),
            (
                Operation::EnableBySysfs,
                [UNKNOWN, ALREADY, ALREADY, REVERSE],
            ),
            (Operation::Disable, [ALREADY, REVERSE, REVERT, ALREADY]),
            (Operation::Unregister, [UNKNOWN; 4]),
        ] {
            assert!(answers_are(operation, Registration::OneShot, answers));
        }
    }

    /// Who starts a transition waits until there is none; who reverses one has his own.
    #[test]
    fn other_transition() {
        for registration in [Registration::Registered, Registration::OneShot] {
            for (operation, phase, answer) in [
                (Operation::Disable, Phase::Enabled, BUSY),
                (Operation::Disable, Phase::Enabling, REVERSE),
                (Operation::Enable, Phase::Disabling, REVERSE),
                (Operation::EnableBySysfs, Phase::Disabling, REVERSE),
            ] {
                let patch = Known {
                    other_running: true,
                    ..patch(registration, phase)
                };

                assert_eq!(decide(operation, Some(patch)), answer);
            }
        }
    }

    #[test]
    fn disabled_patch_and_other_transition() {
        let patch = Known {
            other_running: true,
            ..patch(Registration::Registered, Phase::Disabled)
        };

        assert_eq!(decide(Operation::Enable, Some(patch)), BUSY);
        assert_eq!(decide(Operation::EnableBySysfs, Some(patch)), BUSY);
        assert_eq!(decide(Operation::Unregister, Some(patch)), FORGET);
    }

    #[test]
    fn order_of_disabling() {
        for (registration, other_running, answer) in [
            (Registration::Registered, false, COVERED),
            (Registration::Registered, true, COVERED),
            (Registration::OneShot, false, REVERT),
            (Registration::OneShot, true, BUSY),
        ] {
            let patch = Known {
                other_running,
                covered: true,
                ..patch(registration, Phase::Enabled)
            };

            assert_eq!(decide(Operation::Disable, Some(patch)), answer);
        }
    }
}
