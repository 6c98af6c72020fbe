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
use object::{File, Object as _, ObjectSection as _, ObjectSymbol as _};
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
        let elf = Elf::new(&file);
        let (symbols, malformed) = livepatch_names(&file);
        let undefined = file
            .symbols()
            .filter(|symbol| symbol.is_undefined() && !symbol.is_weak())
            .filter_map(|symbol| symbol.name().ok())
            .filter(|name| !name.is_empty() && !name.starts_with(".klp."))
            .map(str::to_owned)
            .collect();

        Ok(Self {
            machine: machine(&file),
            listing: (elf.by_klp_build())
                .or_else(|| elf.by_kpatch_build())
                .or_else(|| elf.by_descriptor()),
            symbols,
            malformed,
            undefined,
        })
    }
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

fn livepatch_names(file: &File) -> (Vec<Symbol>, Vec<String>) {
    let mut malformed: Vec<String> = file
        .sections()
        .filter_map(|section| section.name().ok().map(str::to_owned))
        .filter(|name| name.starts_with(".klp.rela."))
        .filter(|name| reloc_name::parse_section(name.as_bytes()).is_none())
        .collect();
    let mut symbols = Vec::new();
    for name in file.symbols().filter_map(|symbol| symbol.name().ok()) {
        if !name.starts_with(".klp.sym.") {
            continue;
        }
        // The name of a section is one of text, so those of its parts are.
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match reloc_name::parse_symbol(name.as_bytes()) {
            Some(symbol) => symbols.push(Symbol {
                object: text(symbol.object),
                name: text(symbol.symbol),
                sympos: symbol.sympos as u64,
            }),
            None => malformed.push(name.to_owned()),
        }
    }
    (symbols, malformed)
}
