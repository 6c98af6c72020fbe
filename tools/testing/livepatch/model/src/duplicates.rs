// SPDX-License-Identifier: GPL-2.0

//! Which elements of a list are there more than once?

use crate::{
    model::duplicates::{
        find_firsts,
        first_duplicate, //
    },
    tests::duplicates::Counted, //
};
use proptest::prelude::*;
use std::cell::Cell;

fn with_places(list: &[u8]) -> Vec<(u8, usize)> {
    list.iter().copied().zip(0..).collect()
}

proptest! {
    #[test]
    fn first_agrees_with_linear_search(list in prop::collection::vec(0u8..8, 0..12)) {
        let first = (0..list.len()).find(|&at| list[..at].contains(&list[at]));

        prop_assert_eq!(first_duplicate(&mut with_places(&list)), first);
    }

    #[test]
    fn firsts_agree_with_linear_search(list in prop::collection::vec(0u8..8, 0..12)) {
        let mut firsts = vec![usize::MAX; list.len()];
        let expected: Vec<_> = list
            .iter()
            .map(|key| list.iter().position(|other| other == key).unwrap())
            .collect();

        find_firsts(&mut with_places(&list), &mut firsts);
        prop_assert_eq!(firsts, expected);
    }
}

/// How many comparisons it takes for `count` elements without order.
fn comparisons(count: usize, find: impl Fn(&mut [(Counted<'_>, usize)])) -> usize {
    let comparisons = Cell::new(0);
    let mut keys: Vec<_> = (0..count)
        .map(|place| {
            let counted = Counted {
                key: place * 7919 % 10007,
                comparisons: &comparisons,
            };
            (counted, place)
        })
        .collect();

    find(&mut keys);
    comparisons.get()
}

/// All pairs would be four times as many for twice as many elements.
#[test]
fn not_all_pairs_are_compared() {
    let first = |count| comparisons(count, |keys| assert_eq!(first_duplicate(keys), None));
    let firsts = |count| comparisons(count, |keys| find_firsts(keys, &mut vec![0; count]));

    assert!(first(2000) < 3 * first(1000));
    assert!(firsts(2000) < 3 * firsts(1000));
}
