// SPDX-License-Identifier: GPL-2.0

//! `/var/lib/kpatch`: the livepatches that are loaded at boot, in a folder for each release of the
//! kernel. All tools use that one.

use std::cmp::Ordering;
use std::io;
use std::path::{Path, PathBuf};

use alphanumeric_sort::compare_str;

use crate::root::Root;

/// The folder.
pub const DIR: &str = "/var/lib/kpatch";

/// A livepatch that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    pub name: String,
    pub release: String,
    /// Below the root.
    pub file: PathBuf,
}

impl Installed {
    /// Is it this one?
    pub fn is(&self, release: &str, name: &str) -> bool {
        self.release == release && self.name == name
    }
}

/// All of them, by release, and in the order in which they are loaded. [`None`]: they may not be
/// seen.
pub fn installed(root: &Root) -> io::Result<Option<Vec<Installed>>> {
    let mut installed = Vec::new();
    let Some(releases) = root.folders(DIR)? else {
        return Ok(None);
    };
    for release in releases {
        let dir = Path::new(DIR).join(&release);
        let Some(files) = root.names(&dir)? else {
            return Ok(None);
        };
        for file in files.iter().filter(|file| file.ends_with(".ko")) {
            installed.push(Installed {
                name: module_name(file),
                release: release.clone(),
                file: dir.join(file),
            });
        }
    }
    installed.sort_by(|a, b| {
        let release = a.release.cmp(&b.release);
        release.then_with(|| load_order(&a.name, &b.name))
    });
    Ok(Some(installed))
}

/// Numbers count as such: `kpatch_1_10` comes after `kpatch_1_9`, and replaces it.
pub fn load_order(a: &str, b: &str) -> Ordering {
    compare_str(a, b)
}

/// Is this a path, and not a name? It may be that of a packed module.
pub fn is_path(what: &str) -> bool {
    what.contains('/') || what.contains(".ko")
}

/// What is meant on the command line: a path, or the name of what is installed for the kernel
/// `release`. A name is never a file of the current folder.
pub fn find(root: &Root, release: &str, what: &str) -> io::Result<Option<PathBuf>> {
    if is_path(what) {
        let path = PathBuf::from(what);
        if path.exists() {
            return Ok(Some(path));
        }
    }
    if what.contains('/') {
        return Ok(None);
    }
    let name = module_name(what);
    let installed = installed(root)?.unwrap_or_default();
    let found = installed.into_iter().find(|it| it.is(release, &name));
    Ok(found.map(|it| root.path(it.file)))
}

/// Can a kernel have this release? It is the name of a folder.
pub fn is_release(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text.bytes().all(|c| c.is_ascii_graphic() && c != b'/')
}

/// The name that a module in the file `path` has when it is loaded.
pub fn module_name(path: impl AsRef<Path>) -> String {
    let file = path
        .as_ref()
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let name = [".gz", ".xz", ".zst"]
        .iter()
        .find_map(|end| file.strip_suffix(end))
        .unwrap_or(&file);
    name.strip_suffix(".ko").unwrap_or(name).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_name_of_its_module() {
        assert_eq!(module_name("/x/livepatch-fix.ko"), "livepatch_fix");
        assert_eq!(module_name("kpatch-1-2.ko.xz"), "kpatch_1_2");
        assert_eq!(module_name("name"), "name");
    }

    #[test]
    fn numbers_are_in_order() {
        let mut names = ["kpatch_1_10", "kpatch_1_9", "a_2", "kpatch_1_9_1"];
        names.sort_by(|a, b| load_order(a, b));
        assert_eq!(names, ["a_2", "kpatch_1_9", "kpatch_1_9_1", "kpatch_1_10"]);
    }

    #[test]
    fn a_release_is_no_path() {
        for release in ["7.3.4-1-amd64", "6.1.0+~x_y"] {
            assert!(is_release(release), "{release}");
        }
        for release in ["", ".", "..", "../..", "a/b", "a b", "a\n"] {
            assert!(!is_release(release), "{release}");
        }
    }
}
