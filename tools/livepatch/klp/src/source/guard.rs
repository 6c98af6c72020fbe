// SPDX-License-Identifier: GPL-2.0

//! `/var/lib/klp/guard`: which livepatches were loaded at a boot of which nobody knows yet whether it
//! ended well. Each has a file of its name, and in it the ID of that boot.

use std::io;
use std::path::{Path, PathBuf};

use super::modules::is_name;
use crate::root::Root;

/// The folder.
pub const DIR: &str = "/var/lib/klp/guard";

/// A livepatch that is guarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    pub name: String,
    /// Was it loaded by the boot that is now? If not, that one has ended, and not well.
    pub this_boot: bool,
}

/// The file of a livepatch.
pub fn file(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// The ID that the kernel has given to this boot.
pub fn boot_id(root: &Root) -> io::Result<Option<String>> {
    root.text("/proc/sys/kernel/random/boot_id")
}

/// All of them, by name. What may not be seen is not there: it only tells why something was not
/// loaded.
pub fn guards(root: &Root) -> io::Result<Vec<Guard>> {
    let this_boot = boot_id(root)?;
    let mut guards = Vec::new();
    for name in root.names(DIR)?.unwrap_or_default() {
        // Others are files that are just being written.
        if !is_name(&name) {
            continue;
        }
        let Some(id) = root.text(file(&name))? else {
            continue;
        };
        guards.push(Guard {
            this_boot: this_boot.as_deref() == Some(id.trim()),
            name,
        });
    }
    Ok(guards)
}
