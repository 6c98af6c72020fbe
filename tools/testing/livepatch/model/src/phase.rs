// SPDX-License-Identifier: GPL-2.0

//! The life of a patch.

use crate::model::phase::{
    Phase,
    Refusal,
    Step,
    Target, //
};
use proptest::prelude::*;

const PHASES: [Phase; 4] = [
    Phase::Registered,
    Phase::Enabling,
    Phase::Enabled,
    Phase::Disabling,
];
const TARGETS: [Target; 2] = [Target::Unpatched, Target::Patched];

/// The complete table: phase, write of `enabled`, another patch in transition; answer.
#[test]
fn every_request_in_every_phase() {
    const STOP: Result<Step, Refusal> = Ok(Step::Start(Target::Unpatched));
    const TURN: Result<Step, Refusal> = Ok(Step::Reverse);
    const ALREADY: Result<Step, Refusal> = Err(Refusal::Already);
    const BUSY: Result<Step, Refusal> = Err(Refusal::Busy);
    const ONE_SHOT: Result<Step, Refusal> = Err(Refusal::OneShot);

    let table = [
        (Phase::Registered, false, false, ALREADY),
        (Phase::Registered, false, true, ALREADY),
        (Phase::Registered, true, false, ONE_SHOT),
        (Phase::Registered, true, true, ONE_SHOT),
        (Phase::Enabling, false, false, TURN),
        (Phase::Enabling, false, true, TURN),
        (Phase::Enabling, true, false, ALREADY),
        (Phase::Enabling, true, true, ALREADY),
        (Phase::Enabled, false, false, STOP),
        (Phase::Enabled, false, true, BUSY),
        (Phase::Enabled, true, false, ALREADY),
        (Phase::Enabled, true, true, ALREADY),
        (Phase::Disabling, false, false, ALREADY),
        (Phase::Disabling, false, true, ALREADY),
        (Phase::Disabling, true, false, TURN),
        (Phase::Disabling, true, true, TURN),
    ];

    for (phase, enable, other_running, answer) in table {
        assert_eq!(
            phase.request(enable, other_running),
            answer,
            "{phase:?} enable={enable} other_running={other_running}"
        );
    }
}

#[test]
fn attributes() {
    let table = [
        (Phase::Registered, false, false),
        (Phase::Enabling, true, true),
        (Phase::Enabled, true, false),
        (Phase::Disabling, false, true),
    ];

    for (phase, enabled, transition) in table {
        assert_eq!(phase.is_enabled(), enabled, "{phase:?}");
        assert_eq!(phase.in_transition(), transition, "{phase:?}");
    }
}

#[test]
fn phases_of_targets() {
    assert_eq!(Phase::towards(Target::Patched), Phase::Enabling);
    assert_eq!(Phase::towards(Target::Unpatched), Phase::Disabling);
    assert_eq!(Phase::settled(Target::Patched), Phase::Enabled);
    assert_eq!(Phase::settled(Target::Unpatched), Phase::Registered);
}

#[test]
fn encoding_of_phases() {
    for (raw, phase) in (0..).zip(PHASES) {
        assert_eq!(phase.encode(), raw);
        assert_eq!(Phase::decode(raw), phase);
    }
}

#[test]
fn unknown_encoding_is_registered() {
    for raw in [i32::MIN, -1, 4, i32::MAX] {
        assert_eq!(Phase::decode(raw), Phase::Registered);
    }
}

/// `KLP_TRANSITION_IDLE` is -1, `KLP_TRANSITION_UNPATCHED` 0 and `KLP_TRANSITION_PATCHED` 1.
#[test]
fn patch_states() {
    assert_eq!(Target::from_patch_state(-1), None);
    assert_eq!(Target::from_patch_state(0), Some(Target::Unpatched));
    assert_eq!(Target::from_patch_state(1), Some(Target::Patched));
    assert_eq!(Target::from_patch_state(2), None);
    assert_eq!(Target::from_patch_state(i32::MIN), None);
    for target in TARGETS {
        assert_eq!(Target::from_patch_state(target.patch_state()), Some(target));
    }
}

#[test]
fn opposites() {
    assert_eq!(Target::Patched.opposite(), Target::Unpatched);
    assert_eq!(Target::Unpatched.opposite(), Target::Patched);
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

/// One event in the life of a patch.
#[derive(Clone, Copy, Debug)]
enum Event {
    Write { enable: bool, other_running: bool },
    Complete,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => any::<(bool, bool)>().prop_map(|(enable, other_running)| Event::Write {
            enable,
            other_running,
        }),
        1 => Just(Event::Complete),
    ]
}

proptest! {
    /// A life that begins with the start of `klp_enable_patch()`, in the model and in C.
    #[test]
    fn lives_agree_with_upstream(events in prop::collection::vec(event(), 0..40)) {
        let mut target = Target::Patched;
        let mut phase = Phase::towards(target);
        let mut patch = Upstream {
            enabled: true,
            transition: true,
        };

        for event in events {
            match event {
                Event::Write { enable, other_running } => {
                    // There is only one transition at a time.
                    let other_running = other_running && !patch.transition;
                    let answer = phase.request(enable, other_running);

                    match answer {
                        Ok(Step::Start(to)) => target = to,
                        Ok(Step::Reverse) => target = target.opposite(),
                        Err(_) => {}
                    }
                    if answer.is_ok() {
                        phase = Phase::towards(target);
                    }

                    let answer = answer.map(|_| ()).map_err(|refusal| match refusal {
                        Refusal::Already | Refusal::OneShot => Errno::Einval,
                        Refusal::Busy => Errno::Ebusy,
                    });
                    prop_assert_eq!(answer, patch.enabled_store(enable, other_running));
                }
                Event::Complete if patch.transition => {
                    phase = Phase::settled(target);
                    patch.transition = false;
                }
                Event::Complete => {}
            }

            prop_assert_eq!(phase.is_enabled(), patch.enabled);
            prop_assert_eq!(phase.in_transition(), patch.transition);
        }
    }

    #[test]
    fn decoding_knows_four_values(raw in any::<i32>()) {
        let phase = Phase::decode(raw);

        prop_assert_eq!(phase.encode(), if (0..4).contains(&raw) { raw } else { 0 });
    }
}
