// SPDX-License-Identifier: GPL-2.0

//! Files that others read at any time.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes a file that is there whole or not at all, whatever happens meanwhile. What is written
/// before it has its name has a name that nobody can have prepared.
pub fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = match path.parent() {
        // A name without a path.
        Some(dir) if dir.as_os_str().is_empty() => Path::new("."),
        Some(dir) => dir,
        None => return Err(io::Error::other("it is no file")),
    };
    let mut new = NamedTempFile::new_in(dir)?;
    new.write_all(bytes)?;
    let file = new.as_file();
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.sync_all()?;
    new.persist(path).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_others_have_prepared_is_not_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, to) = (dir.path().join("victim"), dir.path().join("to"));
        fs::write(&victim, "old").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join("to.new")).unwrap();
        std::os::unix::fs::symlink(&victim, &to).unwrap();
        write_whole(&to, b"new").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"old");
        assert!(to.symlink_metadata().unwrap().is_file());
        assert_eq!(fs::read(&to).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }
}
