// SPDX-License-Identifier: GPL-2.0

//! Modules that are made by hand, and what their files say.

use super::*;
use object::write::{self, Relocation, SectionId, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationEncoding, RelocationFlags, SymbolFlags,
    SymbolKind, SymbolScope,
};
use object::{RelocationKind, SectionKind};
use proptest::prelude::*;

/// A module that is made by hand.
struct Module {
    elf: write::Object<'static>,
    endianness: Endianness,
    data: SectionId,
    strings: SectionId,
    code: SymbolId,
}

/// An object's name, and its functions.
type Described<'a> = (Option<&'a str>, &'a [(&'a str, u64)]);

/// The sizes that the structures have in one kernel.
const FUNC: usize = 152;
const OBJECT: usize = 168;

impl Module {
    fn new(architecture: Architecture, endianness: Endianness) -> Self {
        let mut elf = write::Object::new(BinaryFormat::Elf, architecture, endianness);
        let add = |elf: &mut write::Object<'_>, name: &str, kind| {
            elf.add_section(vec![], name.as_bytes().to_vec(), kind)
        };
        let data = add(&mut elf, ".data", SectionKind::Data);
        let strings = add(&mut elf, ".rodata.str1.1", SectionKind::ReadOnlyString);
        let text = add(&mut elf, ".text", SectionKind::Text);
        elf.append_section_data(text, &[0; 64], 16);
        let code = elf.section_symbol(text);
        Self {
            elf,
            endianness,
            data,
            strings,
            code,
        }
    }

    fn x86() -> Self {
        Self::new(Architecture::X86_64, Endianness::Little)
    }

    fn section(&mut self, name: &str, size: usize) -> SectionId {
        let id = self
            .elf
            .add_section(vec![], name.as_bytes().to_vec(), SectionKind::Data);
        self.elf.append_section_data(id, &vec![0; size], 8);
        id
    }

    fn symbol(&mut self, name: &str, section: SymbolSection, value: u64, size: u64) -> SymbolId {
        self.elf.add_symbol(write::Symbol {
            name: name.as_bytes().to_vec(),
            value,
            size,
            kind: SymbolKind::Data,
            scope: SymbolScope::Compilation,
            weak: false,
            section,
            flags: SymbolFlags::None,
        })
    }

    /// A variable of so many bytes: where it is, and its symbol.
    fn variable(&mut self, size: usize) -> (u64, SymbolId) {
        let at = self.elf.append_section_data(self.data, &vec![0; size], 8);
        let section = SymbolSection::Section(self.data);
        (at, self.symbol("v", section, at, size as u64))
    }

    fn string(&mut self, text: &str) -> (SymbolId, i64) {
        let bytes = [text.as_bytes(), b"\0"].concat();
        let at = self.elf.append_section_data(self.strings, &bytes, 1);
        (self.elf.section_symbol(self.strings), at as i64)
    }

    fn point(&mut self, section: SectionId, offset: u64, to: (SymbolId, i64)) {
        let relocation = Relocation {
            offset,
            symbol: to.0,
            addend: to.1,
            flags: RelocationFlags::Generic {
                kind: RelocationKind::Absolute,
                encoding: RelocationEncoding::Generic,
                size: 64,
            },
        };
        self.elf.add_relocation(section, relocation).unwrap();
    }

    fn put(&mut self, section: SectionId, offset: u64, bytes: &[u8]) {
        let data = self.elf.section_mut(section).data_mut();
        data[offset as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn put_number(&mut self, section: SectionId, offset: u64, number: u64) {
        let bytes = match self.endianness {
            Endianness::Little => number.to_le_bytes(),
            Endianness::Big => number.to_be_bytes(),
        };
        self.put(section, offset, &bytes);
    }

    fn funcs(&mut self, names: &[(&str, u64)]) -> SymbolId {
        let (at, symbol) = self.variable((names.len() + 1) * FUNC);
        for ((name, sympos), at) in names.iter().zip((at..).step_by(FUNC)) {
            self.func(self.data, at, name, *sympos);
        }
        symbol
    }

    fn func(&mut self, section: SectionId, at: u64, name: &str, sympos: u64) {
        let name = self.string(name);
        self.point(section, at, name);
        self.point(section, at + 8, (self.code, 16));
        self.put_number(section, at + 16, sympos);
    }

    /// A descriptor of objects and their functions.
    fn descriptor(&mut self, objects: &[Described<'_>], replace: bool) {
        let (at, objs) = self.variable((objects.len() + 1) * OBJECT);
        for ((name, names), at) in objects.iter().zip((at..).step_by(OBJECT)) {
            if let Some(name) = name {
                let name = self.string(name);
                self.point(self.data, at, name);
            }
            let funcs = self.funcs(names);
            self.point(self.data, at + 8, (funcs, 0));
            // A callback.
            self.point(self.data, at + 16, (self.code, 0));
        }
        let this_module = self.symbol("__this_module", SymbolSection::Undefined, 0, 0);
        let (patch, _) = self.variable(200);
        self.point(self.data, patch, (this_module, 0));
        self.point(self.data, patch + 8, (objs, 0));
        self.put(self.data, patch + 24, &[replace.into()]);
    }

    fn bytes(&self) -> Vec<u8> {
        self.elf.write().unwrap()
    }

    fn listing(&self) -> Option<Listing> {
        Contents::parse(&self.bytes()).unwrap().listing
    }
}

fn said(listing: &Listing) -> Vec<String> {
    let functions = listing.functions();
    functions
        .map(|(object, it)| format!("{object}:{},{}", it.name, it.sympos))
        .collect()
}

#[test]
fn a_descriptor_has_objects_and_functions() {
    for (architecture, endianness) in [
        (Architecture::X86_64, Endianness::Little),
        (Architecture::Aarch64, Endianness::Little),
        (Architecture::S390x, Endianness::Big),
        (Architecture::PowerPc64, Endianness::Little),
        (Architecture::LoongArch64, Endianness::Little),
    ] {
        let mut module = Module::new(architecture, endianness);
        module.descriptor(
            &[
                (None, &[("a", 0), ("b", 2)]),
                (Some("ext4"), &[]),
                (Some("xfs"), &[("c", 1)]),
            ],
            true,
        );
        let listing = module.listing().unwrap();
        assert_eq!(
            said(&listing),
            ["vmlinux:a,0", "vmlinux:b,2", "xfs:c,1"],
            "{architecture:?}"
        );
        assert_eq!(listing.objects.len(), 3);
        assert_eq!(
            (listing.by, listing.replace),
            (By::Descriptor, Some(true)),
            "{architecture:?}"
        );
    }
}

#[test]
fn a_descriptor_that_is_completed_later_says_nothing() {
    let mut module = Module::x86();
    module.descriptor(&[], false);
    assert_eq!(module.listing(), None);
    // A function without a new one.
    let mut module = Module::x86();
    let (at, funcs) = module.variable(2 * FUNC);
    let name = module.string("a");
    module.point(module.data, at, name);
    let (at, objs) = module.variable(2 * OBJECT);
    module.point(module.data, at + 8, (funcs, 0));
    let this_module = module.symbol("__this_module", SymbolSection::Undefined, 0, 0);
    let (at, _) = module.variable(200);
    module.point(module.data, at, (this_module, 0));
    module.point(module.data, at + 8, (objs, 0));
    assert_eq!(module.listing(), None);
    assert_eq!(Module::x86().listing(), None);
}

#[test]
fn klp_build_has_sections_for_it() {
    for endianness in [Endianness::Little, Endianness::Big] {
        let architecture = match endianness {
            Endianness::Little => Architecture::X86_64,
            Endianness::Big => Architecture::S390x,
        };
        let mut module = Module::new(architecture, endianness);
        let objects = module.section(".init.klp_objects", 128);
        let funcs = module.section(".init.klp_funcs", 72);
        module.func(funcs, 0, "a", 0);
        module.func(funcs, 24, "b", 3);
        module.func(funcs, 48, "c", 0);
        let symbol = module.elf.section_symbol(funcs);
        let name = module.string("ext4");
        module.point(objects, 8, (symbol, 0));
        module.point(objects, 64, name);
        module.point(objects, 72, (symbol, 24));
        for (at, count) in [(56, 1_u32), (120, 2)] {
            let bytes = match endianness {
                Endianness::Little => count.to_le_bytes(),
                Endianness::Big => count.to_be_bytes(),
            };
            module.put(objects, at, &bytes);
        }
        let listing = module.listing().unwrap();
        assert_eq!(said(&listing), ["vmlinux:a,0", "ext4:b,3", "ext4:c,0"]);
        assert_eq!((listing.by, listing.replace), (By::KlpBuild, None));
    }
}

#[test]
fn kpatch_build_has_another_one() {
    let mut module = Module::x86();
    let funcs = module.section(".kpatch.funcs", 3 * 56);
    for (at, name, object) in [
        (0, "a", "vmlinux"),
        (56, "b", "ext4"),
        (112, "c", "vmlinux"),
    ] {
        module.point(funcs, at, (module.code, 0));
        module.put_number(funcs, at + 32, 1);
        let name = module.string(name);
        module.point(funcs, at + 40, name);
        let object = module.string(object);
        module.point(funcs, at + 48, object);
    }
    let listing = module.listing().unwrap();
    assert_eq!(said(&listing), ["vmlinux:a,1", "vmlinux:c,1", "ext4:b,1"]);
    assert_eq!(listing.by, By::KpatchBuild);
}

#[test]
fn names_are_those_that_the_kernel_takes() {
    let mut module = Module::x86();
    module.section(".klp.rela.ext4..text", 0);
    module.section(".klp.rela..text", 0);
    for name in [".klp.sym.ext4.f.x,2", ".klp.sym.ext4", "other"] {
        module.symbol(name, SymbolSection::Undefined, 0, 0);
    }
    let contents = Contents::parse(&module.bytes()).unwrap();
    assert_eq!(contents.malformed, [".klp.rela..text", ".klp.sym.ext4"]);
    assert_eq!(contents.symbols.len(), 1);
    let symbol = &contents.symbols[0];
    assert_eq!(
        (symbol.object.as_str(), symbol.name.as_str(), symbol.sympos),
        ("ext4", "f.x", 2)
    );
    assert_eq!(contents.undefined, ["other"]);
    assert_eq!(contents.machine, Some("x86_64"));
}

proptest! {
    #[test]
    fn a_place_may_be_anywhere(place in prop_oneof![any::<u64>(), u64::MAX - 64..], size: u64) {
        let mut module = Module::x86();
        let this_module = module.symbol("__this_module", SymbolSection::Undefined, 0, 0);
        let section = SymbolSection::Section(module.data);
        let objs = module.symbol("v", section, place, size);
        module.point(module.data, place, (this_module, 0));
        module.point(module.data, place.wrapping_add(8), (objs, 0));
        let _ = Contents::parse(&module.bytes());
    }
}

proptest! {
    #[test]
    fn any_byte_may_be_wrong(at: prop::sample::Index, byte: u8) {
        let mut module = Module::x86();
        module.descriptor(&[(None, &[("a", 0)]), (Some("b"), &[("c", 1)])], false);
        let mut bytes = module.bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Contents::parse(&bytes);
        let _ = Contents::parse(&bytes[..at]);
    }

    #[test]
    fn a_number_of_functions_may_be_anything(count: u32) {
        let mut module = Module::x86();
        let objects = module.section(".init.klp_objects", 64);
        let funcs = module.section(".init.klp_funcs", 24);
        module.func(funcs, 0, "a", 0);
        let symbol = module.elf.section_symbol(funcs);
        module.point(objects, 8, (symbol, 0));
        module.put(objects, 56, &count.to_le_bytes());
        let known = module.listing().map(|listing| said(&listing).len());
        prop_assert_eq!(known, (count <= 1).then_some(count as usize));
    }
}
