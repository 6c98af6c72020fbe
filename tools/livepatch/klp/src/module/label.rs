// SPDX-License-Identifier: GPL-2.0

//! Writes into a livepatch what tools read from it and its builder does not know.
//!
//! Tools that copy an ELF file lose what only the kernel knows, like the flag of relocations that the
//! livepatch core applies. So nothing is copied: a new `.modinfo` is appended to the file, and the header of
//! that section leads there. All else stays as it is, byte by byte.

use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::Endianness;

use super::{fields, SIGNED};

/// What is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// Names of what it fixes.
    pub fixes: Vec<String>,
    /// Does it replace all livepatches before it?
    pub replace: Option<bool>,
    /// Modules that it was made for, and their source versions.
    pub targets: Vec<(String, String)>,
}

impl Label {
    fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        if !self.fixes.is_empty() {
            fields.push(("klp_fixes", self.fixes.join(",")));
        }
        if let Some(replace) = self.replace {
            fields.push(("klp_replace", if replace { "Y" } else { "N" }.to_owned()));
        }
        for (module, version) in &self.targets {
            fields.push(("klp_srcversion", format!("{module}:{version}")));
        }
        fields
    }

    /// Answers the module with this label.
    pub fn write(&self, module: &[u8]) -> Result<Vec<u8>, String> {
        /// Where a section's header says where it is, and how big.
        const SH_OFFSET: usize = 24;
        const SH_SIZE: usize = 32;

        if module.ends_with(SIGNED) {
            return Err("it is signed: it has to be labelled before".to_owned());
        }
        let text = |error: object::Error| error.to_string();
        let header = FileHeader64::<Endianness>::parse(module).map_err(text)?;
        let endian = header.endian().map_err(text)?;
        let sections = header.sections(endian, module).map_err(text)?;
        let (index, section) = sections
            .section_by_name(endian, b".modinfo")
            .ok_or("it has no section .modinfo")?;
        let mut modinfo = section.data(endian, module).map_err(text)?.to_vec();
        let before = fields(&modinfo);
        if !before.contains(&("livepatch".to_owned(), "Y".to_owned())) {
            return Err("it is a module, but no livepatch".to_owned());
        }
        for (name, value) in self.fields() {
            // One of several answers would be as good as none. Each module has its own, though.
            let same = |(field, text): &(String, String)| {
                let module = value.split(':').next().unwrap_or_default();
                field == name
                    && (name != "klp_srcversion" || text.starts_with(&format!("{module}:")))
            };
            if before.iter().any(same) {
                return Err(format!("it has a field {name}= already"));
            }
            modinfo.extend_from_slice(format!("{name}={value}\0").as_bytes());
        }

        let mut labelled = module.to_vec();
        labelled.resize(labelled.len().next_multiple_of(16), 0);
        let (offset, size) = (labelled.len() as u64, modinfo.len() as u64);
        labelled.extend_from_slice(&modinfo);
        let entry = usize::from(header.e_shentsize(endian));
        let at = usize::try_from(header.e_shoff(endian))
            .ok()
            .zip(index.0.checked_mul(entry))
            .and_then(|(table, at)| table.checked_add(at))
            .ok_or("its section headers are nowhere")?;
        for (field, number) in [(SH_OFFSET, offset), (SH_SIZE, size)] {
            let bytes = match endian {
                Endianness::Little => number.to_le_bytes(),
                Endianness::Big => number.to_be_bytes(),
            };
            labelled
                .get_mut(at + field..at + field + bytes.len())
                .ok_or("its section headers are nowhere")?
                .copy_from_slice(&bytes);
        }
        Ok(labelled)
    }
}

/// Can this be the name of what is fixed? Those who read several tell them apart by commas.
pub fn is_fix(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|c| c.is_ascii_graphic() && c != b',')
}
