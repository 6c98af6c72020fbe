// SPDX-License-Identifier: GPL-2.0

//! Livepatch relocations: references of a patch module to symbols that are not exported, or that
//! belong to modules which may come and go.
//!
//! Those to vmlinux are applied while the patch module is loaded, those to a module when that
//! module is there, and they are cleared when it goes.

use crate::{
    model::reloc_name,
    symbols::{
        self,
        Wanted, //
    },
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::atomic::{
        atomic_store,
        Relaxed, //
    },
};

/// The parts of a patch module's ELF file that relocations need.
///
/// # Invariants
///
/// All of them are valid, and stay so while this exists: `sections` has `count` elements, one of
/// them is `symbol_table`. The module loader has checked the names of sections and symbols.
#[derive(Clone, Copy)]
struct Elf {
    module: *mut bindings::module,
    sections: *mut bindings::Elf64_Shdr,
    count: c_uint,
    section_names: *const c_char,
    symbol_names: *const c_char,
    symbol_table: c_uint,
}

impl Elf {
    /// The ELF parts that a livepatch module keeps when it is loaded.
    ///
    /// # Safety
    ///
    /// `module` must be a livepatch module, and stay loaded while the result is used.
    unsafe fn of_loaded(module: NonNull<bindings::module>) -> Self {
        let module = module.as_ptr();

        // INVARIANT: By the contract of this function.
        // SAFETY: As above; a livepatch module has this information.
        unsafe {
            let info = (*module).klp_info;
            Elf {
                module,
                sections: (*info).sechdrs,
                count: (*info).hdr.e_shnum.into(),
                section_names: (*info).secstrings,
                symbol_names: (*module).core_kallsyms.strtab,
                symbol_table: (*info).symndx,
            }
        }
    }

    /// Address and size of the content of the section `index`; nothing if there is none.
    fn content(&self, index: c_uint) -> (usize, usize) {
        if index >= self.count {
            return (0, 0);
        }
        // SAFETY: In bounds, and the headers are valid by the type invariant.
        unsafe {
            let section = self.sections.add(index as usize);
            ((*section).sh_addr as usize, (*section).sh_size as usize)
        }
    }

    /// The livepatch relocation sections.
    fn relocation_sections(&self) -> impl Iterator<Item = c_uint> + '_ {
        (1..self.count).filter(|&index| {
            // SAFETY: In bounds, and the headers are valid by the type invariant.
            let flags = unsafe { (*self.sections.add(index as usize)).sh_flags };
            flags & u64::from(bindings::SHF_RELA_LIVEPATCH) != 0
        })
    }

    fn section_name(&self, index: c_uint) -> &CStr {
        if index >= self.count {
            return c"";
        }
        // SAFETY: In bounds, and headers and names are valid by the type invariant.
        unsafe {
            let name = (*self.sections.add(index as usize)).sh_name;
            CStr::from_char_ptr(self.section_names.add(name as usize))
        }
    }

    /// The numbers of the symbols that the relocations in the section `index` refer to.
    fn references(&self, index: c_uint) -> impl Iterator<Item = usize> {
        let (start, size) = self.content(index);

        (0..size / size_of::<bindings::Elf64_Rela>()).map(move |at| {
            // SAFETY: In bounds, and the content is valid by the type invariant. Its alignment is
            // up to the file.
            let entry = unsafe {
                (start as *const bindings::Elf64_Rela)
                    .add(at)
                    .read_unaligned()
            };
            (entry.r_info >> 32) as usize
        })
    }

    fn symbol(&self, index: usize) -> Option<*mut bindings::Elf64_Sym> {
        let table = self.content(self.symbol_table).0 as *mut bindings::Elf64_Sym;

        (index < self.symbol_count()).then(|| table.wrapping_add(index))
    }

    fn symbol_count(&self) -> usize {
        self.content(self.symbol_table).1 / size_of::<bindings::Elf64_Sym>()
    }

    /// # Safety
    ///
    /// `symbol` must be one of the symbol table.
    unsafe fn symbol_name(&self, symbol: *mut bindings::Elf64_Sym) -> &CStr {
        // SAFETY: By the contract of this function and by the type invariant.
        unsafe { CStr::from_char_ptr(self.symbol_names.add((*symbol).st_name as usize)) }
    }

    fn apply(&self, section: c_uint) -> Result {
        // SAFETY: All arguments belong together by the type invariant. May sleep.
        to_result(unsafe {
            bindings::apply_relocate_add(
                self.sections,
                self.symbol_names,
                self.symbol_table,
                section,
                self.module,
            )
        })
    }

    fn clear(&self, section: c_uint) {
        // SAFETY: As above.
        unsafe {
            bindings::clear_relocate_add(
                self.sections,
                self.symbol_names,
                self.symbol_table,
                section,
                self.module,
            )
        }
    }
}

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
struct Reference {
    symbol: *mut bindings::Elf64_Sym,
    /// `None` for vmlinux.
    object: Option<Text>,
    name: Text,
    sympos: usize,
}

