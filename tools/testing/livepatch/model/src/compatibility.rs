// SPDX-License-Identifier: GPL-2.0

//! Compatibility of system states.

use crate::model::compatibility::{
    is_compatible,
    State, //
};
use proptest::prelude::*;

fn compatible(new: &[(usize, u32)], old: &[(usize, u32)], replace: bool) -> bool {
    let state = |&(id, version): &(usize, u32)| State { id, version };

    is_compatible(new.iter().map(state), old.iter().map(state), replace)
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
