// SPDX-License-Identifier: GPL-2.0

//! Reads the lists of functions out of the data of a module. The loader has not been there yet: each
//! pointer is a relocation.

use std::cell::Cell;
use std::collections::BTreeMap;

use object::{
    File, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationKind, RelocationTarget,
    SectionIndex, SectionKind, SymbolIndex,
};

use super::{By, Function, Listing, Object};

/// Where a pointer leads that the loader writes.
#[derive(Clone, Copy, Debug)]
struct Pointer {
    /// [`None`]: to something outside of the file.
    section: Option<SectionIndex>,
    offset: u64,
    to_this_module: bool,
}

/// No module has more relocations, and none more functions.
const MOST: usize = 4 << 20;

/// No name is longer: `KSYM_NAME_LEN`.
const LONGEST_NAME: usize = 512;

/// The size of a pointer, and of `unsigned long`, wherever there is livepatching.
const WORD: u64 = 8;

/// A module's file, with what is needed to follow its pointers.
pub(super) struct Elf<'a, 'data> {
    file: &'a File<'data>,
    /// The pointers in each section.
    pointers: BTreeMap<usize, BTreeMap<u64, Pointer>>,
    /// The sizes of the variables, by section and offset.
    sizes: BTreeMap<(usize, u64), u64>,
    /// How many functions may still be read: several objects can have the same list.
    left: Cell<usize>,
}

impl<'a, 'data> Elf<'a, 'data> {
    /// `this_module`: the symbols that are the module itself.
    pub(super) fn new(file: &'a File<'data>, this_module: &[SymbolIndex]) -> Result<Self, String> {
        let mut sizes = BTreeMap::new();
        for symbol in file.symbols() {
            if let (Some(section), 1..) = (symbol.section_index(), symbol.size()) {
                let size = sizes.entry((section.0, symbol.address())).or_insert(0);
                *size = symbol.size().max(*size);
            }
        }
        let mut pointers: BTreeMap<usize, BTreeMap<u64, Pointer>> = BTreeMap::new();
        let mut left = MOST;
        for section in file.sections() {
            let of_section = pointers.entry(section.index().0).or_default();
            for (offset, relocation) in section.relocations() {
                left -= 1;
                if left == 0 {
                    return Err("it has too many relocations".to_owned());
                }
                let RelocationTarget::Symbol(index) = relocation.target() else {
                    continue;
                };
                if relocation.kind() != RelocationKind::Absolute || relocation.size() != 64 {
                    continue;
                }
                let Ok(symbol) = file.symbol_by_index(index) else {
                    continue;
                };
                let pointer = Pointer {
                    section: symbol.section_index(),
                    offset: symbol.address().wrapping_add_signed(relocation.addend()),
                    to_this_module: this_module.contains(&index),
                };
                of_section.insert(offset, pointer);
            }
        }
        Ok(Self {
            file,
            pointers,
            sizes,
            left: Cell::new(MOST),
        })
    }

    fn pointer(&self, section: SectionIndex, offset: u64) -> Option<Pointer> {
        self.pointers.get(&section.0)?.get(&offset).copied()
    }

    /// The pointers of a variable, by their offsets in it.
    fn pointers_of(&self, at: Pointer, size: u64) -> Option<Vec<(u64, Pointer)>> {
        let pointers = self.pointers.get(&at.section?.0)?;
        let end = at.offset.checked_add(size)?;
        let pointers = pointers.range(at.offset..end);
        Some(
            pointers
                .map(|(offset, to)| (offset - at.offset, *to))
                .collect(),
        )
    }