/// What is wrong with a section or with an entry of it.
enum Malformed {
    Section(c_uint),
    NotLivepatch(*mut bindings::Elf64_Sym, usize),
    Name(*mut bindings::Elf64_Sym),
    OfVmlinux(Text),
    NoSuchSymbol(c_uint, usize),
}

/// Why there is no [`Reference`].
enum Unusable {
    Malformed(Malformed),
    Other(Error),
}

impl From<Malformed> for Unusable {
    fn from(malformed: Malformed) -> Self {
        Unusable::Malformed(malformed)
    }
}

impl From<Error> for Unusable {
    fn from(error: Error) -> Self {
        Unusable::Other(error)
    }
}

/// The relocations of a patch that refer to one object, before they are applied.
pub(crate) struct Relocations {
    elf: Elf,
    sections: KVec<c_uint>,
    references: KVVec<Reference>,
    /// What ended the collection. It is reported after what precedes it was found to be good.
    malformed: Option<Malformed>,
}

impl Relocations {
    fn new(elf: Elf) -> Self {
        Relocations {
            elf,
            sections: KVec::new(),
            references: KVVec::new(),
            malformed: None,
        }
    }

    /// Collects the relocations of the loaded patch module `module` that refer to `object`.
    ///
    /// # Safety
    ///
    /// `module` must be a livepatch module, and stay loaded while the result is used.
    pub(crate) unsafe fn collect(module: NonNull<bindings::module>, object: &CStr) -> Result<Self> {
        // SAFETY: By the contract of this function.
        let mut this = Self::new(unsafe { Elf::of_loaded(module) });
        let elf = this.elf;

        for index in elf.relocation_sections() {
            this.add_section(index, object)?;
            if this.malformed.is_some() {
                break;
            }
        }
        Ok(this)
    }

