// SPDX-License-Identifier: GPL-2.0

//! Where all facts are read: the running system, or a copy of the files of one.
//!
//! Everything below `/sys` and `/proc` can go while it is read, so what is not there is no error:
//! the readers answer [`None`] for it. What is there and may not be read, by somebody who is not
//! root, is not known either, and answered in the same way; only what fails in another way is an
//! error.

use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// The folder that is taken for `/`.
#[derive(Clone, Debug)]
pub struct Root {
    dir: PathBuf,
}

impl Root {
    /// Reads below `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Is this the system that runs?
    pub fn is_live(&self) -> bool {
        self.dir == Path::new("/")
    }

    /// Where the file `path` of the system is.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.dir.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// What a small file says, without the newline at its end. [`None`]: it is not there or may
    /// not be read.
    pub fn text(&self, path: impl AsRef<Path>) -> io::Result<Option<String>> {
        let bytes = self.bytes(path)?;
        Ok(bytes.map(|bytes| {
            String::from_utf8_lossy(&bytes)
                .trim_end_matches('\n')
                .to_owned()
        }))
    }

    /// As [`Self::text`], for a file that is no text.
    pub fn bytes(&self, path: impl AsRef<Path>) -> io::Result<Option<Vec<u8>>> {
        known(fs::read(self.path(path)))
    }

    /// A file that holds a number.
    pub fn number<T: std::str::FromStr>(&self, path: impl AsRef<Path>) -> io::Result<Option<T>> {
        Ok(self.text(path)?.and_then(|text| text.trim().parse().ok()))
    }

    /// A file that holds `0` or `1`, `N` or `Y`.
    pub fn flag(&self, path: impl AsRef<Path>) -> io::Result<Option<bool>> {
        Ok(match self.text(path)?.as_deref().map(str::trim) {
            Some("1" | "Y" | "y") => Some(true),
            Some("0" | "N" | "n") => Some(false),
            _ => None,
        })
    }

    /// The names in a folder, in order. A folder that is not there has none. [`None`]: there is
    /// one, and it may not be read.
    pub fn names(&self, path: impl AsRef<Path>) -> io::Result<Option<Vec<String>>> {
        self.names_if(path, |_| true)
    }

    /// As [`Self::names`], of folders only.
    pub fn folders(&self, path: impl AsRef<Path>) -> io::Result<Option<Vec<String>>> {
        // Most entries say what they are: a livepatch may have thousands.
        self.names_if(path, |entry| match entry.file_type() {
            Ok(kind) if kind.is_symlink() => entry.path().is_dir(),
            Ok(kind) => kind.is_dir(),
            Err(_) => false,
        })
    }

    fn names_if(
        &self,
        path: impl AsRef<Path>,
        wanted: impl Fn(&DirEntry) -> bool,
    ) -> io::Result<Option<Vec<String>>> {
        let entries = match fs::read_dir(self.path(path)) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return Ok(None),
            entries => match known(entries)? {
                Some(entries) => entries,
                None => return Ok(Some(Vec::new())),
            },
        };
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .filter(wanted)
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        Ok(Some(names))
    }

    /// Is there anything of this name?
    pub fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).exists()
    }
}

/// Tells what is not known from what went wrong. `ENODEV` and `ESRCH` come from files of objects
/// and tasks that have gone since the file was opened.
pub fn known<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_unknown(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_unknown(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory
    ) || matches!(
        Errno::from_io_error(error),
        Some(Errno::NODEV | Errno::SRCH | Errno::PERM | Errno::OPNOTSUPP)
    )
}
