// SPDX-License-Identifier: GPL-2.0

//! Compatibility of system states.

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_compatibility))]
mod cases {
    use crate::model::compatibility::{
        is_compatible,
        State, //
    };

    /// Is a patch with the states `new` compatible with one with `old`? Each is id and version.
    fn compatible(new: &[(usize, u32)], old: &[(usize, u32)], replace: bool) -> bool {
        let state = |&(id, version): &(usize, u32)| State { id, version };

        is_compatible(new.iter().map(state), old.iter().map(state), replace)
    }

    #[test]
    fn without_states() {
        for replace in [false, true] {
            assert!(compatible(&[], &[], replace));
            assert!(compatible(&[(1, 1)], &[], replace));
        }
    }

    #[test]
    fn versions() {
        for replace in [false, true] {
            assert!(compatible(&[(1, 2)], &[(1, 2)], replace));
            assert!(compatible(&[(1, 3)], &[(1, 2)], replace));
            assert!(!compatible(&[(1, 1)], &[(1, 2)], replace));
        }
    }

    #[test]
    fn missing() {
        assert!(compatible(&[], &[(1, 2)], false));
        assert!(!compatible(&[], &[(1, 2)], true));
        assert!(!compatible(&[(2, 2)], &[(1, 2)], true));
        assert!(!compatible(&[(1, 2)], &[(1, 2), (2, 0)], true));
    }

    #[test]
    fn several() {
        for replace in [false, true] {
            assert!(compatible(&[(2, 7), (1, 1)], &[(1, 1), (2, 7)], replace));
            assert!(compatible(&[(2, 7), (1, 2)], &[(1, 1), (2, 7)], replace));
            assert!(!compatible(&[(2, 7), (1, 1)], &[(2, 7), (1, 2)], replace));
            assert!(!compatible(&[(1, 9), (2, 1)], &[(1, 1), (2, 2)], replace));
            assert!(!compatible(&[(2, 1), (1, 9)], &[(2, 2), (1, 1)], replace));
        }
        assert!(!compatible(&[(2, 7)], &[(2, 7), (1, 1)], true));
    }
}
