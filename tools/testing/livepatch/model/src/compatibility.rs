// SPDX-License-Identifier: GPL-2.0

//! Compatibility of system states.

use crate::model::compatibility::{
    is_compatible,
    State, //
};
use proptest::prelude::*;

fn compatible(new: &[(usize, u32)], old: &[(usize, u32)], replace: bool) -> bool {
    let states = |list: &[(usize, u32)]| {
        list.iter()
            .map(|&(id, version)| State { id, version })
            .collect::<Vec<_>>()
    };
    let (new, old) = (states(new), states(old));

    is_compatible(new.iter().copied(), old.iter().copied(), replace)
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
        assert!(!compatible(&[(1, 9), (2, 1)], &[(1, 1), (2, 2)], replace));
        assert!(!compatible(&[(2, 1), (1, 9)], &[(2, 2), (1, 1)], replace));
    }
}

#[test]
fn a_missing_state_is_for_others() {
    assert!(compatible(&[], &[(1, 2)], false));
    assert!(!compatible(&[], &[(1, 2)], true));
    assert!(!compatible(&[(2, 2)], &[(1, 2)], true));
    assert!(!compatible(&[(1, 2)], &[(1, 2), (2, 0)], true));
}

/// `klp_is_patch_compatible()` for one old patch, line by line.
fn upstream(new: &[(usize, u32)], old: &[(usize, u32)], replace: bool) -> bool {
    for &(id, version) in old {
        let mut state = None;
        for &candidate in new {
            if candidate.0 == id {
                state = Some(candidate);
                break;
            }
        }
        let fine = match state {
            None => !replace,
            Some(state) => state.1 >= version,
        };
        if !fine {
            return false;
        }
    }
    true
}

fn states() -> impl Strategy<Value = Vec<(usize, u32)>> {
    prop::collection::vec((1usize..4, 0u32..3), 0..4)
}

proptest! {
    #[test]
    fn agrees_with_upstream(new in states(), old in states(), replace in any::<bool>()) {
        prop_assert_eq!(compatible(&new, &old, replace), upstream(&new, &old, replace));
    }
}
