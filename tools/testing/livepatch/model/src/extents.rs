// SPDX-License-Identifier: GPL-2.0

//! How far functions of a module reach.

use crate::model::extents::{
    find,
    finish,
    offer,
    sort,
    Extent, //
};
use proptest::prelude::*;
use std::ops::Range;

type Symbol = (&'static str, usize);

/// `is_mapping_symbol()`, line by line.
fn is_mapping_symbol(name: &str) -> bool {
    let byte = |at| name.as_bytes().get(at).copied().unwrap_or(0);

    if byte(0) == b'.' && byte(1) == b'L' {
        return true;
    }
    if byte(0) == b'L' && byte(1) == b'0' {
        return true;
    }
    byte(0) == b'$'
}

/// `find_kallsyms_symbol()`, line by line: size and offset.
fn upstream(addr: usize, memory: &Range<usize>, symbols: &[Symbol]) -> Option<(usize, usize)> {
    let mut next = memory.end;
    let mut best = memory.start - 1;
    let mut found = false;

    for &(name, value) in symbols {
        if name.is_empty() || is_mapping_symbol(name) {
            continue;
        }
        if value <= addr && value > best {
            best = value;
            found = true;
        }
        if value > addr && value < next {
            next = value;
        }
    }
    found.then(|| (next - best, addr - best))
}

/// Sections of a module, with gaps between them.
const SECTIONS: [Range<usize>; 3] = [0x10..0x20, 0x28..0x30, 0x30..0x38];

fn symbols() -> impl Strategy<Value = Vec<Symbol>> {
    let name = prop::sample::select(&["one", "two", "", "$x", ".L1", "L0", "Lx", "."][..]);

    prop::collection::vec((name, 0usize..0x40), 0..20)
}

proptest! {
    #[test]
    fn agrees_with_upstream(
        addrs in prop::collection::vec(0x10usize..0x38, 0..10),
        symbols in symbols(),
    ) {
        let section = |addr| SECTIONS.into_iter().find(|section| section.contains(&addr));
        let wanted: Vec<_> = addrs
            .into_iter()
            .filter_map(|addr| Some((addr, section(addr)?)))
            .collect();
        let mut extents: Vec<_> = wanted
            .iter()
            .map(|(addr, section)| Extent::new(*addr, section.clone()))
            .collect();

        sort(&mut extents);
        for &(name, symbol) in &symbols {
            offer(&mut extents, name.as_bytes(), symbol);
        }
        finish(&mut extents);

        for (addr, section) in wanted {
            let expected = upstream(addr, &section, &symbols).map(|(size, offset)| size - offset);

            prop_assert_eq!(find(&extents, addr).and_then(Extent::size), expected);
        }
    }
}
