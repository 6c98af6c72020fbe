// SPDX-License-Identifier: GPL-2.0

//! How far functions of a module reach, for all of them by one walk over its symbols.
//!
//! kallsyms knows where the symbols of a module begin: a function reaches up to the next one, or to
//! the end of the memory that it is in. `find_kallsyms_symbol()` looks for that among all symbols,
//! for one address at a time.

use super::sort::sort_by_key;
use core::ops::Range;

/// What is known about the code at one address.
#[derive(Clone, Debug)]
pub(crate) struct Extent {
    addr: usize,
    /// The memory of the module that the address is in. Symbols outside have nothing to say.
    memory: Range<usize>,
    /// The nearest symbol at the address or before it.
    symbol: Option<usize>,
    /// The nearest symbol behind it.
    next: usize,
}

impl Extent {
    /// The code at `addr`, which is in `memory`, before any symbol was seen.
    pub(crate) const fn new(addr: usize, memory: Range<usize>) -> Self {
        Extent {
            addr,
            memory,
            symbol: None,
            next: usize::MAX,
        }
    }

    /// The bytes from the address to the end of the function, padding included; `None` if the
    /// address is in no function. After [`finish`].
    pub(crate) fn size(&self) -> Option<usize> {
        self.symbol
            .filter(|&symbol| symbol >= self.memory.start)
            .map(|_| self.next.min(self.memory.end).saturating_sub(self.addr))
    }
}

/// Puts `extents` into the order that the functions below need.
pub(crate) fn sort(extents: &mut [Extent]) {
    sort_by_key(extents, |extent| extent.addr);
}

/// Takes the next symbol into account, in any order of the symbols.
pub(crate) fn offer(extents: &mut [Extent], name: &[u8], addr: usize) {
    if is_ignored(name) {
        return;
    }
    // Only the nearest ones on both sides: `finish` tells the others.
    let (before, from) = extents.split_at_mut(extents.partition_point(|extent| extent.addr < addr));

    if let Some(extent) = before.last_mut() {
        extent.next = extent.next.min(addr);
    }
    if let Some(extent) = from.first_mut() {
        extent.symbol = extent.symbol.max(Some(addr));
    }
}

/// Ends the walk: all symbols were offered.
pub(crate) fn finish(extents: &mut [Extent]) {
    let mut symbol = None;
    for extent in extents.iter_mut() {
        symbol = extent.symbol.max(symbol);
        extent.symbol = symbol;
    }

    let mut next = usize::MAX;
    for extent in extents.iter_mut().rev() {
        next = extent.next.min(next);
        extent.next = next;
    }
}

/// Finds what is known about the code at `addr`; `None` if nobody has asked for it.
pub(crate) fn find(extents: &[Extent], addr: usize) -> Option<&Extent> {
    let at = extents
        .binary_search_by_key(&addr, |extent| extent.addr)
        .ok()?;

    extents.get(at)
}

/// Is it a symbol without a name, or a mapping symbol? Those begin no function: see
/// `is_mapping_symbol()`.
fn is_ignored(name: &[u8]) -> bool {
    matches!(name, [] | [b'$', ..] | [b'.', b'L', ..] | [b'L', b'0', ..])
}
