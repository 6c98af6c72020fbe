// SPDX-License-Identifier: GPL-2.0

//! The life of a patch.

use crate::model::phase::{
    PatchState, //
    Phase,
};
use proptest::prelude::*;

const PHASES: [Phase; 4] = [
    Phase::Disabled,
    Phase::Enabling,
    Phase::Enabled,
    Phase::Disabling,
];
const TARGETS: [PatchState; 2] = [PatchState::Unpatched, PatchState::Patched];

#[test]
fn attributes() {
    let table = [
        (Phase::Disabled, false, false),
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
    assert_eq!(Phase::towards(PatchState::Patched), Phase::Enabling);
    assert_eq!(Phase::towards(PatchState::Unpatched), Phase::Disabling);
    assert_eq!(Phase::settled(PatchState::Patched), Phase::Enabled);
    assert_eq!(Phase::settled(PatchState::Unpatched), Phase::Disabled);
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
        assert_eq!(Phase::decode(raw), Phase::Disabled);
    }
}

/// `KLP_TRANSITION_IDLE` is -1, `KLP_TRANSITION_UNPATCHED` 0 and `KLP_TRANSITION_PATCHED` 1.
#[test]
fn patch_states() {
    assert_eq!(PatchState::from_raw(-1), None);
    assert_eq!(PatchState::from_raw(0), Some(PatchState::Unpatched));
    assert_eq!(PatchState::from_raw(1), Some(PatchState::Patched));
    assert_eq!(PatchState::from_raw(2), None);
    assert_eq!(PatchState::from_raw(i32::MIN), None);
    for target in TARGETS {
        assert_eq!(PatchState::from_raw(target.as_raw()), Some(target));
    }
}

#[test]
fn opposites() {
    assert_eq!(PatchState::Patched.opposite(), PatchState::Unpatched);
    assert_eq!(PatchState::Unpatched.opposite(), PatchState::Patched);
}

proptest! {
    #[test]
    fn decoding_knows_four_values(raw in any::<i32>()) {
        let phase = Phase::decode(raw);

        prop_assert_eq!(phase.encode(), if (0..4).contains(&raw) { raw } else { 0 });
    }
}
