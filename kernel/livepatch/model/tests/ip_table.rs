// SPDX-License-Identifier: GPL-2.0

//! The table from call site to value.

#[cfg(target_pointer_width = "64")]
const GOLDEN: usize = 0x61c8_8646_80b5_83eb;
#[cfg(not(target_pointer_width = "64"))]
const GOLDEN: usize = 0x61c8_8647;

/// The inverse of [`GOLDEN`] by Newton's iteration: each step doubles the number of correct low
/// bits, of which an odd number has three to begin with.
fn inverse() -> usize {
    (0..5).fold(GOLDEN, |inverse, _| {
        inverse.wrapping_mul(2usize.wrapping_sub(GOLDEN.wrapping_mul(inverse)))
    })
}

/// A call site that shares its home slot with those of all other small `n`.
///
/// The hash is the highest bits of the product with an odd constant, so multiples of the constant's
/// inverse have small products, and the highest bits of a small product are 0.
pub(crate) fn colliding(n: usize) -> usize {
    n.wrapping_mul(inverse())
}

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_ip_table))]
mod cases {
    use crate::model::ip_table::{
        find,
        insert,
        slots_for,
        Slot, //
    };

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
    fn insert_and_find() {
        let mut slots = [Slot::free(0); 16];

        for n in 1..=8 {
            assert!(insert(&mut slots, usize::MAX - n * 16, n));
        }
        for n in 1..=8 {
            assert_eq!(find(&slots, usize::MAX - n * 16), Some(&n));
        }
        assert_eq!(find(&slots, usize::MAX), None);
    }

    #[test]
    fn zero_is_no_call_site() {
        let mut slots = [Slot::free(0); 8];

        assert!(!insert(&mut slots, 0, 1));
        assert_eq!(find(&slots, 0), None);
        assert!(insert(&mut slots, 1, 2));
        assert_eq!(find(&slots, 0), None);
    }

    #[test]
    fn second_insert_is_refused() {
        let mut slots = [Slot::free(0); 8];

        assert!(insert(&mut slots, 0x1000, 1));
        assert!(!insert(&mut slots, 0x1000, 2));
        assert_eq!(find(&slots, 0x1000), Some(&1));
    }

    #[test]
    fn no_slots() {
        let mut slots: [Slot<usize>; 0] = [];

        assert!(!insert(&mut slots, 1, 1));
        assert_eq!(find(&slots, 1), None);
        assert_eq!(find(&slots, 0), None);
    }

    #[test]
    fn one_slot() {
        let mut slots = [Slot::free(0); 1];

        assert!(insert(&mut slots, usize::MAX, 1));
        assert!(!insert(&mut slots, 1, 2));
        assert_eq!(find(&slots, usize::MAX), Some(&1));
        assert_eq!(find(&slots, 1), None);
    }

    /// Every search in a full table ends, also one for a call site that is absent.
    #[test]
    fn full_table() {
        let mut slots = [Slot::free(0); 8];

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
    fn colliding_call_sites() {
        use super::{
            colliding,
            inverse,
            GOLDEN, //
        };
        let mut slots = [Slot::free(0); 16];

        assert_eq!(GOLDEN.wrapping_mul(inverse()), 1);
        for n in 1..=16 {
            assert!(insert(&mut slots, colliding(n), n));
        }
        for n in 1..=16 {
            assert_eq!(find(&slots, colliding(n)), Some(&n));
        }
        assert_eq!(find(&slots, colliding(17)), None);
        assert!(!insert(&mut slots, colliding(17), 17));
    }
}
