// SPDX-License-Identifier: GPL-2.0

//! The table from call site to value.

use crate::model::ip_table::{
    find,
    insert,
    slots_for,
    Slot, //
};
use proptest::prelude::*;
use std::collections::{
    hash_map::Entry,
    HashMap,
    HashSet, //
};

fn table<T: Clone>(slots: usize) -> Vec<Slot<T>> {
    vec![Slot::FREE; slots]
}

/// A call site that shares its home slot with those of all other small `n`.
///
/// The hash is the upper half of the product with an odd constant, so multiples of the constant's
/// inverse have small products, and the upper half of a small product is 0.
fn colliding(n: u16) -> usize {
    #[cfg(target_pointer_width = "64")]
    const GOLDEN: usize = 0x61c8_8646_80b5_83eb;
    #[cfg(not(target_pointer_width = "64"))]
    const GOLDEN: usize = 0x61c8_8647;

    // Newton's iteration: each step doubles the number of correct low bits, of which an odd number
    // has three to begin with.
    let inverse = (0..5).fold(GOLDEN, |inverse, _| {
        inverse.wrapping_mul(2usize.wrapping_sub(GOLDEN.wrapping_mul(inverse)))
    });
    assert_eq!(GOLDEN.wrapping_mul(inverse), 1);

    usize::from(n).wrapping_mul(inverse)
}

#[test]
fn sizes() {
    assert_eq!(slots_for(0), Some(8));
    assert_eq!(slots_for(4), Some(8));
    assert_eq!(slots_for(5), Some(16));
    assert_eq!(slots_for(8), Some(16));
    assert_eq!(slots_for(9), Some(32));
    assert_eq!(slots_for(1000), Some(2048));
}

#[test]
fn sizes_that_do_not_fit() {
    let largest = 1usize << (usize::BITS - 1);

    assert_eq!(slots_for(largest / 2), Some(largest));
    assert_eq!(slots_for(largest / 2 + 1), None);
    assert_eq!(slots_for(largest), None);
    assert_eq!(slots_for(usize::MAX), None);
}

#[test]
fn zero_is_no_call_site() {
    let mut slots = table(8);

    assert!(!insert(&mut slots, 0, 'a'));
    assert_eq!(find(&slots, 0), None);
    assert!(insert(&mut slots, 1, 'b'));
    assert_eq!(find(&slots, 0), None);
}

#[test]
fn second_insert_is_refused() {
    let mut slots = table(8);

    assert!(insert(&mut slots, 0x1000, 'a'));
    assert!(!insert(&mut slots, 0x1000, 'b'));
    assert_eq!(find(&slots, 0x1000), Some(&'a'));
}

#[test]
fn empty_slice() {
    let mut slots = table(0);

    assert!(!insert(&mut slots, 1, 'a'));
    assert_eq!(find(&slots, 1), None);
    assert_eq!(find(&slots, 0), None);
}

#[test]
fn one_slot() {
    let mut slots = table(1);

    assert!(insert(&mut slots, usize::MAX, 'a'));
    assert!(!insert(&mut slots, 1, 'b'));
    assert_eq!(find(&slots, usize::MAX), Some(&'a'));
    assert_eq!(find(&slots, 1), None);
}

/// Every search in a full table ends, also one for a call site that is absent.
#[test]
fn full_table() {
    let mut slots = table(8);

    for ip in 1..=8 {
        assert!(insert(&mut slots, ip, ip * 10));
    }
    assert!(!insert(&mut slots, 9, 90));
    for ip in 1..=8 {
        assert_eq!(find(&slots, ip), Some(&(ip * 10)));
    }
    assert_eq!(find(&slots, 9), None);
    assert_eq!(find(&slots, 0), None);
}

/// A probe goes past the end of the slice and on at its start.
#[test]
fn colliding_call_sites_fill_table() {
    let mut slots = table(16);

    for n in 1..=16 {
        assert!(insert(&mut slots, colliding(n), n));
    }
    for n in 1..=16 {
        assert_eq!(find(&slots, colliding(n)), Some(&n));
    }
    assert_eq!(find(&slots, colliding(17)), None);
    assert!(!insert(&mut slots, colliding(17), 17));
}

/// The slot where the search for `ip` begins: where it is in a table that has nothing else.
fn home(size: usize, ip: usize) -> usize {
    let mut slots = table(size);

    assert!(insert(&mut slots, ip, ()));
    (0..size)
        .find(|&at| find(&slots[at..=at], ip).is_some())
        .unwrap()
}

/// Functions lie at multiples of 16, 64 or more bytes, and those of a test are all of one size. That
/// may be worse than chance, which gives different homes to 79 % of the call sites that fill half of
/// a table, but not by much.
#[test]
fn call_sites_are_spread() {
    let entries = 500;
    let size = slots_for(entries).unwrap();

    for distance in [16, 48, 64, 4096] {
        let homes: HashSet<usize> = (0..entries)
            .map(|n| home(size, usize::MAX - 3 - n * distance))
            .collect();

        assert!(
            homes.len() * 3 >= entries,
            "{} homes at a distance of {distance}",
            homes.len()
        );
    }
}

/// Call sites, of which many are equal, many collide, and many are neighbours.
fn call_site() -> impl Strategy<Value = usize> {
    prop_oneof![
        0usize..16,
        (0u16..24).prop_map(colliding),
        (0usize..64).prop_map(|n| usize::MAX - n * 16),
        any::<usize>(),
    ]
}

fn call_sites(max: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(call_site(), 0..max)
}

/// Enters `ips` into a table of `size` slots and into a map; both must say the same all the time.
fn compare(size: usize, ips: &[usize], probes: &[usize]) -> Result<(), TestCaseError> {
    let mut slots = table(size);
    let mut map = HashMap::new();

    for (value, &ip) in ips.iter().enumerate() {
        let room = map.len() < size;
        let expected = match map.entry(ip) {
            Entry::Vacant(entry) if ip != 0 && room => {
                entry.insert(value);
                true
            }
            _ => false,
        };

        prop_assert_eq!(insert(&mut slots, ip, value), expected);
        prop_assert_eq!(find(&slots, ip), map.get(&ip));
    }
    for ip in ips.iter().chain(probes) {
        prop_assert_eq!(find(&slots, *ip), map.get(ip));
    }
    Ok(())
}

proptest! {
    #[test]
    fn agrees_with_map(ips in call_sites(200), probes in call_sites(100)) {
        compare(slots_for(ips.len()).unwrap(), &ips, &probes)?;
    }

    #[test]
    fn agrees_with_map_when_full(
        bits in 0u32..6,
        ips in call_sites(100),
        probes in call_sites(50),
    ) {
        compare(1 << bits, &ips, &probes)?;
    }

    #[test]
    fn size_is_power_of_two_with_room(entries in prop_oneof![0usize..100_000, any::<usize>()]) {
        let Some(slots) = slots_for(entries) else {
            prop_assert!(entries > 1 << (usize::BITS - 2));
            return Ok(());
        };

        prop_assert!(slots.is_power_of_two());
        prop_assert!(slots / 2 >= entries);
        prop_assert!(slots == 8 || slots / 4 < entries);
    }
}
