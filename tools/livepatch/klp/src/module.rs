// SPDX-License-Identifier: GPL-2.0

//! Module files: `.ko`, and what is packed with gzip, xz or zstd.

pub mod label;
pub mod listing;

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use liblzma::read::XzDecoder;
use liblzma::stream::{Stream, CONCATENATED};
use object::{Object as _, ObjectSection as _};
use rustix::fs::OFlags;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

use crate::source::modules::{hex, is_name, Module};
use crate::source::store::{is_release, module_name};
use crate::text::printable;

/// What the kernel looks for at the end of a signed module.
const SIGNED: &[u8] = b"~Module signature appended~\n";
/// No module is that big: what is, or unpacks to more, is none.
const MOST: u64 = 512 << 20;
/// What xz may need beside what it unpacks, 64 MiB for the highest of its levels.
const XZ_MEMORY: u64 = 128 << 20;

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Gzip,
    Xz,
    Zstd,
}

impl Packing {
    /// What a packed file begins with, whatever its name is.
    fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    /// As `/sys/module/compression` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
}

/// What a module's file says of it.
#[derive(Clone, Debug)]
pub struct ModuleFile {
    pub path: PathBuf,
    /// A name that a module can have: [`is_name`].
    pub name: String,
    /// The fields of `.modinfo`, in order; a name may be there several times.
    pub modinfo: Vec<(String, String)>,
    pub build_id: Option<String>,
    pub signed: bool,
}

/// A module's file that is open: whatever becomes of its name, this is what was read.
pub struct Opened {
    pub module: ModuleFile,
    pub file: File,
    pub packing: Option<Packing>,
    /// The module, unpacked.
    pub bytes: Vec<u8>,
}

/// Why a file is no module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {path}: {source}", path = .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{path} is no kernel module: {why}", path = .path.display())]
    NoModule { path: PathBuf, why: String },
}

impl Opened {
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let read = open(&path).and_then(|(file, bytes)| {
            let packing = Packing::of(&bytes);
            Ok((file, packing, unpack(bytes, packing)?))
        });
        let (file, packing, bytes) = match read {
            Ok(read) => read,
            Err(source) => return Err(Error::Unreadable { path, source }),
        };
        let module = ModuleFile::parse(&path, &bytes);
        Ok(Self {
            module: module.map_err(|why| Error::NoModule { path, why })?,
            file,
            packing,
            bytes,
        })
    }
}

