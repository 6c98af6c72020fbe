// SPDX-License-Identifier: GPL-2.0

//! Names of relocation sections and symbols from files, and what is near them.
//!
//! Each file of `corpus/section` and `corpus/symbol` is one name, byte for byte, with no newline
//! after it; those of `valid-*` must be accepted and those of `bad-*` must not. `valid-klp-build-*`
//! are names that the kernel's `klp-build` writes.
//!
//! The property tests take the files as a fuzzer takes its corpus: they change them, and compare the
//! parser with an oracle. `cargo fuzz` itself would need a nightly compiler, since it relies on
//! sanitizer flags that the stable one does not have; what it has over this, the search for new
//! paths, matters little for parsers of a few lines, of which each is covered.

use crate::model::reloc_name::{
    parse_section,
    parse_symbol, //
};
use proptest::{
    prelude::*,
    sample::{
        select,
        Index, //
    }, //
};
use std::{
    fs,
    path::Path, //
};

/// The files of a folder of the corpus: their names and contents.
fn corpus(folder: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(folder);
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();

            (name, fs::read(entry.path()).unwrap())
        })
        .collect();

    names.sort();
    names
}

/// Does the name of the file say that its content is valid?
fn is_valid(file: &str) -> bool {
    match file.split_once('-') {
        Some(("valid", _)) => true,
        Some(("bad", _)) => false,
        _ => panic!("{file}: the names of files begin with valid- or bad-"),
    }
}

/// The object of a section: of all ways to cut the name in two, the one that follows the rules.
fn section_oracle(name: &[u8]) -> Option<Vec<u8>> {
    let mut found = None;

    for end in 0..=name.len() {
        let (head, tail) = name.split_at(end);
        let Some(object) = head.strip_prefix(b".klp.rela.") else {
            continue;
        };
        let ends_here = tail.is_empty() || tail[0] == b'.';

        if ends_here && !object.contains(&b'.') && (1..=55).contains(&object.len()) {
            assert_eq!(found, None, "the rules allow one way only");
            found = Some(object.to_vec());
        }
    }
    found
}

/// The parts of a symbol: of all ways to cut the name in three, the one that follows the rules.
fn symbol_oracle(name: &[u8]) -> Option<(Vec<u8>, Vec<u8>, usize)> {
    let rest = name.strip_prefix(b".klp.sym.")?;
    let places = |c: u8| (0..rest.len()).filter(move |&at| rest[at] == c);
    let mut found = None;

    for dot in places(b'.') {
        for comma in places(b',').filter(|&comma| comma > dot) {
            let (object, symbol) = (&rest[..dot], &rest[dot + 1..comma]);
            let fits = !object.contains(&b'.')
                && (1..=55).contains(&object.len())
                && !symbol.contains(&b',')
                && (1..=511).contains(&symbol.len());

            if let (true, Some(sympos)) = (fits, number(&rest[comma + 1..])) {
                assert_eq!(found, None, "the rules allow one way only");
                found = Some((object.to_vec(), symbol.to_vec(), sympos));
            }
        }
    }
    found
}

