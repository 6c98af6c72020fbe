// SPDX-License-Identifier: GPL-2.0

//! `/proc/kallsyms`: the symbols of the kernel and of the modules that are loaded.

use std::collections::{HashMap, HashSet};
use std::io;

use super::modules::in_brackets;
use crate::root::Root;

const FILE: &str = "/proc/kallsyms";

/// The symbols that somebody has asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kallsyms {
    /// By object and name: the addresses of all symbols of that name, in the order in which the
    /// kernel counts them.
    symbols: HashMap<String, HashMap<String, Vec<u64>>>,
    /// Where there is any symbol, in order. Empty if addresses may not be seen.
    starts: Vec<u64>,
    /// Those that modules may use.
    exported: HashSet<String>,
    /// Does the kernel list what it exports?
    lists_exports: bool,
    /// Those that are there with what a compiler has appended to them.
    suffixed: HashSet<String>,
}

impl Kallsyms {
    /// Those whose names are `wanted`. [`None`]: there is no such file, or it has nothing.
    pub fn read(root: &Root, wanted: &HashSet<&str>) -> io::Result<Option<Self>> {
        let text = root.text(FILE)?;
        Ok(text
            .filter(|text| !text.is_empty())
            .map(|text| Self::parse(&text, wanted)))
    }

    fn parse(text: &str, wanted: &HashSet<&str>) -> Self {
        let mut found = Self::default();
        for Line {
            address,
            kind,
            name,
            object,
        } in text.lines().filter_map(line)
        {
            if address != 0 {
                found.starts.push(address);
            }
            if let Some(name) = name.strip_prefix("__ksymtab_") {
                found.lists_exports |= object == "vmlinux";
                if wanted.contains(name) && object == "vmlinux" {
                    found.exported.insert(name.to_owned());
                }
            }
            if let Some((name, _)) = name.split_once(".llvm.") {
                if wanted.contains(name) {
                    found.suffixed.insert(name.to_owned());
                }
            }
            if wanted.contains(name) {
                // A capital letter means that, but of the kernel itself.
                if object != "vmlinux" && kind.is_ascii_uppercase() {
                    found.exported.insert(name.to_owned());
                }
                let names = found.symbols.entry(object.to_owned()).or_default();
                names.entry(name.to_owned()).or_default().push(address);
            }
        }
        found.starts.sort_unstable();
        found.starts.dedup();
        found
    }

    /// The addresses of the symbols of this name; 0 if they may not be seen.
    pub fn addresses(&self, object: &str, name: &str) -> &[u64] {
        let names = self.symbols.get(object);
        names
            .and_then(|names| names.get(name))
            .map_or(&[], Vec::as_slice)
    }

    /// May modules use this symbol? [`None`]: the kernel does not list those.
    pub fn exports(&self, name: &str) -> Option<bool> {
        match self.exported.contains(name) {
            true => Some(true),
            false => self.lists_exports.then_some(false),
        }
    }

    /// Is there one that a compiler has made of it, with `.llvm.` and a number behind? Some kernels take
    /// that for the same name.
    pub fn is_suffixed(&self, name: &str) -> bool {
        self.suffixed.contains(name)
    }

    /// Where the symbol begins that has this address in it.
    pub fn start(&self, address: u64) -> Option<u64> {
        let after = self.starts.partition_point(|start| *start <= address);
        self.starts.get(after.checked_sub(1)?).copied()
    }

    /// May addresses be seen?
    pub fn has_addresses(&self) -> bool {
        !self.starts.is_empty()
    }
}

struct Line<'a> {
    address: u64,
    kind: char,
    name: &'a str,
    object: &'a str,
}

/// `address type name`, and, of a module, a tabulator and `[module]`.
fn line(line: &str) -> Option<Line<'_>> {
    let (address, rest) = line.split_once(' ')?;
    let (kind, rest) = rest.split_once(' ')?;
    let (name, object) = match rest.split_once('\t') {
        Some((name, object)) => (name, in_brackets(object.trim_start_matches('['))),
        None => (rest, "vmlinux"),
    };
    Some(Line {
        address: u64::from_str_radix(address, 16).ok()?,
        kind: kind.chars().next()?,
        name,
        object,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\
ffffffff81000000 T _text
ffffffff81000010 t twice
ffffffff81000020 t once
ffffffff81000030 t twice
ffffffffc0000000 t once\t[ext4]
";

    #[test]
    fn symbols_are_counted_by_object() {
        let kallsyms = Kallsyms::parse(TEXT, &HashSet::from(["once", "twice"]));
        assert_eq!(
            kallsyms.addresses("vmlinux", "twice"),
            [0xffff_ffff_8100_0010, 0xffff_ffff_8100_0030]
        );
        assert_eq!(kallsyms.addresses("ext4", "once").len(), 1);
        assert!(kallsyms.addresses("ext4", "twice").is_empty());
        assert_eq!(
            kallsyms.start(0xffff_ffff_8100_0024),
            Some(0xffff_ffff_8100_0020)
        );
        assert_eq!(kallsyms.start(1), None);
    }

    #[test]
    fn modules_may_use_what_is_exported() {
        let wanted = HashSet::from(["a", "b", "c", "d", "e"]);
        let kallsyms = Kallsyms::parse(
            "1 T a\n2 T b\n3 R __ksymtab_a\n4 T c\t[m]\n5 t d\t[m]\n6 t e.llvm.123\n",
            &wanted,
        );
        let exports = ["a", "b", "c", "d"].map(|name| kallsyms.exports(name).unwrap());
        assert_eq!(exports, [true, false, true, false]);
        assert!(kallsyms.is_suffixed("e") && !kallsyms.is_suffixed("a"));
        // A kernel that lists none of its variables.
        let kallsyms = Kallsyms::parse("1 T a\n2 T b\t[m]\n", &wanted);
        assert_eq!(kallsyms.exports("a"), None);
        assert_eq!(kallsyms.exports("b"), Some(true));
    }

    #[test]
    fn addresses_may_be_hidden() {
        let kallsyms = Kallsyms::parse("0000000000000000 t once\n", &HashSet::from(["once"]));
        assert!(!kallsyms.has_addresses());
        assert_eq!(kallsyms.addresses("vmlinux", "once"), [0]);
    }

    proptest! {
        #[test]
        fn anything_may_be_in_the_file(text: String) {
            Kallsyms::parse(&text, &HashSet::new());
        }
    }
}
