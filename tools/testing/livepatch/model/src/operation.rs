// SPDX-License-Identifier: GPL-2.0

//! The operations.

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
use proptest::prelude::*;

const OPERATIONS: [Operation; 5] = [
    Operation::Register,
    Operation::Enable,
    Operation::EnableBySysfs,
    Operation::Disable,
    Operation::Unregister,
];
const PHASES: [Phase; 4] = [
    Phase::Disabled,
    Phase::Enabling,
    Phase::Enabled,
    Phase::Disabling,
];
const REGISTRATIONS: [Registration; 2] = [Registration::OneShot, Registration::Registered];

fn known(registration: Registration, phase: Phase, other_running: bool, covered: bool) -> Known {
    Known {
        registration,
        phase,
        other_running,
        covered,
    }
}

/// A patch as the C core sees it.
#[derive(Clone, Copy, Debug)]
struct Upstream {
    enabled: bool,
    /// `patch == klp_transition_patch`
    transition: bool,
}

#[derive(Debug, PartialEq)]
enum Errno {
    Einval,
    Ebusy,
    Eexist,
}

fn errno(refusal: Refusal) -> Errno {
    match refusal {
        Refusal::Unknown | Refusal::Already => Errno::Einval,
        Refusal::Busy | Refusal::Covered | Refusal::InUse => Errno::Ebusy,
        Refusal::Exists => Errno::Eexist,
    }
}

impl Upstream {
    /// The decisions of `enabled_store()` and `__klp_disable_patch()`, and what they change.
    fn enabled_store(&mut self, enabled: bool, other_running: bool) -> Result<(), Errno> {
        if self.enabled == enabled {
            return Err(Errno::Einval);
        }
        if self.transition {
            self.enabled = !self.enabled;
        } else if !enabled {
            if other_running {
                return Err(Errno::Ebusy);
            }
            self.enabled = false;
            self.transition = true;
        } else {
            return Err(Errno::Einval);
        }
        Ok(())
    }
}

/// One event in the life of a one-shot patch.
#[derive(Clone, Copy, Debug)]
enum Event {
    Write {
        enable: bool,
        other_running: bool,
        covered: bool,
    },
    Complete,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => any::<(bool, bool, bool)>().prop_map(|(enable, other_running, covered)| {
            Event::Write {
                enable,
                other_running,
                covered,
            }
        }),
        1 => Just(Event::Complete),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop::sample::select(&OPERATIONS[..])
}

fn patch() -> impl Strategy<Value = Known> {
    (
        prop::sample::select(&REGISTRATIONS[..]),
        prop::sample::select(&PHASES[..]),
        any::<(bool, bool)>(),
    )
        .prop_map(|(registration, phase, (other_running, covered))| {
            known(registration, phase, other_running, covered)
        })
}

proptest! {
    /// A life that begins with the start of `klp_enable_patch()`, in the model and in C, where it
    /// does not matter what was enabled later.
    #[test]
    fn one_shot_lives_agree_with_upstream(events in prop::collection::vec(event(), 0..40)) {
        let mut target = PatchState::Patched;
        let mut phase = Phase::towards(target);
        let mut upstream = Upstream {
            enabled: true,
            transition: true,
        };

        for event in events {
            match event {
                Event::Write { enable, other_running, covered } => {
                    // There is only one transition at a time.
                    let other_running = other_running && !upstream.transition;
                    let patch = known(Registration::OneShot, phase, other_running, covered);
                    let operation =
                        if enable { Operation::EnableBySysfs } else { Operation::Disable };
                    let answer = decide(operation, Some(patch));

                    match answer {
                        Ok(Decision::Start(to)) => target = to,
                        Ok(Decision::Reverse) => target = target.opposite(),
                        Ok(decision) => panic!("{decision:?}"),
                        Err(_) => {}
                    }
                    if answer.is_ok() {
                        phase = Phase::towards(target);
                    }
                    prop_assert_eq!(
                        answer.map(|_| ()).map_err(errno),
                        upstream.enabled_store(enable, other_running)
                    );
                }
                Event::Complete if upstream.transition => {
                    phase = Phase::settled(target);
                    upstream.transition = false;
                }
                Event::Complete => {}
            }

            prop_assert_eq!(phase.is_enabled(), upstream.enabled);
            prop_assert_eq!(phase.in_transition(), upstream.transition);
        }
    }

    /// Only one transition runs at a time.
    #[test]
    fn nothing_starts_while_another_patch_is_in_transition(
        operation in operation(),
        patch in patch(),
    ) {
        let patch = Known { other_running: true, ..patch };

        prop_assert!(!matches!(decide(operation, Some(patch)), Ok(Decision::Start(_))));
    }

    /// A registered patch is never taken from under another.
    #[test]
    fn what_is_covered_stays(operation in operation(), patch in patch()) {
        let patch = Known { registration: Registration::Registered, covered: true, ..patch };
        let answer = decide(operation, Some(patch));

        prop_assert_ne!(answer, Ok(Decision::Start(PatchState::Unpatched)));
        if operation == Operation::Disable && patch.phase == Phase::Enabled {
            prop_assert_eq!(answer, Err(Refusal::Covered));
        }
    }

    /// What is forgotten is in no use.
    #[test]
    fn only_disabled_patches_are_forgotten(operation in operation(), patch in patch()) {
        if decide(operation, Some(patch)) == Ok(Decision::Forget) {
            prop_assert_eq!(patch.phase, Phase::Disabled);
            prop_assert_eq!(patch.registration, Registration::Registered);
            prop_assert_eq!(operation, Operation::Unregister);
        }
    }

    /// A transition can always be reversed by who is in it, and by nobody else.
    #[test]
    fn reversing(operation in operation(), patch in patch()) {
        let reverses = matches!(
            (operation, patch.phase),
            (Operation::Enable | Operation::EnableBySysfs, Phase::Disabling)
                | (Operation::Disable, Phase::Enabling)
        );

        prop_assert_eq!(decide(operation, Some(patch)) == Ok(Decision::Reverse), reverses);
    }
}