    /// Adds the section `index` if it is meant for `object`.
    fn add_section(&mut self, index: c_uint, object: &CStr) -> Result {
        let elf = self.elf;

        let Some(its_object) = reloc_name::parse_section(elf.section_name(index).to_bytes()) else {
            self.malformed = Some(Malformed::Section(index));
            return Ok(());
        };
        if !reloc_name::same_object(its_object, object.to_bytes()) {
            return Ok(());
        }

        // One symbol has many relocations.
        let mut seen = KVVec::from_elem(false, elf.symbol_count(), GFP_KERNEL)?;
        for (at, number) in elf.references(index).enumerate() {
            let Some(seen) = seen.get_mut(number) else {
                self.malformed = Some(Malformed::NoSuchSymbol(index, number));
                return Ok(());
            };
            if core::mem::replace(seen, true) {
                continue;
            }
            if let Some(symbol) = elf.symbol(number) {
                match Reference::new(&elf, symbol, at, its_object != b"vmlinux") {
                    Ok(reference) => self.references.push(reference, GFP_KERNEL)?,
                    Err(Unusable::Malformed(malformed)) => {
                        self.malformed = Some(malformed);
                        return Ok(());
                    }
                    Err(Unusable::Other(error)) => return Err(error),
                }
            }
        }
        self.sections.push(index, GFP_KERNEL)?;
        Ok(())
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
    pub(crate) fn apply<'a>(&self, wanted: impl Iterator<Item = &'a Wanted<'a>>) -> Result {
        for (reference, found) in self.references.iter().zip(wanted) {
            let address = found.resolved()? as u64;
            // SAFETY: The symbol is valid. kallsyms may be reading it, with RCU only.
            unsafe { atomic_store(&raw mut (*reference.symbol).st_value, address, Relaxed) };
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

    fn report(&self, malformed: &Malformed) {
        // SAFETY: The symbols come from the symbol table.
        let name_of = |symbol| unsafe { self.elf.symbol_name(symbol) };

        match *malformed {
            Malformed::Section(index) => pr_err!(
                "section {} has an incorrectly formatted name\n",
                self.elf.section_name(index)
            ),
            Malformed::NotLivepatch(symbol, at) => pr_err!(
                "symbol {} at rela sec {} idx {} is not marked as a livepatch symbol\n",
                name_of(symbol),
                self.elf.symbol_table,
                at
            ),
            Malformed::Name(symbol) => pr_err!(
                "symbol {} has an incorrectly formatted name\n",
                name_of(symbol)
            ),
            Malformed::OfVmlinux(ref symbol) => pr_err!(
                "invalid access to vmlinux symbol '{}' from module-specific livepatch relocation section\n",
                symbol.as_c_str()
            ),
            Malformed::NoSuchSymbol(index, number) => pr_err!(
                "section {} refers to symbol {}, which does not exist\n",
                self.elf.section_name(index),
                number
            ),
        }
    }
}

impl Reference {
    /// Reads what the relocation number `at` of a section refers to.
    ///
    /// `of_module` tells that the section is for a module. Its symbols must not be those of
    /// vmlinux: they would be resolved too late for the module's special sections.
    fn new(
        elf: &Elf,
        symbol: *mut bindings::Elf64_Sym,
        at: usize,
        of_module: bool,
    ) -> Result<Self, Unusable> {
        // SAFETY: The symbol comes from the symbol table.
        let (index, name) = unsafe { ((*symbol).st_shndx, elf.symbol_name(symbol)) };

        if u32::from(index) != bindings::SHN_LIVEPATCH {
            return Err(Malformed::NotLivepatch(symbol, at).into());
        }
        let Some(parsed) = reloc_name::parse_symbol(name.to_bytes()) else {
            return Err(Malformed::Name(symbol).into());
        };
        let name = Text::new(parsed.symbol.iter().copied())?;
        let is_vmlinux = parsed.object == b"vmlinux";
        if of_module && is_vmlinux {
            return Err(Malformed::OfVmlinux(name).into());
        }
        let object = if is_vmlinux {
            None
        } else {
            let object = parsed.object.iter().copied();
            Some(Text::new(object.map(reloc_name::module_char))?)
        };
        Ok(Reference {
            symbol,
            object,
            name,
            sympos: parsed.sympos,
        })
    }
}

/// Clears the relocations of the patch module `module` that refer to `object`, which goes.
///
/// # Safety
///
/// `module` must be a livepatch module whose relocations to `object` are applied.
pub(crate) unsafe fn clear(module: NonNull<bindings::module>, object: &CStr) {
    // SAFETY: By the contract of this function.
    let elf = unsafe { Elf::of_loaded(module) };

    for index in elf.relocation_sections() {
        if reloc_name::parse_section(elf.section_name(index).to_bytes())
            .is_some_and(|its_object| reloc_name::same_object(its_object, object.to_bytes()))
        {
            elf.clear(index);
        }
    }
}

/// Applies the relocations in one section of a patch module that is being loaded, if it is for
/// `objname`, null for vmlinux.
///
/// Returns 0 or a negative errno. May sleep.
///
/// # Safety
///
/// For the module loader: the arguments are parts of the ELF file of `pmod`.
#[export]
pub(crate) unsafe extern "C" fn klp_apply_section_relocs(
    pmod: *mut bindings::module,
    sechdrs: *mut bindings::Elf64_Shdr,
    shstrtab: *const c_char,
    strtab: *const c_char,
    symindex: c_uint,
    secindex: c_uint,
    objname: *const c_char,
) -> c_int {
    // INVARIANT: By the contract of this function.
    let elf = Elf {
        module: pmod,
        sections: sechdrs,
        count: symindex.max(secindex).saturating_add(1),
        section_names: shstrtab,
        symbol_names: strtab,
        symbol_table: symindex,
    };
    let object = if objname.is_null() {
        c"vmlinux"
    } else {
        // SAFETY: By the contract of this function.
        unsafe { CStr::from_char_ptr(objname) }
    };

    match apply_section(elf, secindex, object) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}

fn apply_section(elf: Elf, section: c_uint, object: &CStr) -> Result {
    let mut relocations = Relocations::new(elf);
    relocations.add_section(section, object)?;

    let mut wanted = KVVec::with_capacity(relocations.len(), GFP_KERNEL)?;
    for symbol in relocations.wanted() {
        wanted.push(symbol, GFP_KERNEL)?;
    }
    symbols::search(&mut wanted)?;
    relocations.apply(wanted.iter())
}
