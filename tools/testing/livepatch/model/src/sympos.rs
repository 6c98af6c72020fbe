// SPDX-License-Identifier: GPL-2.0

//! Resolving a symbol name that may occur more than once.

use crate::model::sympos::{
    Search,
    Unresolved, //
};
use proptest::prelude::*;

/// Searches among all occurrences, without stopping early.
fn resolve(occurrences: &[usize], sympos: usize) -> Result<usize, Unresolved> {
    let mut search = Search::new(sympos);

    for &addr in occurrences {
        search.offer(addr);
    }
    search.outcome()
}

/// Searches as a caller does that stops when the search is over; also tells how far it came.
fn resolve_stopping(occurrences: &[usize], sympos: usize) -> (usize, Result<usize, Unresolved>) {
    let mut search = Search::new(sympos);
    let mut seen = 0;

    for &addr in occurrences {
        search.offer(addr);
        seen += 1;
        if search.is_over() {
            break;
        }
    }
    (seen, search.outcome())
}

/// `klp_find_object_symbol()` and `klp_match_callback()`, line by line; also how far it came.
fn upstream(occurrences: &[usize], sympos: usize) -> (usize, Result<usize, Unresolved>) {
    let (mut args_addr, mut args_count) = (0, 0);

    for &addr in occurrences {
        args_addr = addr;
        args_count += 1;
        if (sympos != 0 && args_count == sympos) || (sympos == 0 && args_count > 1) {
            break;
        }
    }

    let outcome = if args_addr == 0 {
        Err(Unresolved::NotFound)
    } else if args_count > 1 && sympos == 0 {
        Err(Unresolved::Ambiguous)
    } else if sympos != args_count && sympos > 0 {
        Err(Unresolved::NoSuchPosition)
    } else {
        Ok(args_addr)
    };
    (args_count, outcome)
}

/// Addresses; one of them is 0 every now and then, as a symbol of a per-CPU section may be.
fn occurrences() -> impl Strategy<Value = Vec<usize>> {
    let addr = prop_oneof![
        8 => any::<usize>(),
        1 => Just(0),
        1 => 1usize..4,
    ];

    prop::collection::vec(addr, 0..8)
}

fn sympos() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0usize..10,
        1 => any::<usize>(),
    ]
}

proptest! {
    #[test]
    fn agrees_with_upstream(occurrences in occurrences(), sympos in sympos()) {
        prop_assert_eq!(resolve(&occurrences, sympos), upstream(&occurrences, sympos).1);
    }

    #[test]
    fn stops_where_upstream_stops(occurrences in occurrences(), sympos in sympos()) {
        prop_assert_eq!(
            resolve_stopping(&occurrences, sympos),
            upstream(&occurrences, sympos)
        );
    }

    /// The rule in words, for addresses that are not 0.
    #[test]
    fn agrees_with_words(
        occurrences in prop::collection::vec(1usize.., 0..8),
        sympos in sympos(),
    ) {
        let expected = match (&occurrences[..], sympos) {
            ([], _) => Err(Unresolved::NotFound),
            ([only], 0) => Ok(*only),
            (_, 0) => Err(Unresolved::Ambiguous),
            (all, wanted) => all
                .get(wanted - 1)
                .copied()
                .ok_or(Unresolved::NoSuchPosition),
        };

        prop_assert_eq!(resolve(&occurrences, sympos), expected);
    }
}
