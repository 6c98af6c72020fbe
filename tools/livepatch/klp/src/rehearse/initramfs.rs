// SPDX-License-Identifier: GPL-2.0

//! The archive that a kernel unpacks as its first file system.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::Path;

use cpio::newc::{self, Builder, ModeFileType};

/// What is in it, in order.
#[derive(Default)]
pub(super) struct Initramfs {
    entries: Vec<Entry>,
    folders: BTreeSet<String>,
}

struct Entry {
    name: String,
    kind: ModeFileType,
    mode: u32,
    bytes: Vec<u8>,
}

impl Initramfs {
    /// Only the folders that everybody needs.
    pub(super) fn new() -> Self {
        let mut new = Self::default();
        for name in ["proc", "sys", "dev", "tmp", "run"] {
            new.folder(name);
        }
        new
    }

    pub(super) fn file(&mut self, name: &str, bytes: &[u8]) {
        self.add(name, ModeFileType::Regular, 0o644, bytes);
    }

    pub(super) fn program(&mut self, name: &str, bytes: &[u8]) {
        self.add(name, ModeFileType::Regular, 0o755, bytes);
    }

    pub(super) fn link(&mut self, name: &str, to: &str) {
        self.add(name, ModeFileType::Symlink, 0o777, to.as_bytes());
    }

    fn folder(&mut self, name: &str) {
        if self.folders.insert(name.to_owned()) {
            self.entries.push(Entry {
                name: name.to_owned(),
                kind: ModeFileType::Directory,
                mode: 0o755,
                bytes: Vec::new(),
            });
        }
    }

    /// Folders come before what is in them.
    fn add(&mut self, name: &str, kind: ModeFileType, mode: u32, bytes: &[u8]) {
        let parents = Path::new(name).ancestors().skip(1);
        let mut parents: Vec<_> = parents.filter_map(Path::to_str).collect();
        parents.reverse();
        for parent in parents.into_iter().filter(|it| !it.is_empty()) {
            self.folder(parent);
        }
        self.entries.push(Entry {
            name: name.to_owned(),
            kind,
            mode,
            bytes: bytes.to_vec(),
        });
    }

    /// The archive.
    pub(super) fn archive(self) -> io::Result<Vec<u8>> {
        let mut archive = Vec::new();
        for (number, entry) in (1..).zip(self.entries) {
            let size = u32::try_from(entry.bytes.len()).map_err(io::Error::other)?;
            let builder = Builder::new(&entry.name)
                .ino(number)
                .nlink(1)
                .mode(entry.mode)
                .set_mode_file_type(entry.kind);
            let mut writer = builder.write(&mut archive, size);
            writer.write_all(&entry.bytes)?;
            writer.finish()?;
        }
        newc::trailer(&mut archive)?;
        Ok(archive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut initramfs = Initramfs::new();
        initramfs.program("init", b"abc");
        initramfs.file("klp/modules/000.ko", b"x");
        initramfs.link("bin/sh", "busybox");
        let archive = initramfs.archive().unwrap();
        let mut rest = archive.as_slice();
        let mut found = Vec::new();
        loop {
            let reader = newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            found.push((reader.entry().name().to_owned(), reader.entry().mode()));
            rest = reader.finish().unwrap();
        }
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "proc",
                "sys",
                "dev",
                "tmp",
                "run",
                "init",
                "klp",
                "klp/modules",
                "klp/modules/000.ko",
                "bin",
                "bin/sh"
            ]
        );
        let mode = |wanted| found.iter().find(|(name, _)| name == wanted).unwrap().1;
        assert_eq!(mode("init"), 0o100_755);
        assert_eq!(mode("klp"), 0o040_755);
        assert_eq!(mode("bin/sh"), 0o120_777);
    }
}
