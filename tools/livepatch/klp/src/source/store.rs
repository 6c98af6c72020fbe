// SPDX-License-Identifier: GPL-2.0

//! `/var/lib/kpatch`: the livepatches that are loaded at boot, in a folder for each release of the
//! kernel. All tools use that one.

use std::io;
use std::path::{Path, PathBuf};

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

/// All of them, by release and file name.
pub fn installed(root: &Root) -> io::Result<Vec<Installed>> {
    let mut installed = Vec::new();
    for release in root.folders(DIR)? {
        let dir = Path::new(DIR).join(&release);
        for file in root.names(&dir)? {
            if file.ends_with(".ko") {
                installed.push(Installed {
                    name: module_name(&file),
                    release: release.clone(),
                    file: dir.join(file),
                });
            }
        }
    }
    Ok(installed)
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
}
