// SPDX-License-Identifier: GPL-2.0

//! Which version of a patched function does a task run?

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_choice))]
mod cases {
    use crate::{
        model::{
            choice::settled,
            phase::PatchState::{
                self,
                Patched,
                Unpatched, //
            },
        },
        tests::func_stack::{
            FuncStack,
            Version, //
        },
    };

    const PATCH_STATES: [Option<PatchState>; 3] = [None, Some(Unpatched), Some(Patched)];

    /// The place of the version that a task in this state runs, while a patch is in transition.
    fn choice(
        patches: &[u8],
        in_transition: Option<u8>,
        patch_state: Option<PatchState>,
    ) -> Option<usize> {
        FuncStack::new(patches, in_transition).choice(patch_state)
    }

    #[test]
    fn only_version() {
        assert_eq!(choice(&[1], Some(1), Some(Unpatched)), None);
        assert_eq!(choice(&[1], Some(1), Some(Patched)), Some(0));
    }

    #[test]
    fn newer_over_older() {
        assert_eq!(choice(&[1, 2], Some(2), Some(Unpatched)), Some(0));
        assert_eq!(choice(&[1, 2], Some(2), Some(Patched)), Some(1));
    }

    /// One patch reaches the function by two names.
    #[test]
    fn one_patch_twice() {
        assert_eq!(choice(&[1, 2, 2], Some(2), Some(Unpatched)), Some(0));
        assert_eq!(choice(&[2, 2], Some(2), Some(Unpatched)), None);
        assert_eq!(choice(&[2, 2], Some(2), Some(Patched)), Some(1));
    }

    #[test]
    fn task_without_state() {
        assert_eq!(choice(&[1], Some(1), None), Some(0));
        assert_eq!(choice(&[1, 2], Some(2), None), Some(1));
        assert_eq!(choice(&[1, 2], None, None), Some(1));
    }

    #[test]
    fn nothing_in_transition() {
        for patch_state in PATCH_STATES {
            assert_eq!(choice(&[1, 2, 3], None, patch_state), Some(2));
        }
    }

    #[test]
    fn other_patch_in_transition() {
        for patch_state in PATCH_STATES {
            assert_eq!(choice(&[1, 2], Some(3), patch_state), Some(1));
            // A version below the top does not matter, whoever it belongs to.
            assert_eq!(choice(&[1, 2], Some(1), patch_state), Some(1));
        }
    }

    #[test]
    fn nothing_settled() {
        assert!(settled(None::<Version<'_>>).is_none());
        assert!(settled(FuncStack::new(&[1], Some(1)).top()).is_none());
    }
}
