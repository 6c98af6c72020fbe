// SPDX-License-Identifier: GPL-2.0

//! The ELF file of a patch module: its sections, its symbols, and the architecture's code that
//! applies relocations.

use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::to_result,
    ffi::c_void,
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
/// All pointers are valid for `'a`: `sections` has `count` elements whose
/// content is in memory, one of them is `symbol_table`. The module loader has checked the names of
/// sections and symbols.
#[derive(Clone, Copy)]
pub(crate) struct Elf<'a> {
    module: *mut bindings::module,
    sections: *mut bindings::Elf64_Shdr,
    count: c_uint,
    section_names: *const c_char,
    symbol_names: *const c_char,
    symbol_table: c_uint,
    _module: PhantomData<&'a bindings::module>,
}

/// A symbol of the symbol table.
///
/// # Invariants
///
/// Points to a symbol in the table of an [`Elf`], which is there for `'a`.
#[derive(Clone, Copy)]
pub(super) struct Symbol<'a>(NonNull<bindings::Elf64_Sym>, PhantomData<Elf<'a>>);

/// The number of a section with relocations.
///
/// # Invariants
///
/// It is one of the module's, and has relocations of the module's architecture.
#[derive(Clone, Copy)]
pub(crate) struct RelocationSection(c_uint);

impl RelocationSection {
    /// # Safety
    ///
    /// For the loader: `section` must be the number of a section with relocations.
    pub(crate) const unsafe fn new(section: c_uint) -> Self {
        // INVARIANT: The caller promises it.
        RelocationSection(section)
    }

    pub(super) const fn number(self) -> c_uint {
        self.0
    }
}

impl<'a> Elf<'a> {
    /// The ELF parts that a livepatch module keeps when it is loaded.
    ///
    /// # Safety
    ///
    /// `module` must be a livepatch module, and stay in memory while the result is used.
    pub(crate) unsafe fn of_loaded(module: NonNull<bindings::module>) -> Self {
        let module = module.as_ptr();

        // INVARIANT: The loader keeps copies of the headers and names of a livepatch module, and
        // its symbol table, for as long as the module is in memory.
        // SAFETY: The module is in memory, as the caller promises, and `klp_info` is set for one
        // that is a livepatch module.
        unsafe {
            let info = (*module).klp_info;
            Elf {
                module,
                sections: (*info).sechdrs,
                count: (*info).hdr.e_shnum.into(),
                section_names: (*info).secstrings,
                symbol_names: (*module).core_kallsyms.strtab,
                symbol_table: (*info).symndx,
                _module: PhantomData,
            }
        }
    }

    /// The parts of a module that is being loaded, as the loader hands them over.
    ///
    /// # Safety
    ///
    /// The arguments must be those of `klp_apply_section_relocs()`, and stay while the result is
    /// used: `sections` has all sections up to `symbol_table` and `section`.
    pub(crate) unsafe fn of_loading(
        module: *mut bindings::module,
        sections: *mut bindings::Elf64_Shdr,
        section_names: *const c_char,
        symbol_names: *const c_char,
        symbol_table: c_uint,
        section: RelocationSection,
    ) -> Self {
        // INVARIANT: The caller promises it, and both of the sections that it names are there.
        Elf {
            module,
            sections,
            count: symbol_table.max(section.0).saturating_add(1),
            section_names,
            symbol_names,
            symbol_table,
            _module: PhantomData,
        }
    }

    fn section(&self, index: c_uint) -> Option<&bindings::Elf64_Shdr> {
        // SAFETY: In bounds, and the headers are valid by the type invariants. The loader changes
        // them no more.
        (index < self.count).then(|| unsafe { &*self.sections.add(index as usize) })
    }

    /// All sections but the first, which ELF reserves.
    fn sections(&self) -> impl Iterator<Item = (c_uint, &bindings::Elf64_Shdr)> {
        (1..self.count).filter_map(|index| Some((index, self.section(index)?)))
    }

    /// Address and size of the content of the section `index`; nothing if there is none.
    fn content(&self, index: c_uint) -> (usize, usize) {
        self.section(index).map_or((0, 0), |section| {
            (section.sh_addr as usize, section.sh_size as usize)
        })
    }

    /// Finds a section by name: the address of its content, and its size in bytes.
    pub(crate) fn find_section(&self, name: &CStr) -> Option<(*mut c_void, usize)> {
        let (index, _) = self
            .sections()
            .find(|&(index, _)| self.section_name(index) == name)?;
        let (address, size) = self.content(index);

        Some((address as *mut c_void, size))
    }

