// SPDX-License-Identifier: GPL-2.0

//! The table from call site to value.

use crate::{
    model::ip_table::{
        find,
        insert,
        slots_for,
        Slot, //
    },
    tests::ip_table::colliding,
};
use proptest::prelude::*;
use std::collections::{
    hash_map::Entry,
    HashMap,
    HashSet, //
};

fn table<T: Clone + Default>(slots: usize) -> Vec<Slot<T>> {
    vec![Slot::free(T::default()); slots]
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
        (0usize..24).prop_map(colliding),
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
