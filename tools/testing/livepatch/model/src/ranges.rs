// SPDX-License-Identifier: GPL-2.0

//! The sorted index of address ranges.

use crate::model::ranges::{
    build,
    find,
    Range, //
};
use proptest::prelude::*;

/// A range as its maker sees it: start, size.
type Plain = (usize, usize);

/// An index of `plain`; a range's tag is its place in `plain`.
fn index(plain: &[Plain]) -> Vec<Range> {
    let mut ranges: Vec<Range> = plain
        .iter()
        .enumerate()
        .map(|(tag, &(start, size))| Range::new(start, size, tag))
        .collect();

    build(&mut ranges);
    ranges
}

/// The tag of a range that contains `addr`.
fn tag_at(index: &[Range], addr: usize) -> Option<usize> {
    find(index, addr).map(Range::tag)
}

/// Is `addr` in the range? A range that would wrap round ends at the last address.
fn contains((start, size): Plain, addr: usize) -> bool {
    match start.checked_add(size) {
        Some(end) => start <= addr && addr < end,
        None => start <= addr && addr < usize::MAX,
    }
}

/// An address in a small space at the start, at the end or in the middle of the large one.
fn addr() -> impl Strategy<Value = usize> {
    prop_oneof![
        0usize..64,
        (0usize..64).prop_map(|n| usize::MAX - n),
        any::<usize>(),
    ]
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 0usize..16,
        1 => Just(0),
        1 => any::<usize>(),
    ]
}

fn ranges() -> impl Strategy<Value = Vec<Plain>> {
    prop::collection::vec((addr(), size()), 0..24)
}

/// An address that is likely to be at the edge of one of `plain`.
fn edges(plain: &[Plain]) -> impl Iterator<Item = usize> + '_ {
    plain.iter().flat_map(|&(start, size)| {
        let end = start.wrapping_add(size);

        [
            start.wrapping_sub(1),
            start,
            start.wrapping_add(1),
            end.wrapping_sub(1),
            end,
            end.wrapping_add(1),
        ]
    })
}

/// Whatever is found contains the address, and something is found if anything contains it.
fn compare(plain: &[Plain], addr: usize) -> Result<(), TestCaseError> {
    match tag_at(&index(plain), addr) {
        Some(tag) => prop_assert!(contains(plain[tag], addr)),
        None => prop_assert!(!plain.iter().any(|&range| contains(range, addr))),
    }
    Ok(())
}

proptest! {
    #[test]
    fn agrees_with_linear_search(plain in ranges(), addr in addr()) {
        compare(&plain, addr)?;
    }

    #[test]
    fn agrees_with_linear_search_at_edges(plain in ranges()) {
        for addr in edges(&plain) {
            compare(&plain, addr)?;
        }
    }

    /// The ranges of functions: gaps and lengths, nothing overlaps, and the answer is the only one.
    #[test]
    fn disjoint_ranges(
        gaps in prop::collection::vec((0usize..8, 0usize..8), 0..32),
        addr in 0usize..600,
    ) {
        let mut end = 0;
        let plain: Vec<Plain> = gaps
            .iter()
            .map(|&(gap, size)| {
                let start = end + gap;
                end = start + size;
                (start, size)
            })
            .collect();
        let only = plain.iter().position(|&range| contains(range, addr));

        prop_assert_eq!(tag_at(&index(&plain), addr), only);
    }

    /// The order in which ranges are given does not change what is found. Two ranges that end at
    /// the last address may have different sizes and still be the same.
    #[test]
    fn order_does_not_matter(
        (plain, shuffled) in ranges().prop_flat_map(|plain| {
            (Just(plain.clone()), Just(plain).prop_shuffle())
        }),
    ) {
        let (one, other) = (index(&plain), index(&shuffled));
        let ends = |(start, size): Plain| (start, start.saturating_add(size));

        for addr in edges(&plain) {
            prop_assert_eq!(
                tag_at(&one, addr).map(|tag| ends(plain[tag])),
                tag_at(&other, addr).map(|tag| ends(shuffled[tag]))
            );
        }
    }
}
