// SPDX-License-Identifier: GPL-2.0

//! The sorted index of address ranges.

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_ranges))]
mod cases {
    use crate::model::ranges::{
        build,
        find,
        Range, //
    };

    /// An index of ranges, each given as start and size; a range's tag is its place in `plain`.
    fn index<const N: usize>(plain: [(usize, usize); N]) -> [Range; N] {
        let mut tags = 0..;
        let mut ranges =
            plain.map(|(start, size)| Range::new(start, size, tags.next().unwrap_or(N)));

        build(&mut ranges);
        ranges
    }

    /// The tag of a range in `index` that contains `addr`.
    fn tag_at(index: &[Range], addr: usize) -> Option<usize> {
        find(index, addr).map(Range::tag)
    }

    #[test]
    fn empty_index() {
        assert_eq!(tag_at(&index([]), 0), None);
        assert_eq!(tag_at(&index([]), usize::MAX), None);
    }

    #[test]
    fn half_open() {
        let index = index([(0x1000, 0x10)]);

        assert_eq!(tag_at(&index, 0x0fff), None);
        assert_eq!(tag_at(&index, 0x1000), Some(0));
        assert_eq!(tag_at(&index, 0x100f), Some(0));
        assert_eq!(tag_at(&index, 0x1010), None);
    }

    #[test]
    fn any_order() {
        let index = index([(0x3000, 0x10), (0x1000, 0x10), (0x2000, 0x10)]);

        assert_eq!(tag_at(&index, 0x1008), Some(1));
        assert_eq!(tag_at(&index, 0x2008), Some(2));
        assert_eq!(tag_at(&index, 0x3008), Some(0));
        assert_eq!(tag_at(&index, 0x2800), None);
    }

    #[test]
    fn adjacent_ranges() {
        let index = index([(0x3000, 0x10), (0x1000, 0x10), (0x1010, 0x10)]);

        assert_eq!(tag_at(&index, 0x100f), Some(1));
        assert_eq!(tag_at(&index, 0x1010), Some(2));
        assert_eq!(tag_at(&index, 0x101f), Some(2));
        assert_eq!(tag_at(&index, 0x1020), None);
    }

    #[test]
    fn empty_range() {
        let index = index([(0x1000, 0), (0x1000, 4), (0x1004, 0)]);

        assert_eq!(tag_at(&index, 0x1000), Some(1));
        assert_eq!(tag_at(&index, 0x1003), Some(1));
        assert_eq!(tag_at(&index, 0x1004), None);
    }

    /// The short ranges inside a long one must not hide it.
    #[test]
    fn long_over_short() {
        let index = index([(0x1000, 0x1000), (0x1100, 0x10), (0x1200, 0), (0x1300, 1)]);

        for addr in 0x1000..0x2000 {
            assert!(find(&index, addr).is_some());
        }
        assert_eq!(tag_at(&index, 0x10ff), Some(0));
        assert_eq!(tag_at(&index, 0x1110), Some(0));
        assert_eq!(tag_at(&index, 0x1200), Some(0));
        assert_eq!(tag_at(&index, 0x1301), Some(0));
        assert_eq!(tag_at(&index, 0x1fff), Some(0));
        assert_eq!(tag_at(&index, 0x2000), None);
    }

    #[test]
    fn same_range_twice() {
        let index = index([(0x1000, 8), (0x1000, 8)]);

        assert!(find(&index, 0x1007).is_some());
        assert!(find(&index, 0x1008).is_none());
    }

    #[test]
    fn ends_of_address_space() {
        let index = index([(usize::MAX - 4, 4), (0, 4)]);

        assert_eq!(tag_at(&index, 0), Some(1));
        assert_eq!(tag_at(&index, 4), None);
        assert_eq!(tag_at(&index, usize::MAX - 5), None);
        assert_eq!(tag_at(&index, usize::MAX - 4), Some(0));
        assert_eq!(tag_at(&index, usize::MAX - 1), Some(0));
        assert_eq!(tag_at(&index, usize::MAX), None);
    }

    /// A range that would wrap round ends at the last address.
    #[test]
    fn no_wrapping_round() {
        let index = index([(usize::MAX - 8, usize::MAX)]);

        assert_eq!(tag_at(&index, 0), None);
        assert_eq!(tag_at(&index, usize::MAX - 9), None);
        assert_eq!(tag_at(&index, usize::MAX - 8), Some(0));
        assert_eq!(tag_at(&index, usize::MAX - 1), Some(0));
    }
}
