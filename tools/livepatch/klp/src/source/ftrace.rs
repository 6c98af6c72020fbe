// SPDX-License-Identifier: GPL-2.0

//! tracefs: which functions can call somebody, and which ones do.

use std::collections::{HashMap, HashSet};
use std::io;

use super::modules::in_brackets;
use crate::root::Root;

const DIRS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// The functions that call somebody, by the object they are in and their names. Of several with one
/// name the flags of all are put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    functions: HashMap<(String, String), Flags>,
}

/// What ftrace says of a function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Somebody may redirect calls of it: a livepatch, or who says that it is one.
    pub redirects: bool,
    /// A program is called in its place, which may call it, or not.
    pub direct: bool,
}

impl Attached {
    /// [`None`]: it may not be read, or tracefs is not mounted.
    pub fn read(root: &Root) -> io::Result<Option<Self>> {
        for dir in DIRS {
            if let Some(text) = root.text(format!("{dir}/enabled_functions"))? {
                return Ok(Some(Self::parse(&text)));
            }
        }
        Ok(None)
    }

    fn parse(text: &str) -> Self {
        let mut attached = Self::default();
        for (object, function, flags) in text.lines().filter_map(line) {
            let found = attached.functions.entry((object, function)).or_default();
            found.redirects |= flags.redirects;
            found.direct |= flags.direct;
        }
        attached
    }

    /// [`None`]: nobody is called.
    pub fn flags(&self, object: &str, function: &str) -> Option<Flags> {
        self.functions
            .get(&(object.to_owned(), function.to_owned()))
            .copied()
    }
}

/// The functions that ftrace can have call somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Traceable {
    /// Where their calls are, since Linux 6.5.
    Addresses(Vec<u64>),
    /// Their names by object.
    Names(HashSet<(String, String)>),
}

impl Traceable {
    /// [`None`]: it may not be read, or tracefs is not mounted.
    pub fn read(root: &Root) -> io::Result<Option<Self>> {
        for dir in DIRS {
            if let Some(text) = root.text(format!("{dir}/available_filter_functions_addrs"))? {
                return Ok(Some(Self::Addresses(addresses(&text))));
            }
            if let Some(text) = root.text(format!("{dir}/available_filter_functions"))? {
                return Ok(Some(Self::Names(text.lines().map(place).collect())));
            }
        }
        Ok(None)
    }
}

/// `address function [module]`
fn addresses(text: &str) -> Vec<u64> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    // A place whose function is not linked in is in that of another one.
    lines
        .filter(|(_, function)| !function.starts_with("__ftrace_invalid_address"))
        .filter_map(|(address, _)| u64::from_str_radix(address, 16).ok())
        .collect()
}

/// `function [module]`
fn place(line: &str) -> (String, String) {
    let (function, object) = match line.split_once(" [") {
        Some((function, rest)) => (function, in_brackets(rest)),
        None => (line, "vmlinux"),
    };
    (object.to_owned(), function.trim().to_owned())
}

/// `function [module] (count) R I D ...`; what follows a tabulator is about whom it calls, and so
/// are lines that begin with one.
fn line(line: &str) -> Option<(String, String, Flags)> {
    if line.starts_with(char::is_whitespace) {
        return None;
    }
    let (place, rest) = line.split_once(" (")?;
    let (_, flags) = rest.split('\t').next()?.split_once(')')?;
    let has = |flag| flags.split_whitespace().any(|it| it == flag);
    let flags = Flags {
        redirects: has("I"),
        direct: has("D"),
    };
    let (object, function) = self::place(place);
    Some((object, function, flags))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_function_has_flags() {
        let attached = Attached::parse(
            "cmdline_proc_show (1) R I       \ttramp: 0xffffffffc0203000 (klp_ftrace_handler+0x0/0x1)\n\
             f [ext4] (2) R I D   M \ttramp: x\n\
             \tdirect(jmp)-->bpf_trampoline_1+0x0/0x1\n\
             g (1)             \ttramp: (I) (D)\n",
        );
        let flags = |redirects, direct| Some(Flags { redirects, direct });
        assert_eq!(
            attached.flags("vmlinux", "cmdline_proc_show"),
            flags(true, false)
        );
        assert_eq!(attached.flags("ext4", "f"), flags(true, true));
        assert_eq!(attached.flags("vmlinux", "f"), None);
        assert_eq!(attached.flags("vmlinux", "g"), flags(false, false));
    }

    #[test]
    fn what_can_be_traced_has_addresses() {
        let text = "ffffffff81000004 f\nffffffff81000104 __ftrace_invalid_address___260\n\
                    ffffffffc0000004 g [ext4]\nnonsense\n";
        assert_eq!(
            addresses(text),
            [0xffff_ffff_8100_0004, 0xffff_ffff_c000_0004]
        );
        assert_eq!(place("g [ext4 0123]"), ("ext4".to_owned(), "g".to_owned()));
    }

    proptest! {
        #[test]
        fn anything_may_be_in_the_file(text: String) {
            Attached::parse(&text);
            addresses(&text);
            place(&text);
        }
    }
}
