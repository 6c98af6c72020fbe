// SPDX-License-Identifier: GPL-2.0

//! An open-addressing hash table from call site to value, built once and then only read.
//!
//! The table lives in a slice of the caller. Its length is a power of two and at least twice the
//! number of entries, so that a probe for an absent call site always meets a free slot.
//!
//! The ftrace handler searches such a table, too, by `klp_find_call()` in `shim/calls.h`: that has
//! to go the same way as [`find`].

/// One slot; a call site is never 0, which marks a free slot.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot<T> {
    ip: usize,
    value: T,
}

impl<T> Slot<T> {
    /// Where the call site is, for C.
    pub(crate) const IP_OFFSET: usize = core::mem::offset_of!(Self, ip);

    /// A free slot. Nobody is told its value.
    pub(crate) const fn free(value: T) -> Self {
        Slot { ip: 0, value }
    }
}

/// The number of slots for `entries` call sites.
///
/// `None` if that number cannot be represented.
pub(crate) fn slots_for(entries: usize) -> Option<usize> {
    entries.max(4).checked_mul(2)?.checked_next_power_of_two()
}

/// The slot of `slots` where the search for `ip` begins.
///
/// Fibonacci hashing, as `hash_long()`: the high bits of the product depend on all bits of the call
/// site.
fn home(ip: usize, slots: usize) -> usize {
    #[cfg(target_pointer_width = "64")]
    const GOLDEN: usize = 0x61c8_8646_80b5_83eb;
    #[cfg(not(target_pointer_width = "64"))]
    const GOLDEN: usize = 0x61c8_8647;

    // Of one slot, there are no bits.
    let shift = usize::BITS.wrapping_sub(slots.trailing_zeros());
    ip.wrapping_mul(GOLDEN).checked_shr(shift).unwrap_or(0)
}

/// The positions at which `ip` may be in a table of `slots` slots, in the order of the search.
fn positions(ip: usize, slots: usize) -> impl Iterator<Item = usize> {
    let mask = slots.wrapping_sub(1);
    let home = home(ip, slots);

    // A free slot ends the search at the latest; the bound only saves a full table, which
    // `slots_for()` excludes, from an endless loop.
    (0..slots).map(move |step| home.wrapping_add(step) & mask)
}

/// Enters `value` for `ip`.
///
/// Returns `false`, and changes nothing, if `ip` is 0 or already there, or if no slot is free.
pub(crate) fn insert<T>(slots: &mut [Slot<T>], ip: usize, value: T) -> bool {
    if ip == 0 {
        return false;
    }
    for at in positions(ip, slots.len()) {
        match slots.get_mut(at) {
            Some(slot) if slot.ip == 0 => {
                *slot = Slot { ip, value };
                return true;
            }
            Some(slot) if slot.ip != ip => {}
            _ => return false,
        }
    }
    false
}

/// Finds the value for `ip`.
pub(crate) fn find<T>(slots: &[Slot<T>], ip: usize) -> Option<&T> {
    positions(ip, slots.len())
        .map_while(|at| slots.get(at))
        .take_while(|slot| slot.ip != 0)
        .find(|slot| slot.ip == ip)
        .map(|slot| &slot.value)
}
