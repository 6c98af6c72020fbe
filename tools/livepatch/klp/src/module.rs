// SPDX-License-Identifier: GPL-2.0

//! Module files: `.ko`, and what is packed with gzip, xz or zstd.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use object::{Object as _, ObjectSection as _};
use ruzstd::decoding::StreamingDecoder;

use crate::source::modules::hex;
use crate::source::store::module_name;

/// What the kernel looks for at the end of a signed module.
const SIGNED: &[u8] = b"~Module signature appended~\n";
/// No module is that big. What unpacks to more is not unpacked to its end.
const MOST: u64 = 512 << 20;

/// What a module's file says of it.
#[derive(Clone, Debug)]
pub struct ModuleFile {
    pub path: PathBuf,
    pub name: String,
    /// The fields of `.modinfo`, in order; a name may be there several times.
    pub modinfo: Vec<(String, String)>,
    pub build_id: Option<String>,
    pub signed: bool,
}

/// Why a file is no module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {source}", path = .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is no kernel module: {why}", path = .path.display())]
    NoModule { path: PathBuf, why: String },
}

impl ModuleFile {
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let bytes = unpacked(&path)?;
        Self::of(path, &bytes)
    }

    /// What is in `bytes`, the unpacked contents of the file `path`.
    pub fn of(path: PathBuf, bytes: &[u8]) -> Result<Self, Error> {
        Self::parse(&path, bytes).map_err(|why| Error::NoModule { path, why })
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
        let section = file
            .section_by_name(".modinfo")
            .ok_or("it has no section .modinfo")?;
        let modinfo = fields(section.data().map_err(|error| error.to_string())?);
        let build_id = file.build_id().ok().flatten();
        Ok(Self {
            name: (modinfo.iter().find(|(field, _)| field == "name"))
                .map_or_else(|| module_name(path), |(_, name)| name.clone()),
            path: path.to_owned(),
            build_id: build_id.map(hex),
            modinfo,
            signed: bytes.ends_with(SIGNED),
        })
    }

    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.modinfo
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// All fields of this name.
    pub fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.modinfo
            .iter()
            .filter(move |(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    }

    /// Has its author declared it a livepatch?
    pub fn is_livepatch(&self) -> bool {
        self.field("livepatch").is_some_and(|value| value == "Y")
    }

    /// The release of the kernel that it was built for.
    pub fn release(&self) -> Option<&str> {
        self.field("vermagic")?.split(' ').next()
    }

    /// What it fixes, as `klp_fixes=` says: names that are separated by commas or spaces.
    pub fn fixes(&self) -> Vec<String> {
        self.fields("klp_fixes")
            .flat_map(|field| field.split([',', ' ']))
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// `.modinfo`: `name=value`, each with a zero byte at its end, and perhaps some between.
fn fields(section: &[u8]) -> Vec<(String, String)> {
    section
        .split(|byte| *byte == 0)
        .filter_map(|field| {
            let field = String::from_utf8_lossy(field);
            let (name, value) = field.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// The module in a file, unpacked.
pub fn unpacked(path: &Path) -> Result<Vec<u8>, Error> {
    read_file(path)
        .and_then(unpack)
        .map_err(|source| Error::Unreadable {
            path: path.to_owned(),
            source,
        })
}

/// A device or a pipe may have no end.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if metadata.len() > MOST {
        return Err(io::Error::other("it is bigger than a module can be"));
    }
    fs::read(path)
}

/// What is in a file that may be packed.
fn unpack(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let mut packed = bytes.as_slice();
    match packed {
        [0x1f, 0x8b, ..] => {
            GzDecoder::new(packed)
                .take(MOST)
                .read_to_end(&mut unpacked)?;
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = StreamingDecoder::new(packed).map_err(io::Error::other)?;
            decoder.take(MOST).read_to_end(&mut unpacked)?;
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            lzma_rs::xz_decompress(&mut packed, &mut Limited(&mut unpacked))
                .map_err(io::Error::other)?;
        }
        _ => return Ok(bytes),
    }
    Ok(unpacked)
}

/// Takes no more than [`MOST`].
struct Limited<'a>(&'a mut Vec<u8>);

impl io::Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.0.len() + bytes.len()) as u64 > MOST {
            return Err(io::Error::other("it unpacks to more than a module can be"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::write::Object;
    use object::{Architecture, BinaryFormat, Endianness, SectionKind};
    use proptest::prelude::*;
    use std::io::Write as _;

    fn module(modinfo: &[u8]) -> Vec<u8> {
        let mut elf = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        let section = elf.add_section(vec![], b".modinfo".to_vec(), SectionKind::ReadOnlyData);
        elf.append_section_data(section, modinfo, 1);
        elf.write().unwrap()
    }

    fn parse(bytes: &[u8]) -> Result<ModuleFile, String> {
        ModuleFile::parse(Path::new("/x/a-b.ko"), bytes)
    }

    #[test]
    fn a_module_says_what_it_is() {
        let bytes =
            module(b"livepatch=Y\0vermagic=7.3.4 SMP \0\0klp_fixes=CVE-1,CVE-2\0klp_fixes=bug 3\0");
        let file = parse(&bytes).unwrap();
        assert!(file.is_livepatch() && !file.signed);
        assert_eq!((file.name.as_str(), file.release()), ("a_b", Some("7.3.4")));
        assert_eq!(file.fixes(), ["CVE-1", "CVE-2", "bug", "3"]);
    }

    #[test]
    fn a_signature_is_at_the_end() {
        let signed = [module(b"name=other\0"), SIGNED.to_vec()].concat();
        let file = parse(&signed).unwrap();
        assert!(file.signed && !file.is_livepatch());
        assert_eq!(file.name, "other");
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let bytes = module(b"livepatch=Y\0");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&bytes).unwrap();
        assert_eq!(unpack(gzip.finish().unwrap()).unwrap(), bytes);

        let mut xz = Vec::new();
        lzma_rs::xz_compress(&mut bytes.as_slice(), &mut xz).unwrap();
        assert_eq!(unpack(xz).unwrap(), bytes);

        let zstd = ruzstd::encoding::compress_to_vec(
            bytes.as_slice(),
            ruzstd::encoding::CompressionLevel::Fastest,
        );
        assert_eq!(unpack(zstd).unwrap(), bytes);
        assert_eq!(unpack(bytes.clone()).unwrap(), bytes);
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(parse(b"").is_err());
        assert!(parse(b"#!/bin/sh\n").is_err());
        let whole = module(b"livepatch=Y\0");
        for end in 0..whole.len() {
            // It may still be one; it may not panic.
            let _ = parse(&whole[..end]);
        }
    }

    proptest! {
        #[test]
        fn a_module_may_be_broken_anywhere(at: prop::sample::Index, byte: u8) {
            let mut bytes = module(b"livepatch=Y\0vermagic=7.3.4\0");
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = parse(&bytes);
        }

        #[test]
        fn anything_may_be_packed(start in prop::sample::select(vec![
            vec![0x1f, 0x8b], vec![0x28, 0xb5, 0x2f, 0xfd], vec![0xfd, b'7', b'z', b'X', b'Z', 0],
        ]), rest: Vec<u8>) {
            let _ = unpack([start, rest].concat());
        }
    }
}
