// SPDX-License-Identifier: GPL-2.0

//! `/sys/module`: what is loaded.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use super::sysfs;
use crate::root::Root;

const DIR: &str = "/sys/module";

/// A module that is loaded. [`None`] is what the kernel does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    pub refcnt: Option<u32>,
    pub taint: Option<String>,
    pub srcversion: Option<String>,
    pub build_id: Option<String>,
}

impl Module {
    /// Has the kernel given it the letter of a livepatch?
    pub fn is_livepatch(&self) -> bool {
        is_livepatch(self.taint.as_deref())
    }
}

/// The longest name that a module can have, `MODULE_NAME_LEN` without the byte at its end.
const LONGEST_NAME: usize = 55;

/// Can a module have this name? Kbuild makes names of letters, digits and underscores, and what
/// has no other character is no path.
pub fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// The module in `name]`, as the kernel writes it after a symbol. With `CONFIG_STACKTRACE_BUILD_ID` a
/// build ID follows the name.
pub(super) fn in_brackets(rest: &str) -> &str {
    let rest = rest.trim_end_matches(']');
    rest.split_once(' ').map_or(rest, |(name, _)| name)
}

/// The loaded module `name`; [`None`] if there is none.
pub fn module(root: &Root, name: &str) -> io::Result<Option<Module>> {
    // What is no name is no path either.
    if !is_name(name) {
        return Ok(None);
    }
    let dir = PathBuf::from(DIR).join(name);
    // A folder without this file belongs to code that is built in.
    if !root.exists(dir.join("initstate")) {
        return Ok(None);
    }
    Ok(Some(Module {
        refcnt: root.number(dir.join("refcnt"))?,
        taint: root.text(dir.join("taint"))?,
        srcversion: root.text(dir.join("srcversion"))?,
        build_id: root
            .bytes(dir.join("notes/.note.gnu.build-id"))?
            .and_then(|note| build_id(&note)),
    }))
}

/// Is a module of this name loaded, to its end?
pub fn is_live(root: &Root, name: &str) -> io::Result<bool> {
    if !is_name(name) {
        return Ok(false);
    }
    let state = root.text(PathBuf::from(DIR).join(name).join("initstate"))?;
    Ok(state.as_deref() == Some("live"))
}

/// The livepatch modules that are loaded and patch nothing any more.
pub fn leftover(root: &Root) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for name in root.names(DIR)?.unwrap_or_default() {
        let taint = root.text(PathBuf::from(DIR).join(&name).join("taint"))?;
        if is_livepatch(taint.as_deref()) && !sysfs::is_there(root, &name) {
            found.push(name);
        }
    }
    Ok(found)
}

/// The kernel gives a letter to each module that has been a livepatch.
fn is_livepatch(taint: Option<&str>) -> bool {
    taint.is_some_and(|taint| taint.contains('K'))
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The hexadecimal digits of an ELF note of type `NT_GNU_BUILD_ID`.
pub fn build_id(note: &[u8]) -> Option<String> {
    const GNU: &[u8] = b"GNU\0";
    const NT_GNU_BUILD_ID: usize = 3;

    let word = |at: usize| {
        let bytes = note.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_ne_bytes(bytes)).ok()
    };
    if word(0)? != GNU.len() || word(8)? != NT_GNU_BUILD_ID || note.get(12..16)? != GNU {
        return None;
    }
    let id = note.get(16..16usize.checked_add(word(4)?)?)?;
    Some(hex(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn note(id: &[u8]) -> Vec<u8> {
        let words = [4, u32::try_from(id.len()).unwrap(), 3].map(u32::to_ne_bytes);
        [words.concat().as_slice(), b"GNU\0", id].concat()
    }

    #[test]
    fn a_name_is_no_path() {
        let longest = "a".repeat(LONGEST_NAME);
        for name in ["a", "livepatch_CVE_2026_1", &longest] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a-b",
            "\u{e4}",
            &(longest + "a"),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_note_has_the_id() {
        assert_eq!(build_id(&note(&[0x0a, 0xff])).unwrap(), "0aff");
    }

    #[test]
    fn a_note_that_is_cut_off_has_none() {
        let note = note(&[1; 20]);
        for end in 0..note.len() {
            assert_eq!(build_id(&note[..end]), None);
        }
    }

    proptest! {
        #[test]
        fn anything_may_be_in_a_note(bytes: Vec<u8>) {
            build_id(&bytes);
        }
    }
}
