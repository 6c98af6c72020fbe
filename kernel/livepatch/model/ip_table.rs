// SPDX-License-Identifier: GPL-2.0

//! An open-addressing hash table from call site to value, built once and then only read.
//!
//! The table lives in a slice of the caller. Its length is a power of two and at least twice the
//! number of entries, so that a probe for an absent call site always meets a free slot.

/// One slot; a call site is never 0, which marks a free slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<T> {
    ip: usize,
    value: Option<T>,
}

impl<T> Slot<T> {
    /// A free slot.
    pub(crate) const FREE: Self = Slot { ip: 0, value: None };
}

/// The number of slots for `entries` call sites.
///
/// `None` if that number cannot be represented.
pub(crate) fn slots_for(entries: usize) -> Option<usize> {
    entries.max(4).checked_mul(2)?.checked_next_power_of_two()
}

/// Fibonacci hashing: the high bits of the product depend on all bits of the call site.
#[inline(always)]
fn home(ip: usize, mask: usize) -> usize {
    #[cfg(target_pointer_width = "64")]
    const GOLDEN: usize = 0x61c8_8646_80b5_83eb;
    #[cfg(not(target_pointer_width = "64"))]
    const GOLDEN: usize = 0x61c8_8647;

    (ip.wrapping_mul(GOLDEN) >> (usize::BITS / 2)) & mask
}

/// Enters `value` for `ip`.
///
/// Returns `false`, and changes nothing, if `ip` is 0 or already there, or if no slot is free.
pub(crate) fn insert<T>(slots: &mut [Slot<T>], ip: usize, value: T) -> bool {
    let mask = slots.len().wrapping_sub(1);
    let mut at = home(ip, mask);

    if ip == 0 {
        return false;
    }
    for _ in 0..slots.len() {
        match slots.get_mut(at) {
            Some(slot) if slot.ip == 0 => {
                *slot = Slot {
                    ip,
                    value: Some(value),
                };
                return true;
            }
            Some(slot) if slot.ip != ip => at = at.wrapping_add(1) & mask,
            _ => return false,
        }
    }
    false
}

/// Finds the value for `ip`.
///
/// Runs in the ftrace handler: no panic, no call that is not inlined.
#[inline(always)]
pub(crate) fn find<T>(slots: &[Slot<T>], ip: usize) -> Option<&T> {
    let mask = slots.len().wrapping_sub(1);
    let mut at = home(ip, mask);

    // A free slot ends the search at the latest; the bound only saves a full table, which
    // `slots_for()` excludes, from an endless loop.
    let mut left = slots.len();
    while left > 0 {
        let slot = slots.get(at)?;
        if slot.ip == ip {
            return slot.value.as_ref();
        }
        if slot.ip == 0 {
            return None;
        }
        at = at.wrapping_add(1) & mask;
        left = left.wrapping_sub(1);
    }
    None
}
