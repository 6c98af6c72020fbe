// SPDX-License-Identifier: GPL-2.0

//! Livepatch relocations: references of a patch module to symbols that are not exported, or that
//! belong to modules which may come and go.
//!
//! Those to vmlinux are applied while the patch module is loaded, those to a module when that
//! module is there, and they are cleared when it goes.

mod elf;

pub(crate) use self::elf::{
    Elf,
    RelocationSection, //
};

use self::elf::Symbol;
use crate::{
    model::{
        ip_table::{
            self,
            Slot, //
        },
        reloc_name,
    },
    symbols::{
        self,
        Wanted, //
    },
};
use kernel::prelude::*;

/// Text with an end, for C.
struct Text(KVec<u8>);

impl Text {
    fn new(bytes: impl ExactSizeIterator<Item = u8>) -> Result<Self> {
        let mut text = KVec::with_capacity(bytes.len() + 1, GFP_KERNEL)?;

        for byte in bytes {
            text.push(byte, GFP_KERNEL)?;
        }
        text.push(0, GFP_KERNEL)?;
        Ok(Text(text))
    }

    fn as_c_str(&self) -> &CStr {
        // What was part of a C string has no other 0.
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

/// A symbol that relocations refer to.
struct Reference<'a> {
    symbol: Symbol<'a>,
    /// `None` for vmlinux.
    object: Option<Text>,
    name: Text,
    sympos: usize,
}

/// What is wrong with a section or with an entry of it.
enum Malformed<'a> {
    Section(RelocationSection),
    NotLivepatch(Symbol<'a>, usize),
    Name(Symbol<'a>),
    OfVmlinux(Text),
    NoSuchSymbol(RelocationSection, usize),
}

/// The relocations of a patch that refer to one object, before they are applied.
pub(crate) struct Relocations<'a> {
    elf: Elf<'a>,
    sections: KVec<RelocationSection>,
    references: KVVec<Reference<'a>>,
    /// What ended the collection. It is reported after what precedes it was found to be good.
    malformed: Option<Malformed<'a>>,
}

impl<'a> Relocations<'a> {
    fn new(elf: Elf<'a>) -> Self {
        Relocations {
            elf,
            sections: KVec::new(),
            references: KVVec::new(),
            malformed: None,
        }
    }

    /// Collects the relocations of a loaded patch module that refer to `object`.
    pub(crate) fn collect(elf: Elf<'a>, object: &CStr) -> Result<Self> {
        let mut this = Self::new(elf);

        for section in elf.relocation_sections() {
            this.malformed = this.add_section(section, object)?;
            if this.malformed.is_some() {
                break;
            }
        }
        Ok(this)
    }

    /// Adds `section` if it is meant for `object`. Returns what is malformed in it.
    fn add_section(
        &mut self,
        section: RelocationSection,
        object: &CStr,
    ) -> Result<Option<Malformed<'a>>> {
        let elf = self.elf;

        let name = elf.section_name(section.number());
        let Some(its_object) = reloc_name::parse_section(name.to_bytes()) else {
            return Ok(Some(Malformed::Section(section)));
        };
        if !reloc_name::same_object(its_object, object.to_bytes()) {
            return Ok(None);
        }

        // One symbol has many relocations. There may be many sections: what it takes to notice that
        // depends on the size of this one, and not on the number of all symbols.
        let slots = ip_table::slots_for(elf.references(section).count()).ok_or(ENOMEM)?;
        let mut seen = KVVec::from_elem(Slot::free(()), slots, GFP_KERNEL)?;
        for (at, number) in elf.references(section).enumerate() {
            let Some(symbol) = elf.symbol(number) else {
                return Ok(Some(Malformed::NoSuchSymbol(section, number)));
            };
            // Number 0 would be a free slot.
            if ip_table::insert(&mut seen, number.wrapping_add(1), ()) {
                match Reference::new(&elf, symbol, at, its_object != b"vmlinux")? {
                    Ok(reference) => self.references.push(reference, GFP_KERNEL)?,
                    Err(malformed) => return Ok(Some(malformed)),
                }
            }
        }
        self.sections.push(section, GFP_KERNEL)?;
        Ok(None)
    }

    /// How many symbols there are to be found.
    pub(crate) fn len(&self) -> usize {
        self.references.len()
    }

