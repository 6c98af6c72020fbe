// SPDX-License-Identifier: GPL-2.0

//! Which elements of a list are there more than once?

use core::{
    cell::Cell,
    cmp::Ordering, //
};

/// A key that counts how often it is compared.
#[derive(Clone, Copy)]
pub(crate) struct Counted<'a> {
    pub(crate) key: usize,
    pub(crate) comparisons: &'a Cell<usize>,
}

impl Ord for Counted<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.comparisons.set(self.comparisons.get() + 1);
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Counted<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Counted<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Counted<'_> {}

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_duplicates))]
mod cases {
    use super::{
        super::sort::powers,
        Counted, //
    };
    use crate::model::duplicates::{
        find_firsts,
        first_duplicate, //
    };
    use core::cell::Cell;

    /// The elements with their places.
    fn with_places<K: Copy, const N: usize>(list: [K; N]) -> [(K, usize); N] {
        let mut place = 0;

        list.map(|key| {
            place += 1;
            (key, place - 1)
        })
    }

    fn first<const N: usize>(list: [u8; N]) -> Option<usize> {
        first_duplicate(&mut with_places(list))
    }

    fn firsts<const N: usize>(list: [u8; N]) -> [usize; N] {
        let mut firsts = [usize::MAX; N];

        find_firsts(&mut with_places(list), &mut firsts);
        firsts
    }

    #[test]
    fn no_duplicate() {
        assert_eq!(first([]), None);
        assert_eq!(first([7]), None);
        assert_eq!(first([3, 1, 2]), None);
    }

    /// It is the second of its kind that comes first, whatever the order of the keys is.
    #[test]
    fn first_of_several() {
        assert_eq!(first([7, 7]), Some(1));
        assert_eq!(first([7, 7, 7]), Some(1));
        assert_eq!(first([1, 9, 9, 1]), Some(2));
        assert_eq!(first([9, 1, 1, 9]), Some(2));
        assert_eq!(first([1, 9, 2, 1, 9]), Some(3));
        assert_eq!(first([9, 1, 2, 9, 1]), Some(3));
    }

    #[test]
    fn firsts_of_all() {
        assert_eq!(firsts([]), []);
        assert_eq!(firsts([3, 1, 2]), [0, 1, 2]);
        assert_eq!(firsts([5, 5, 5]), [0, 0, 0]);
        assert_eq!(firsts([9, 1, 9, 2, 1, 9]), [0, 1, 0, 3, 1, 0]);
    }

    /// A place that is out of range has no entry.
    #[test]
    fn firsts_without_room() {
        let mut firsts = [usize::MAX; 2];

        find_firsts(&mut with_places([4, 4, 4]), &mut firsts);
        assert_eq!(firsts, [0, 0]);
    }

    /// How many comparisons it takes for a list without order.
    fn comparisons<const N: usize>(find: fn(&mut [(Counted<'_>, usize)])) -> usize {
        let comparisons = Cell::new(0);

        let list = powers::<N>().map(|key| Counted {
            key,
            comparisons: &comparisons,
        });
        find(&mut with_places(list));
        comparisons.get()
    }

    /// With twice as many elements, it takes a bit more than twice as many comparisons, and not
    /// four times as many.
    #[test]
    fn not_all_pairs_are_compared() {
        fn first(keys: &mut [(Counted<'_>, usize)]) {
            first_duplicate(keys);
        }
        fn firsts(keys: &mut [(Counted<'_>, usize)]) {
            find_firsts(keys, &mut [0; 40]);
        }

        assert!(comparisons::<40>(first) < 3 * comparisons::<20>(first));
        assert!(comparisons::<40>(firsts) < 3 * comparisons::<20>(firsts));
    }
}
