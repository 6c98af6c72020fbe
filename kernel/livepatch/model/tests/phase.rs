// SPDX-License-Identifier: GPL-2.0

//! The life of a patch.

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_phase))]
mod cases {
    use crate::model::phase::{
        PatchState,
        Phase, //
    };

    #[test]
    fn attributes() {
        for (phase, enabled, transition) in [
            (Phase::Disabled, false, false),
            (Phase::Enabling, true, true),
            (Phase::Enabled, true, false),
            (Phase::Disabling, false, true),
        ] {
            assert_eq!(phase.is_enabled(), enabled);
            assert_eq!(phase.in_transition(), transition);
        }
    }

    #[test]
    fn target_states() {
        assert_eq!(Phase::towards(PatchState::Patched), Phase::Enabling);
        assert_eq!(Phase::towards(PatchState::Unpatched), Phase::Disabling);
        assert_eq!(Phase::settled(PatchState::Patched), Phase::Enabled);
        assert_eq!(Phase::settled(PatchState::Unpatched), Phase::Disabled);
    }

    #[test]
    fn opposites() {
        assert_eq!(PatchState::Patched.opposite(), PatchState::Unpatched);
        assert_eq!(PatchState::Unpatched.opposite(), PatchState::Patched);
    }

    #[test]
    fn encoding() {
        let phases = [
            Phase::Disabled,
            Phase::Enabling,
            Phase::Enabled,
            Phase::Disabling,
        ];

        for (raw, phase) in (0..).zip(phases) {
            assert_eq!(phase.encode(), raw);
            assert_eq!(Phase::decode(raw), phase);
        }
    }

    #[test]
    fn unknown_encoding() {
        for raw in [i32::MIN, -1, 4, i32::MAX] {
            assert_eq!(Phase::decode(raw), Phase::Disabled);
        }
    }

    /// `KLP_TRANSITION_IDLE` is -1, `KLP_TRANSITION_UNPATCHED` 0 and `KLP_TRANSITION_PATCHED` 1.
    #[test]
    fn patch_states() {
        assert_eq!(PatchState::from_raw(i32::MIN), None);
        assert_eq!(PatchState::from_raw(-1), None);
        assert_eq!(PatchState::from_raw(0), Some(PatchState::Unpatched));
        assert_eq!(PatchState::from_raw(1), Some(PatchState::Patched));
        assert_eq!(PatchState::from_raw(2), None);
        assert_eq!(PatchState::Unpatched.as_raw(), 0);
        assert_eq!(PatchState::Patched.as_raw(), 1);
    }
}