    /// The symbols that the relocations need, to be looked up by `symbols::search`.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = Wanted<'_>> {
        self.references.iter().map(|reference| {
            Wanted::new(
                reference.object.as_ref().map(Text::as_c_str),
                reference.name.as_c_str(),
                reference.sympos,
            )
        })
    }

    /// Applies the relocations, with the symbols of [`Relocations::wanted`] looked up.
    ///
    /// All or nothing, as far as the architecture can clear relocations. Errors are reported. May
    /// sleep.
    pub(crate) fn apply<'b>(&self, wanted: impl Iterator<Item = &'b Wanted<'b>>) -> Result {
        for (reference, found) in self.references.iter().zip(wanted) {
            self.elf.resolve(reference.symbol, found.resolved()?);
        }
        if let Some(malformed) = &self.malformed {
            self.report(malformed);
            return Err(EINVAL);
        }
        for (at, &section) in self.sections.iter().enumerate() {
            self.elf.apply(section).inspect_err(|_| {
                // The one that failed, too: clearing stops where applying has stopped.
                for &section in self.sections.iter().take(at + 1) {
                    self.elf.clear(section);
                }
            })?;
        }
        Ok(())
    }

    fn report(&self, malformed: &Malformed<'a>) {
        let elf = &self.elf;

        match *malformed {
            Malformed::Section(section) => pr_err!(
                "section {} has an incorrectly formatted name\n",
                elf.section_name(section.number())
            ),
            Malformed::NotLivepatch(symbol, at) => pr_err!(
                "symbol {} at rela sec {} idx {} is not marked as a livepatch symbol\n",
                elf.symbol_name(symbol),
                elf.symbol_table(),
                at
            ),
            Malformed::Name(symbol) => pr_err!(
                "symbol {} has an incorrectly formatted name\n",
                elf.symbol_name(symbol)
            ),
            Malformed::OfVmlinux(ref symbol) => pr_err!(
                "invalid access to vmlinux symbol '{}' from module-specific livepatch relocation section\n",
                symbol.as_c_str()
            ),
            Malformed::NoSuchSymbol(section, number) => pr_err!(
                "section {} refers to symbol {}, which does not exist\n",
                elf.section_name(section.number()),
                number
            ),
        }
    }
}

impl<'a> Reference<'a> {
    /// Reads what the relocation number `at` of a section refers to.
    ///
    /// `of_module` tells that the section is for a module. Its symbols must not be those of
    /// vmlinux: they would be resolved too late for the module's special sections.
    ///
    /// The outer error is a lack of memory, the inner one what is wrong with the relocation.
    fn new(
        elf: &Elf<'a>,
        symbol: Symbol<'a>,
        at: usize,
        of_module: bool,
    ) -> Result<Result<Self, Malformed<'a>>> {
        if !elf.is_livepatch_symbol(symbol) {
            return Ok(Err(Malformed::NotLivepatch(symbol, at)));
        }
        let Some(parsed) = reloc_name::parse_symbol(elf.symbol_name(symbol).to_bytes()) else {
            return Ok(Err(Malformed::Name(symbol)));
        };
        let name = Text::new(parsed.symbol.iter().copied())?;
        let is_vmlinux = parsed.object == b"vmlinux";
        if of_module && is_vmlinux {
            return Ok(Err(Malformed::OfVmlinux(name)));
        }
        let object = if is_vmlinux {
            None
        } else {
            let object = parsed.object.iter().copied();
            Some(Text::new(object.map(reloc_name::module_char))?)
        };
        Ok(Ok(Reference {
            symbol,
            object,
            name,
            sympos: parsed.sympos,
        }))
    }
}

/// Clears the relocations of a patch module that refer to `object`, which goes. May sleep.
pub(crate) fn clear(elf: Elf<'_>, object: &CStr) {
    for section in elf.relocation_sections() {
        if reloc_name::parse_section(elf.section_name(section.number()).to_bytes())
            .is_some_and(|its_object| reloc_name::same_object(its_object, object.to_bytes()))
        {
            elf.clear(section);
        }
    }
}

/// Applies the relocations in one section of a patch module that is being loaded, if they are for
/// `object`. May sleep.
pub(crate) fn apply_section(elf: Elf<'_>, section: RelocationSection, object: &CStr) -> Result {
    let mut relocations = Relocations::new(elf);
    relocations.malformed = relocations.add_section(section, object)?;

    let mut wanted = KVVec::with_capacity(relocations.len(), GFP_KERNEL)?;
    for symbol in relocations.wanted() {
        wanted.push(symbol, GFP_KERNEL)?;
    }
    symbols::search(&mut wanted)?;
    relocations.apply(wanted.iter())
}
