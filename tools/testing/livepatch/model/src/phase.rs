// SPDX-License-Identifier: GPL-2.0

//! The life of a patch.

use crate::model::phase::{
    Phase,
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

proptest! {
    #[test]
    fn decoding_knows_four_values(raw in any::<i32>()) {
        let phase = Phase::decode(raw);

        prop_assert_eq!(phase.encode(), if (0..4).contains(&raw) { raw } else { 0 });
    }
}
