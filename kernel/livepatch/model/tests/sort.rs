// SPDX-License-Identifier: GPL-2.0

//! Sorting with little stack.

/// Numbers in no order; 257 is a prime and 3 a generator, so up to 256 are all different.
pub(crate) fn powers<const N: usize>() -> [usize; N] {
    let mut power = 1;

    [(); N].map(|()| {
        power = power * 3 % 257;
        power
    })
}

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_sort))]
mod cases {
    use super::powers;
    use crate::model::sort::{
        sort,
        sort_by_key, //
    };
    use core::cell::Cell;

    /// How often each of the numbers below `N` is there.
    fn counts<const N: usize>(list: &[usize; N]) -> [usize; N] {
        let mut counts = [0; N];

        for &number in list {
            counts[number] += 1;
        }
        counts
    }

    /// Sorts each list of `N` numbers below `N`. Are all in order then, and none lost?
    fn all_lists_are_sorted<const N: usize>() -> bool {
        let lists = N.pow(N.try_into().unwrap_or(0));

        (0..lists).all(|number| {
            let mut rest = number;
            let mut list = [0; N].map(|_: usize| {
                let digit = rest % N;
                rest /= N;
                digit
            });
            let before = counts(&list);
            sort(&mut list);
            list.is_sorted() && counts(&list) == before
        })
    }

    #[test]
    fn short_lists() {
        sort::<usize>(&mut []);
        assert!(all_lists_are_sorted::<1>());
        assert!(all_lists_are_sorted::<2>());
        assert!(all_lists_are_sorted::<3>());
        assert!(all_lists_are_sorted::<4>());
        assert!(all_lists_are_sorted::<5>());
        assert!(all_lists_are_sorted::<6>());
    }

    #[test]
    fn long_list() {
        let mut list = powers::<256>();

        sort(&mut list);
        assert!(list.iter().copied().eq(1..=256));
    }

    /// The greatest first.
    #[test]
    fn by_key() {
        let mut list = [(2, 'b'), (1, 'a'), (3, 'c')];

        sort_by_key(&mut list, |&(number, _)| -number);
        assert_eq!(list, [(3, 'c'), (2, 'b'), (1, 'a')]);
    }

    /// How often the key is asked for, twice for each comparison.
    fn keys<const N: usize>(mut list: [usize; N]) -> usize {
        let keys = Cell::new(0);

        sort_by_key(&mut list, |&number| {
            keys.set(keys.get() + 1);
            number
        });
        keys.get()
    }

    /// What is sorted is only looked at once; else it is a bit more than twice as much for twice as
    /// many elements.
    #[test]
    fn comparisons() {
        assert_eq!(keys([1, 2, 2, 3, 4, 5]), 10);
        assert!(keys(powers::<128>()) < 3 * keys(powers::<64>()));
    }
}
