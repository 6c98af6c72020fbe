// SPDX-License-Identifier: GPL-2.0

//! Which elements of a list are there more than once?
//!
//! The caller makes a list of keys, each with the place of its element, counted from 0. It is
//! sorted, so that the number of comparisons is not that of all pairs.

use super::sort::sort;

/// Finds the first element that has the same key as one before it.
pub(crate) fn first_duplicate<K: Ord>(keys: &mut [(K, usize)]) -> Option<usize> {
    sort(keys);

    let again = keys.windows(2).filter_map(|pair| match pair {
        [(before, _), (key, place)] if before == key => Some(*place),
        _ => None,
    });
    again.min()
}

/// Enters into `firsts`, at the place of each element, that of the first one with the same key.
pub(crate) fn find_firsts<K: Ord>(keys: &mut [(K, usize)], firsts: &mut [usize]) {
    sort(keys);

    for same in keys.chunk_by(|(a, _), (b, _)| a == b) {
        let first = same.first().map_or(0, |&(_, place)| place);
        for &(_, place) in same {
            if let Some(entry) = firsts.get_mut(place) {
                *entry = first;
            }
        }
    }
}