    /// The livepatch relocation sections.
    pub(super) fn relocation_sections(&self) -> impl Iterator<Item = RelocationSection> + '_ {
        self.sections()
            .filter(|(_, section)| section.sh_flags & u64::from(bindings::SHF_RELA_LIVEPATCH) != 0)
            // INVARIANT: The flag is only set for sections with relocations.
            .map(|(index, _)| RelocationSection(index))
    }

    /// The name of the section `index`; empty if there is none.
    pub(super) fn section_name(&self, index: c_uint) -> &CStr {
        self.section(index).map_or(c"", |section| {
            // SAFETY: The loader has checked that the name is within the section of names, which
            // ends with a NUL, by the type invariants.
            unsafe { CStr::from_char_ptr(self.section_names.add(section.sh_name as usize)) }
        })
    }

    /// The numbers of the symbols that the relocations in the section refer to.
    pub(super) fn references(&self, section: RelocationSection) -> impl Iterator<Item = usize> {
        let (start, size) = self.content(section.0);

        (0..size / size_of::<bindings::Elf64_Rela>()).map(move |at| {
            // SAFETY: Within the content of the section, which is in memory by the type invariants.
            // Its alignment is up to the file.
            let entry = unsafe {
                (start as *const bindings::Elf64_Rela)
                    .add(at)
                    .read_unaligned()
            };
            (entry.r_info >> 32) as usize
        })
    }

    /// The number of the section with the symbol table.
    pub(super) fn symbol_table(&self) -> c_uint {
        self.symbol_table
    }

    pub(super) fn symbol_count(&self) -> usize {
        self.content(self.symbol_table).1 / size_of::<bindings::Elf64_Sym>()
    }

    pub(super) fn symbol(&self, index: usize) -> Option<Symbol<'a>> {
        let table = self.content(self.symbol_table).0 as *mut bindings::Elf64_Sym;

        if index >= self.symbol_count() {
            return None;
        }
        // INVARIANT: In bounds of this table.
        let symbol = NonNull::new(table.wrapping_add(index))?;
        Some(Symbol(symbol, PhantomData))
    }

    pub(super) fn symbol_name(&self, symbol: Symbol<'a>) -> &CStr {
        // SAFETY: The symbol is one of this table by the type invariants of `Symbol`, and the
        // loader has checked that the name is within the table of names, which ends with a NUL.
        unsafe {
            let name = (*symbol.0.as_ptr()).st_name as usize;
            CStr::from_char_ptr(self.symbol_names.add(name))
        }
    }

    /// Is it a symbol that the livepatch core has to resolve?
    pub(super) fn is_livepatch_symbol(&self, symbol: Symbol<'a>) -> bool {
        // SAFETY: The symbol is one of this table by the type invariants of `Symbol`.
        let index = unsafe { (*symbol.0.as_ptr()).st_shndx };

        u32::from(index) == bindings::SHN_LIVEPATCH
    }

    /// Says where a symbol is, for [`Elf::apply`]. Under `klp_mutex`, or by the loader.
    pub(super) fn resolve(&self, symbol: Symbol<'a>, address: usize) {
        // SAFETY: The symbol is one of this table by the type invariants of `Symbol`. kallsyms may
        // be reading it, with RCU only, hence the atomic access.
        unsafe {
            atomic_store(
                &raw mut (*symbol.0.as_ptr()).st_value,
                address as u64,
                Relaxed,
            )
        };
    }

    /// Applies the relocations in `section`. May sleep.
    pub(super) fn apply(&self, section: RelocationSection) -> Result {
        // SAFETY: All arguments are parts of the file of one module by the type invariants, and
        // `section` is one with relocations by its own.
        to_result(unsafe {
            bindings::apply_relocate_add(
                self.sections,
                self.symbol_names,
                self.symbol_table,
                section.0,
                self.module,
            )
        })
    }

    /// Clears the relocations in `section`, as far as the architecture can do that. May sleep.
    pub(super) fn clear(&self, section: RelocationSection) {
        // SAFETY: All arguments are parts of the file of one module by the type invariants, and
        // `section` is one with relocations by its own. Where a relocation was not applied, what is
        // cleared is 0 already.
        unsafe {
            bindings::clear_relocate_add(
                self.sections,
                self.symbol_names,
                self.symbol_table,
                section.0,
                self.module,
            )
        }
    }
}
