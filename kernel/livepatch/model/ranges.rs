// SPDX-License-Identifier: GPL-2.0

//! A sorted index of address ranges: is this address in one of them?

use super::sort::sort_by_key;

/// A half-open range of addresses, `start..end`, with a tag of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    start: usize,
    end: usize,
    /// The highest `end` of this range and all ranges before it.
    reach: usize,
    tag: usize,
}

impl Range {
    /// The range of `size` bytes from `start`; one that would wrap round ends at the last address.
    pub(crate) const fn new(start: usize, size: usize, tag: usize) -> Self {
        Range {
            start,
            end: start.saturating_add(size),
            reach: 0,
            tag,
        }
    }

    /// The tag given to [`Range::new`].
    pub(crate) const fn tag(&self) -> usize {
        self.tag
    }
}

/// Turns `ranges`, in any order, into an index for [`find`].
pub(crate) fn build(ranges: &mut [Range]) {
    sort_by_key(ranges, |range| (range.start, range.end, range.tag));

    let mut reach = 0;
    for range in ranges {
        reach = range.end.max(reach);
        range.reach = reach;
    }
}

/// Finds a range that contains `addr`, in an index made by [`build`].
///
/// Takes O(log n) steps when the ranges are disjoint, as those of functions are; ranges that
/// overlap are all looked at.
pub(crate) fn find(index: &[Range], addr: usize) -> Option<&Range> {
    let candidates = index.partition_point(|range| range.start <= addr);

    index
        .iter()
        .take(candidates)
        .rev()
        .take_while(|range| range.reach > addr)
        .find(|range| range.end > addr)
}