impl ModuleFile {
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, Error> {
        Ok(Opened::open(path)?.module)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, String> {
        let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
        let section = file
            .section_by_name(".modinfo")
            .ok_or("it has no section .modinfo")?;
        let modinfo = fields(section.data().map_err(|error| error.to_string())?);
        let build_id = file.build_id().ok().flatten();
        let name = (modinfo.iter().find(|(field, _)| field == "name"))
            .map_or_else(|| module_name(path), |(_, name)| name.clone());
        // Folders and files are named after it.
        if !is_name(&name) {
            return Err(format!("no module can be called \"{}\"", printable(&name)));
        }
        Ok(Self {
            name,
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

    /// The release of the kernel that it was built for, if it says one.
    pub fn release(&self) -> Option<&str> {
        let release = self.field("vermagic")?.split(' ').next()?;
        is_release(release).then_some(release)
    }

    /// Is this what is loaded? [`None`]: neither build ID nor source version tells.
    pub fn is_loaded_as(&self, loaded: &Module) -> Option<bool> {
        let build_ids = loaded.build_id.as_deref().zip(self.build_id.as_deref());
        let sources = loaded.srcversion.as_deref().zip(self.field("srcversion"));
        let (loaded, wanted) = build_ids.or(sources)?;
        Some(loaded == wanted)
    }

    /// What it fixes, as `klp_fixes=` says: names that are separated by commas or spaces. Each is
    /// there once.
    pub fn fixes(&self) -> Vec<String> {
        let mut fixes: Vec<String> = Vec::new();
        let names = self
            .fields("klp_fixes")
            .flat_map(|field| field.split([',', ' ']));
        for name in names.filter(|name| !name.is_empty()) {
            if !fixes.iter().any(|fix| fix == name) {
                fixes.push(name.to_owned());
            }
        }
        fixes
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

/// Opens a file and reads it. A device or a pipe may have no end, and may not even be opened
/// without waiting.
fn open(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let bytes = to_end(&file)?;
    Ok((file, bytes))
}

fn unpack(bytes: Vec<u8>, packing: Option<Packing>) -> io::Result<Vec<u8>> {
    let packed = bytes.as_slice();
    match packing {
        None => Ok(bytes),
        Some(Packing::Gzip) => to_end(MultiGzDecoder::new(packed)),
        Some(Packing::Xz) => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
            to_end(XzDecoder::new_stream(packed, stream))
        }
        Some(Packing::Zstd) => to_end(Zstd::new(packed)?),
    }
}

/// All frames of a file, one after the other, each with its checksum looked at.
struct Zstd<'a> {
    frame: StreamingDecoder<&'a [u8], FrameDecoder>,
}

impl<'a> Zstd<'a> {
    fn new(packed: &'a [u8]) -> io::Result<Self> {
        let frame = StreamingDecoder::new(packed).map_err(io::Error::other)?;
        Ok(Self { frame })
    }
}

impl Read for Zstd<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.frame.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            let decoder = &self.frame.decoder;
            let wanted = decoder.get_checksum_from_data();
            if wanted.is_some() && wanted != decoder.get_calculated_checksum() {
                return Err(io::Error::other("its checksum is wrong"));
            }
            let rest = *self.frame.get_ref();
            if rest.is_empty() {
                return Ok(0);
            }
            *self = Self::new(rest)?;
        }
    }
}

/// All that there is to read.
fn to_end(from: impl Read) -> io::Result<Vec<u8>> {
    at_most(from, MOST)
}

fn at_most(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other("it is bigger than a module can be"));
    }
    Ok(bytes)
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
    fn a_name_that_is_a_path_is_no_name() {
        for name in ["../../etc/cron.d/x", "..", "", "a b"] {
            let bytes = module(format!("livepatch=Y\0name={name}\0").as_bytes());
            assert!(parse(&bytes).is_err(), "{name}");
        }
        let bytes = module(b"vermagic=../../etc SMP\0");
        assert_eq!(parse(&bytes).unwrap().release(), None);
        // Without a name it has that of its file.
        assert!(ModuleFile::parse(Path::new("/x/a b.ko"), &module(b"")).is_err());
    }

    #[test]
    fn a_fix_counts_once() {
        let bytes = module(b"klp_fixes=CVE-1 CVE-2\0klp_fixes=CVE-1\0");
        assert_eq!(parse(&bytes).unwrap().fixes(), ["CVE-1", "CVE-2"]);
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(bytes).unwrap();
        xz.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        ruzstd::encoding::compress_to_vec(bytes, level)
    }

    fn unpack(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let packing = Packing::of(&bytes);
        super::unpack(bytes, packing)
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let bytes = module(b"livepatch=Y\0");
        for packed in [gzip(&bytes), xz(&bytes), zstd(&bytes), bytes.clone()] {
            assert_eq!(unpack(packed).unwrap(), bytes);
        }
        let (half, rest) = bytes.split_at(bytes.len() / 2);
        for pack in [gzip, xz, zstd] {
            assert_eq!(unpack([pack(half), pack(rest)].concat()).unwrap(), bytes);
        }
    }

    #[test]
    fn what_is_damaged_is_not_unpacked() {
        let bytes = module(b"livepatch=Y\0");
        for pack in [gzip, xz, zstd] {
            let packed = pack(&bytes);
            for at in 0..packed.len() {
                let mut damaged = packed.clone();
                damaged[at] ^= 1;
                // There are bits that do not count, as the time of packing.
                if let Ok(unpacked) = unpack(damaged.clone()) {
                    assert!(unpacked == bytes || unpacked == damaged, "{at}");
                }
            }
        }
    }

    #[test]
    fn what_is_too_big_is_not_cut_off() {
        assert_eq!(at_most(&[1; 9][..], 9).unwrap().len(), 9);
        assert!(at_most(&[1; 10][..], 9).is_err());
        assert!(at_most(io::repeat(1), 9).is_err());
    }

    /// What says that it needs gigabytes to unpack, and has few.
    #[test]
    fn a_bomb_is_not_unpacked() {
        let mut bomb = xz(&[0; 1 << 20]);
        // Stream header, block header, and there the size of the dictionary: 4 GiB.
        let (at, size) = (17, 40);
        assert_eq!(&bomb[13..15], [0x00, 0x21], "no filter where it should be");
        bomb[at - 1] = size;
        let header = 12..12 + 8;
        let checksum = crc32(&bomb[header.clone()]);
        bomb[header.end..header.end + 4].copy_from_slice(&checksum.to_le_bytes());
        let error = unpack(bomb).unwrap_err().to_string();
        assert!(error.to_lowercase().contains("memory"), "{error}");
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
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