/// A decimal number as the library reads it, except that it would accept a sign.
fn number(text: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(text).ok()?;

    text.chars()
        .all(|c| c.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn section(name: &[u8]) -> Option<Vec<u8>> {
    parse_section(name).map(Vec::from)
}

fn symbol(name: &[u8]) -> Option<(Vec<u8>, Vec<u8>, usize)> {
    parse_symbol(name).map(|name| (name.object.into(), name.symbol.into(), name.sympos))
}

#[test]
fn sections() {
    for (file, name) in corpus("section") {
        assert_eq!(section(&name).is_some(), is_valid(&file), "{file}");
        assert_eq!(section(&name), section_oracle(&name), "{file}");
    }
}

#[test]
fn symbols() {
    for (file, name) in corpus("symbol") {
        assert_eq!(symbol(&name).is_some(), is_valid(&file), "{file}");
        assert_eq!(symbol(&name), symbol_oracle(&name), "{file}");
    }
}

/// No folder is empty, or has files of one kind only.
#[test]
fn corpus_is_there() {
    for folder in ["section", "symbol"] {
        let (valid, bad): (Vec<_>, Vec<_>) = corpus(folder)
            .into_iter()
            .partition(|(file, _)| is_valid(file));

        assert!(valid.len() >= 10 && bad.len() >= 10, "{folder}");
        assert!(valid.iter().any(|(file, _)| file.contains("klp-build")));
    }
}

/// One change of a name.
#[derive(Clone, Debug)]
enum Edit {
    /// Invert bits of a byte.
    Flip(Index, u8),
    /// Put a byte over another.
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    /// Take out what is between two places.
    Cut(Index, Index),
    /// Repeat what is between two places.
    Repeat(Index, Index),
    /// Go on as another name does.
    Splice(Index, Vec<u8>, Index),
    Truncate(Index),
}

impl Edit {
    fn apply(&self, name: &mut Vec<u8>) {
        // A place is between two bytes, or at the start or the end.
        let place = |index: &Index| index.index(name.len() + 1);
        let between = |a: &Index, b: &Index| {
            let (a, b) = (place(a), place(b));

            a.min(b)..a.max(b)
        };

        match self {
            Edit::Flip(at, bits) => {
                if !name.is_empty() {
                    *at.get_mut(name) ^= bits;
                }
            }
            Edit::Set(at, byte) => {
                if !name.is_empty() {
                    *at.get_mut(name) = *byte;
                }
            }
            Edit::Insert(at, bytes) => {
                let at = place(at);

                name.splice(at..at, bytes.iter().copied());
            }
            Edit::Cut(a, b) => {
                name.drain(between(a, b));
            }
            Edit::Repeat(a, b) => {
                let again = name[between(a, b)].to_vec();

                name.splice(between(b, b), again);
            }
            Edit::Splice(at, other, from) => {
                let at = place(at);
                let from = from.index(other.len() + 1);

                name.truncate(at);
                name.extend_from_slice(&other[from..]);
            }
            Edit::Truncate(at) => name.truncate(place(at)),
        }
    }
}

/// Bytes that mean something to a parser, or that are next to those.
const SPECIAL: &[u8] = b".,09-_+/: x\0\n\x7f\xff";

fn change(names: Vec<Vec<u8>>) -> impl Strategy<Value = Edit> {
    let at = any::<Index>;

    prop_oneof![
        (at(), 1u8..).prop_map(|(at, bits)| Edit::Flip(at, bits)),
        (at(), (0u32..8).prop_map(|bit| 1 << bit)).prop_map(|(at, bits)| Edit::Flip(at, bits)),
        (at(), select(SPECIAL)).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (at(), prop::collection::vec(select(SPECIAL), 1..3))
            .prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (at(), prop::collection::vec(any::<u8>(), 1..60))
            .prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (at(), at()).prop_map(|(a, b)| Edit::Cut(a, b)),
        (at(), at()).prop_map(|(a, b)| Edit::Repeat(a, b)),
        (at(), select(names), at()).prop_map(|(at, other, from)| Edit::Splice(at, other, from)),
        at().prop_map(Edit::Truncate),
    ]
}

/// A name of a folder after a few changes.
fn near(folder: &str) -> impl Strategy<Value = Vec<u8>> {
    let names: Vec<Vec<u8>> = corpus(folder).into_iter().map(|(_, name)| name).collect();
    let changes = prop::collection::vec(change(names.clone()), 0..4);

    (select(names), changes).prop_map(|(mut name, changes)| {
        for change in changes {
            change.apply(&mut name);
        }
        name
    })
}

proptest! {
    // More than the usual number: these are many small formats in one.
    #![proptest_config(ProptestConfig::with_cases(8 * ProptestConfig::default().cases))]

    #[test]
    fn near_sections(name in near("section")) {
        prop_assert_eq!(section(&name), section_oracle(&name));
    }

    #[test]
    fn near_symbols(name in near("symbol")) {
        prop_assert_eq!(symbol(&name), symbol_oracle(&name));
    }
}
