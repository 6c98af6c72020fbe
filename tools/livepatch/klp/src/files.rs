// SPDX-License-Identifier: GPL-2.0

//! Files that others read at any time.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Writes a file that is there whole or not at all, whatever happens meanwhile.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = OsString::from(path);
    new.push(".new");
    let written = File::create(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        match path.parent() {
            // A name without a path.
            Some(dir) if dir.as_os_str().is_empty() => File::open(".")?.sync_all(),
            Some(dir) => File::open(dir)?.sync_all(),
            None => Ok(()),
        }
    });
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}