    fn data(&self, section: SectionIndex) -> Option<&'data [u8]> {
        self.file.section_by_index(section).ok()?.data().ok()
    }

    fn number(&self, section: SectionIndex, offset: u64) -> Option<u64> {
        let at = usize::try_from(offset).ok()?;
        let bytes = self.data(section)?.get(at..at.checked_add(8)?)?;
        let bytes = bytes.try_into().ok()?;
        Some(if self.file.is_little_endian() {
            u64::from_le_bytes(bytes)
        } else {
            u64::from_be_bytes(bytes)
        })
    }

    fn byte(&self, section: SectionIndex, offset: u64) -> Option<u8> {
        let at = usize::try_from(offset).ok()?;
        self.data(section)?.get(at).copied()
    }

    fn text(&self, at: Pointer) -> Option<String> {
        let bytes = self
            .data(at.section?)?
            .get(usize::try_from(at.offset).ok()?..)?;
        let bytes = &bytes[..bytes.len().min(LONGEST_NAME)];
        let end = bytes.iter().position(|byte| *byte == 0)?;
        String::from_utf8(bytes[..end].to_vec()).ok()
    }

    fn is(&self, section: SectionIndex, wanted: impl Fn(SectionKind) -> bool) -> bool {
        let section = self.file.section_by_index(section);
        section.is_ok_and(|section| wanted(section.kind()))
    }

    fn is_code(&self, at: Pointer) -> bool {
        at.section
            .is_some_and(|section| self.is(section, |kind| kind == SectionKind::Text))
    }

    /// The name of an object: none means the kernel itself.
    fn object_name(&self, section: SectionIndex, offset: u64) -> Option<String> {
        match self.pointer(section, offset) {
            Some(name) => self.text(name),
            None => Some("vmlinux".to_owned()),
        }
    }

    /// What klp-build writes: `struct klp_object_ext`, without an end.
    pub(super) fn by_klp_build(&self) -> Option<Listing> {
        const OBJECT_SIZE: u64 = 8 * WORD;
        const NR_FUNCS: u64 = 7 * WORD;
        const FUNC_SIZE: u64 = 3 * WORD;

        let section = self.file.section_by_name(".init.klp_objects")?;
        let (at, size) = (section.index(), section.size());
        let mut objects = Vec::new();
        for object in (0..size / OBJECT_SIZE).map(|number| number * OBJECT_SIZE) {
            let funcs = self.pointer(at, object + WORD)?;
            let last = self.number(at, object + NR_FUNCS)?;
            // An unsigned int, and what fills the space up to the next object.
            let count = if self.file.is_little_endian() {
                last & 0xffff_ffff
            } else {
                last >> 32
            };
            let functions = (0..count).map(|number| {
                let func = funcs.offset.checked_add(number.checked_mul(FUNC_SIZE)?)?;
                self.function(funcs.section?, func)
            });
            objects.push(Object {
                name: self.object_name(at, object)?,
                functions: functions.collect::<Option<_>>()?,
            });
        }
        Some(Listing {
            by: By::KlpBuild,
            objects,
            replace: None,
        })
    }

    /// Name, new function, position: `struct klp_func` begins like `struct klp_func_ext`.
    fn function(&self, section: SectionIndex, offset: u64) -> Option<Function> {
        self.left.set(self.left.get().checked_sub(1)?);
        Some(Function {
            name: self.text(self.pointer(section, offset)?)?,
            sympos: self.number(section, offset.checked_add(2 * WORD)?)?,
        })
    }

    /// What kpatch-build writes: `struct kpatch_patch_func`.
    pub(super) fn by_kpatch_build(&self) -> Option<Listing> {
        const SIZE: u64 = 7 * WORD;
        const SYMPOS: u64 = 4 * WORD;
        const NAME: u64 = 5 * WORD;
        const OBJECT: u64 = 6 * WORD;

        let section = self.file.section_by_name(".kpatch.funcs")?;
        let (at, size) = (section.index(), section.size());
        let mut objects: Vec<Object> = Vec::new();
        for func in (0..size / SIZE).map(|number| number * SIZE) {
            let function = Function {
                name: self.text(self.pointer(at, func + NAME)?)?,
                sympos: self.number(at, func + SYMPOS)?,
            };
            let name = self.object_name(at, func + OBJECT)?;
            match objects.iter_mut().find(|object| object.name == name) {
                Some(object) => object.functions.push(function),
                None => objects.push(Object {
                    name,
                    functions: vec![function],
                }),
            }
        }
        Some(Listing {
            by: By::KpatchBuild,
            objects,
            replace: None,
        })
    }

    /// `struct klp_patch`: the module, its objects, its states, and whether it replaces others.
    pub(super) fn by_descriptor(&self) -> Option<Listing> {
        const OBJS: u64 = WORD;
        const REPLACE: u64 = 3 * WORD;

        let mut found: Option<Listing> = None;
        for (section, pointers) in &self.pointers {
            let section = SectionIndex(*section);
            // The core writes to it: what is read-only is another's.
            if !self.is(section, |kind| kind == SectionKind::Data) {
                continue;
            }
            for offset in pointers
                .iter()
                .filter(|(_, it)| it.to_this_module)
                .map(|(offset, _)| *offset)
            {
                let Some(objs) = offset
                    .checked_add(OBJS)
                    .and_then(|at| self.pointer(section, at))
                else {
                    continue;
                };
                // Drivers name their module, too, and a function or something else next to it.
                if objs.section.is_none() || self.is_code(objs) {
                    continue;
                }
                let mut objects = self.objects(objs)?;
                let replace = self.byte(section, offset.checked_add(REPLACE)?)? != 0;
                match &mut found {
                    None => {
                        found = Some(Listing {
                            by: By::Descriptor,
                            objects,
                            replace: Some(replace),
                        });
                    }
                    // Which of them is for what, only its code knows.
                    Some(listing) => {
                        listing.objects.append(&mut objects);
                        listing.replace = listing.replace.filter(|it| *it == replace);
                    }
                }
            }
        }
        found
    }

    /// An array of `struct klp_object`: name, functions, four callbacks, and what is the kernel's.
    fn objects(&self, at: Pointer) -> Option<Vec<Object>> {
        let size = *self.sizes.get(&(at.section?.0, at.offset))?;
        let pointers = self.pointers_of(at, size)?;
        // Names are strings, callbacks are code.
        let starts: Vec<u64> = pointers
            .iter()
            .filter(|(_, to)| !self.is_string(*to) && !self.is_code(*to))
            .map(|(offset, _)| *offset)
            .collect();
        if starts.is_empty() {
            return None;
        }
        let step = step(size, &starts, WORD)?;
        let objects = (0..starts.len() as u64).map(|number| {
            let offset = at.offset.checked_add(number.checked_mul(step)?)?;
            let funcs = self.pointer(at.section?, offset.checked_add(WORD)?)?;
            Some(Object {
                name: self.object_name(at.section?, offset)?,
                functions: self.funcs(funcs)?,
            })
        });
        objects.collect()
    }

    /// An array of `struct klp_func`.
    fn funcs(&self, at: Pointer) -> Option<Vec<Function>> {
        let size = *self.sizes.get(&(at.section?.0, at.offset))?;
        let pointers = self.pointers_of(at, size)?;
        let names: Vec<u64> = pointers
            .iter()
            .filter(|(_, to)| !self.is_code(*to))
            .map(|(offset, _)| *offset)
            .collect();
        let step = step(size, &names, 0)?;
        (0..names.len() as u64)
            .map(|number| {
                let offset = at.offset.checked_add(number.checked_mul(step)?)?;
                // One without a new function is refused.
                self.pointer(at.section?, offset.checked_add(WORD)?)?;
                self.function(at.section?, offset)
            })
            .collect()
    }

    fn is_string(&self, at: Pointer) -> bool {
        let is_read_only = |kind| {
            matches!(
                kind,
                SectionKind::ReadOnlyData
                    | SectionKind::ReadOnlyDataWithRel
                    | SectionKind::ReadOnlyString
            )
        };
        at.section
            .is_some_and(|section| self.is(section, is_read_only))
    }
}

/// The distance between the elements of an array of `size` bytes, which ends with an element of
/// zeroes, and which has something at `first` of each other element: at the offsets `at`, and nowhere
/// else. How big an element is depends on the kernel's configuration.
fn step(size: u64, at: &[u64], first: u64) -> Option<u64> {
    let elements = at.len() as u64 + 1;
    let step = size / elements;
    let is_there = |(number, at): (u64, &u64)| {
        let place = number
            .checked_mul(step)
            .and_then(|it| it.checked_add(first));
        place == Some(*at)
    };
    (step * elements == size && (0..).zip(at).all(is_there)).then_some(step)
}
