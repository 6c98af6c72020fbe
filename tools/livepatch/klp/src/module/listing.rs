// SPDX-License-Identifier: GPL-2.0

//! What a livepatch's file says it replaces, and which symbols it refers to.
//!
//! There are three ways to say it: the descriptor of `include/linux/livepatch.h`, as data of the
//! module; what klp-build writes, as `include/linux/livepatch_external.h` has it; and what
//! kpatch-build writes. A module may also put its descriptor together when it is loaded, and then its
//! file does not tell.

mod elf;
#[cfg(test)]
mod tests;

use elf::Elf;
use object::{File, Object as _, ObjectSection as _, ObjectSymbol as _, SymbolIndex};
use serde::Serialize;

// One set of rules for what these names mean, the kernel's.
#[allow(dead_code)]
#[path = "../../../../../kernel/livepatch/model/reloc_name.rs"]
mod reloc_name;

/// A file, as far as livepatching is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    pub machine: Option<&'static str>,
    /// [`None`]: the file does not tell.
    pub listing: Option<Listing>,
    /// The symbols that the kernel's livepatch core resolves.
    pub symbols: Vec<Symbol>,
    /// Names of sections and symbols that are for the livepatch core and that it does not take.
    pub malformed: Vec<String>,
    /// The symbols that the module loader resolves.
    pub undefined: Vec<String>,
}

/// What it replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Listing {
    pub by: By,
    pub objects: Vec<Object>,
    /// Does it replace all livepatches that are there? [`None`]: that is decided when it is loaded.
    pub replace: Option<bool>,
}

/// Who has written the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The author of the module, in C or in Rust.
    Descriptor,
    KlpBuild,
    KpatchBuild,
}

/// The kernel, `vmlinux`, or a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Object {
    pub name: String,
    pub functions: Vec<Function>,
}

/// A function that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Function {
    pub name: String,
    /// Which one of that name, from 1; 0 asks for the only one.
    pub sympos: u64,
}

/// A symbol of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub object: String,
    pub name: String,
    /// As in [`Function`].
    pub sympos: u64,
}

impl Contents {
    /// Takes a module apart.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file = File::parse(bytes).map_err(|error| error.to_string())?;
        let names = Names::of(&file)?;
        let elf = Elf::new(&file, &names.this_module)?;
        let (symbols, malformed) = livepatch_names(&names);
        let undefined = names.undefined.iter().map(|name| (*name).to_owned());

        Ok(Self {
            machine: machine(&file),
            listing: (elf.by_klp_build())
                .or_else(|| elf.by_kpatch_build())
                .or_else(|| elf.by_descriptor()),
            symbols,
            malformed,
            undefined: undefined.collect(),
        })
    }
}

/// A file whose names are longer than that, put together, is none that a compiler has made: each name of it
/// may be the end of one and the same text.
const MOST_TEXT: usize = 256 << 20;

/// The names in a file.
struct Names<'data> {
    sections: Vec<&'data str>,
    /// Of symbols that the livepatch core resolves.
    livepatch: Vec<&'data str>,
    /// Of symbols that the loader has to find elsewhere.
    undefined: Vec<&'data str>,
    /// Which symbols are `__this_module`.
    this_module: Vec<SymbolIndex>,
}

impl<'data> Names<'data> {
    fn of<'a>(file: &'a File<'data>) -> Result<Self, String>
    where
        'data: 'a,
    {
        let mut left = MOST_TEXT;
        let mut name = |bytes: object::Result<&'data [u8]>| {
            let bytes = bytes.map_err(|error| error.to_string())?;
            left = left
                .checked_sub(bytes.len())
                .ok_or("the names in it are too long")?;
            // What is no text is no name either that anybody looks for.
            Ok::<_, String>(std::str::from_utf8(bytes).unwrap_or_default())
        };
        let mut names = Self {
            sections: Vec::new(),
            livepatch: Vec::new(),
            undefined: Vec::new(),
            this_module: Vec::new(),
        };
        for section in file.sections() {
            names.sections.push(name(section.name_bytes())?);
        }
        for symbol in file.symbols() {
            let text = name(symbol.name_bytes())?;
            if text == "__this_module" {
                names.this_module.push(symbol.index());
            }
            if text.starts_with(".klp.sym.") {
                names.livepatch.push(text);
            } else if symbol.is_undefined() && !symbol.is_weak() && !is_the_linkers(text) {
                names.undefined.push(text);
            }
        }
        Ok(names)
    }
}

/// Names that nobody looks up: those of the livepatch core, `.TOC.` of powerpc, and the table that some
/// compilers mention and no module has.
fn is_the_linkers(name: &str) -> bool {
    name.is_empty() || name.starts_with('.') || name == "_GLOBAL_OFFSET_TABLE_"
}

impl Listing {
    /// Each function, with the object it is in.
    pub fn functions(&self) -> impl Iterator<Item = (&str, &Function)> {
        self.objects.iter().flat_map(|object| {
            let functions = object.functions.iter();
            functions.map(|function| (object.name.as_str(), function))
        })
    }
}

/// The word that Rust has for the machine.
fn machine(file: &File) -> Option<&'static str> {
    use object::Architecture;

    Some(match file.architecture() {
        Architecture::X86_64 => "x86_64",
        Architecture::Aarch64 => "aarch64",
        Architecture::S390x => "s390x",
        Architecture::PowerPc64 => "powerpc64",
        Architecture::LoongArch64 => "loongarch64",
        _ => return None,
    })
}

fn livepatch_names(names: &Names<'_>) -> (Vec<Symbol>, Vec<String>) {
    let sections = names.sections.iter();
    let mut malformed: Vec<String> = sections
        .filter(|name| name.starts_with(".klp.rela."))
        .filter(|name| reloc_name::parse_section(name.as_bytes()).is_none())
        .map(|name| (*name).to_owned())
        .collect();
    let mut symbols = Vec::new();
    for name in &names.livepatch {
        // The whole name is text, so its parts are.
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match reloc_name::parse_symbol(name.as_bytes()) {
            Some(symbol) => symbols.push(Symbol {
                object: text(symbol.object),
                name: text(symbol.symbol),
                sympos: symbol.sympos as u64,
            }),
            None => malformed.push((*name).to_owned()),
        }
    }
    (symbols, malformed)
}
