// SPDX-License-Identifier: GPL-2.0

//! Would this kernel take a livepatch, as things stand? Each question that can be answered without
//! loading it.
//!
//! What nobody can answer is not asked: whether the states that it expects fit, what its callbacks
//! will say, and whether there is memory for it.

use std::collections::HashSet;
use std::io;

use serde::Serialize;

use crate::module::listing::{Contents, Listing};
use crate::module::{ModuleFile, Opened};
use crate::root::Root;
use crate::source::ftrace::{Attached, Traceable};
use crate::source::kallsyms::Kallsyms;
use crate::source::kernel::Core;
use crate::source::{modules, sysfs, tasks};
use crate::system::System;

/// How an answer is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Pass,
    /// It will be loaded, and somebody should know this.
    Warn,
    /// It cannot be told here.
    Unknown,
    /// It will be refused.
    Fail,
}

/// A question, and an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub about: &'static str,
    pub outcome: Outcome,
    pub text: String,
}

/// All that is to be said of a file.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    pub file: String,
    pub name: String,
    /// The worst of them.
    pub outcome: Outcome,
    pub findings: Vec<Finding>,
}

/// Names at most this many of a kind.
const MOST: usize = 8;

/// Asks all questions.
pub fn check(root: &Root, opened: &Opened, system: &System) -> io::Result<Checked> {
    let file = &opened.module;
    let mut findings = Findings::default();
    module(root, file, system, &mut findings)?;
    signature(file, system, &mut findings);
    depends(root, file, &mut findings)?;
    match Contents::parse(&opened.bytes) {
        Ok(contents) => self::contents(root, file, &contents, system, &mut findings)?,
        Err(why) => findings.fail("module", why),
    }
    let findings = findings.0;
    Ok(Checked {
        file: file.path.display().to_string(),
        name: file.name.clone(),
        outcome: findings
            .iter()
            .map(|finding| finding.outcome)
            .max()
            .unwrap_or(Outcome::Unknown),
        findings,
    })
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, about: &'static str, outcome: Outcome, text: impl Into<String>) {
        self.0.push(Finding {
            about,
            outcome,
            text: text.into(),
        });
    }

    fn pass(&mut self, about: &'static str, text: impl Into<String>) {
        self.add(about, Outcome::Pass, text);
    }

    fn warn(&mut self, about: &'static str, text: impl Into<String>) {
        self.add(about, Outcome::Warn, text);
    }

    fn unknown(&mut self, about: &'static str, text: impl Into<String>) {
        self.add(about, Outcome::Unknown, text);
    }

    fn fail(&mut self, about: &'static str, text: impl Into<String>) {
        self.add(about, Outcome::Fail, text);
    }

    /// One finding for each of them, and one for all that are more. Were there any?
    fn each(&mut self, about: &'static str, outcome: Outcome, texts: Vec<String>) -> bool {
        let more = texts.len().saturating_sub(MOST);
        let any = !texts.is_empty();
        for text in texts.into_iter().take(MOST) {
            self.add(about, outcome, text);
        }
        if more > 0 {
            self.add(about, outcome, format!("... and {more} more"));
        }
        any
    }
}

fn module(
    root: &Root,
    file: &ModuleFile,
    system: &System,
    findings: &mut Findings,
) -> io::Result<()> {
    if !system.can_livepatch {
        findings.fail("kernel", "this kernel cannot livepatch");
    }
    if !file.is_livepatch() {
        findings.fail("module", "it is a module, but no livepatch");
    } else {
        findings.pass("module", format!("livepatch {}", file.name));
    }
    match (system.kernel.release.as_deref(), file.release()) {
        (Some(running), Some(wanted)) if running != wanted => findings.fail(
            "kernel",
            format!("it was built for {wanted}, this kernel is {running}"),
        ),
        (Some(running), Some(_)) => findings.pass("kernel", format!("built for {running}")),
        _ => findings.unknown("kernel", "which kernel it was built for"),
    }
    if let Some(loaded) = modules::module(root, &file.name)? {
        let name = &file.name;
        match file.is_loaded_as(&loaded) {
            _ if loaded.is_livepatch() && !sysfs::is_there(root, name) => findings.warn(
                "name",
                format!("a module {name} is left over: klp load and klp gc remove it"),
            ),
            Some(true) => findings.warn("name", "it is loaded already"),
            Some(false) => findings.fail(
                "name",
                format!("a module {name} is loaded, and is another one"),
            ),
            None => findings.unknown(
                "name",
                format!("whether the module {name} that is loaded is this one"),
            ),
        }
    }
    if root.flag("/proc/sys/kernel/modules_disabled")? == Some(true) {
        findings.fail(
            "kernel",
            "no module can be loaded until the next boot: kernel.modules_disabled",
        );
    }
    if root.flag("/proc/sys/kernel/ftrace_enabled")? == Some(false) {
        findings.fail("ftrace", "it is switched off: kernel.ftrace_enabled");
    }
    if let Some(transition) = &system.transition {
        findings.warn(
            "transition",
            format!(
                "that of {} runs, and has to end first (klp why)",
                transition.patch
            ),
        );
    }
    Ok(())
}

fn signature(file: &ModuleFile, system: &System, findings: &mut Findings) {
    let kernel = &system.kernel;
    let locked_down = kernel.lockdown.as_deref().is_some_and(|it| it != "none");
    let signs = |value: &&String| value.as_str() != "n";
    if file.signed {
        findings.pass(
            "signature",
            "signed; whether this kernel trusts it is seen when it is loaded",
        );
    } else if kernel.sig_enforce == Some(true) {
        findings.fail(
            "signature",
            "it is not signed, and this kernel takes signed modules only",
        );
    } else if locked_down {
        findings.fail(
            "signature",
            "it is not signed, and this kernel is locked down",
        );
    } else if kernel.config.get("MODULE_SIG").filter(signs).is_some() {
        findings.warn("signature", "it is not signed: that taints the kernel");
    }
}

fn depends(root: &Root, file: &ModuleFile, findings: &mut Findings) -> io::Result<()> {
    let names = file.field("depends").unwrap_or_default().split(',');
    for name in names.filter(|name| !name.is_empty()) {
        // A file's name may have a hyphen.
        if !modules::is_live(root, &name.replace('-', "_"))? {
            findings.fail(
                "depends",
                format!("it needs the module {name}, which is not loaded"),
            );
        }
    }
    Ok(())
}

fn contents(
    root: &Root,
    file: &ModuleFile,
    contents: &Contents,
    system: &System,
    findings: &mut Findings,
) -> io::Result<()> {
    if let Some(machine) = contents.machine.filter(|_| root.is_live()) {
        if machine != std::env::consts::ARCH {
            let here = std::env::consts::ARCH;
            findings.fail("module", format!("it is for {machine}, this is {here}"));
        }
    }
    let malformed = contents.malformed.iter();
    findings.each(
        "relocations",
        Outcome::Fail,
        malformed
            .map(|name| format!("{name} is not a name that the kernel takes"))
            .collect(),
    );

    let mut wanted: HashSet<&str> = HashSet::new();
    wanted.extend(contents.symbols.iter().map(|symbol| symbol.name.as_str()));
    wanted.extend(contents.undefined.iter().map(String::as_str));
    if let Some(listing) = &contents.listing {
        wanted.extend(
            listing
                .functions()
                .map(|(_, function)| function.name.as_str()),
        );
    }
    let there = There {
        live: live(root, contents)?,
        kallsyms: Kallsyms::read(root, &wanted)?,
    };
    undefined(contents, &there, findings);
    symbols(contents, &there, findings);
    targets(root, file, findings)?;

    let replace = file.field("klp_replace").and_then(|value| match value {
        "Y" | "y" | "1" => Some(true),
        "N" | "n" | "0" => Some(false),
        _ => None,
    });
    let Some(listing) = &contents.listing else {
        findings.unknown(
            "functions",
            "which ones: it puts its list together when it is loaded",
        );
        return Ok(());
    };
    functions(listing, &there, system.kernel.core, findings);
    let attached = Attached::read(root)?;
    traceable(root, listing, &there, findings)?;
    others(listing, attached.as_ref(), system, &there, findings);
    replaced(listing, replace.or(listing.replace), system, findings);
    asleep(root, listing, findings)
}

/// What of the system a name is looked up in.
struct There<'a> {
    /// The objects that are there, of those that the file names.
    live: HashSet<&'a str>,
    kallsyms: Option<Kallsyms>,
}

/// Each of them is looked for once, however many of its functions and symbols there are.
fn live<'a>(root: &Root, contents: &'a Contents) -> io::Result<HashSet<&'a str>> {
    let symbols = contents.symbols.iter().map(|symbol| symbol.object.as_str());
    let listing = contents.listing.iter();
    let objects = listing.flat_map(|listing| &listing.objects);
    let named: HashSet<&str> = objects
        .map(|object| object.name.as_str())
        .chain(symbols)
        .collect();
    let mut live = HashSet::new();
    for object in named {
        if object == "vmlinux" || modules::is_live(root, object)? {
            live.insert(object);
        }
    }
    Ok(live)
}

/// What a name of an object leads to.
enum Found {
    One(u64),
    /// The module is not loaded: this is looked up when it comes.
    Waits,
    Wrong(String),
    Unknown(String),
}

impl There<'_> {
    /// As the core looks for it: at position `sympos`, or for the only one if that is 0.
    fn find(&self, object: &str, name: &str, sympos: u64) -> Found {
        if !self.live.contains(object) {
            return Found::Waits;
        }
        let Some(kallsyms) = &self.kallsyms else {
            return Found::Unknown(NO_KALLSYMS.to_owned());
        };
        let found = kallsyms.addresses(object, name);
        let count = found.len();
        let at = usize::try_from(sympos.max(1) - 1).unwrap_or(usize::MAX);
        match found.get(at) {
            _ if count == 0 && kallsyms.is_suffixed(name) => Found::Unknown(format!(
                "{object}:{name}: whether this kernel takes {name}.llvm.* for it"
            )),
            _ if count == 0 => Found::Wrong(format!("{object}:{name}: there is none")),
            _ if sympos == 0 && count > 1 => Found::Wrong(format!(
                "{object}:{name}: there are {count} of this name, and it does not say which one"
            )),
            None => Found::Wrong(format!(
                "{object}:{name}: it wants number {sympos}, there are {count}"
            )),
            Some(address) => Found::One(*address),
        }
    }

    /// Are there several of this name?
    fn is_ambiguous(&self, object: &str, name: &str) -> bool {
        let kallsyms = self.kallsyms.as_ref();
        kallsyms.is_some_and(|kallsyms| kallsyms.addresses(object, name).len() > 1)
    }
}

const NO_KALLSYMS: &str = "/proc/kallsyms may not be read";

/// The symbols that other code has to have.
fn undefined(contents: &Contents, there: &There<'_>, findings: &mut Findings) {
    let Some(kallsyms) = &there.kallsyms else {
        return;
    };
    let (mut missing, mut unknown) = (Vec::new(), 0);
    for name in &contents.undefined {
        match kallsyms.exports(name) {
            Some(true) => {}
            Some(false) => missing.push(format!("{name}: nothing of this name is exported")),
            None => unknown += 1,
        }
    }
    if !findings.each("symbols", Outcome::Fail, missing) && unknown > 0 {
        findings.unknown(
            "symbols",
            format!("whether the kernel exports {unknown} symbols: it does not list those"),
        );
    }
}

/// The symbols that the livepatch core resolves.
fn symbols(contents: &Contents, there: &There<'_>, findings: &mut Findings) {
    let (mut found, mut waits, mut wrong) = (0, 0, Vec::new());
    for symbol in &contents.symbols {
        match there.find(&symbol.object, &symbol.name, symbol.sympos) {
            Found::One(_) => found += 1,
            Found::Waits => waits += 1,
            Found::Wrong(why) => wrong.push(why),
            Found::Unknown(why) => {
                findings.unknown("symbols", why);
                return;
            }
        }
    }
    if !findings.each("symbols", Outcome::Fail, wrong) && !contents.symbols.is_empty() {
        findings.pass("symbols", counted(found, waits));
    }
}

fn counted(found: usize, waits: usize) -> String {
    match waits {
        0 => format!("{found} found"),
        _ => format!("{found} found, {waits} of modules that are not loaded"),
    }
}

/// Are the modules that it is for those that are there?
fn targets(root: &Root, file: &ModuleFile, findings: &mut Findings) -> io::Result<()> {
    for target in file.fields("klp_srcversion") {
        let Some((object, wanted)) = target.split_once(':') else {
            findings.warn(
                "targets",
                format!("klp_srcversion={target}: no module and version"),
            );
            continue;
        };
        let Some(loaded) = modules::module(root, object)? else {
            continue;
        };
        match loaded.srcversion.as_deref() {
            Some(loaded) if loaded == wanted => {
                findings.pass("targets", format!("{object} is the module it was made for"));
            }
            Some(loaded) => findings.fail(
                "targets",
                format!("{object} is another one: its srcversion is {loaded}, not {wanted}"),
            ),
            None => findings.unknown(
                "targets",
                format!("whether {object} is the module it was made for"),
            ),
        }
    }
    Ok(())
}

fn functions(listing: &Listing, there: &There<'_>, core: Core, findings: &mut Findings) {
    let (mut found, mut waits, mut wrong) = (0, 0, Vec::new());
    let mut aliases = Vec::new();
    let mut names = HashSet::new();
    let mut places = HashSet::new();
    let mut objects = HashSet::new();
    for object in &listing.objects {
        // Two livepatches of one module may have one object.
        if listing.replace.is_some() && !objects.insert(&object.name) {
            wrong.push(format!("{}: it has this object twice", object.name));
        }
    }
    for (object, function) in listing.functions() {
        let name = &function.name;
        if !names.insert((object, name, function.sympos)) {
            wrong.push(format!("{object}:{name}: it has this function twice"));
            continue;
        }
        match there.find(object, name, function.sympos) {
            Found::One(address) => {
                found += 1;
                if address != 0 && !places.insert(address) {
                    aliases.push(format!(
                        "{object}:{name}: it has this function under two names"
                    ));
                }
            }
            Found::Waits => waits += 1,
            Found::Wrong(why) => wrong.push(why),
            Found::Unknown(why) => {
                findings.unknown("functions", why);
                return;
            }
        }
    }
    // The core in C takes them for two functions, of which a task may run versions of two livepatches.
    let outcome = match core {
        Core::Rust => Outcome::Fail,
        Core::C => Outcome::Warn,
        Core::Unknown => Outcome::Unknown,
    };
    let aliases = findings.each("functions", outcome, aliases);
    if !findings.each("functions", Outcome::Fail, wrong) && !aliases {
        findings.pass("functions", counted(found, waits));
    }
}

/// Can calls of its functions be redirected?
fn traceable(
    root: &Root,
    listing: &Listing,
    there: &There<'_>,
    findings: &mut Findings,
) -> io::Result<()> {
    let Some(traceable) = Traceable::read(root)? else {
        findings.unknown("ftrace", "tracefs may only be read by root");
        return Ok(());
    };
    let entries: Option<HashSet<u64>> = match (&traceable, &there.kallsyms) {
        (Traceable::Addresses(addresses), Some(kallsyms)) if kallsyms.has_addresses() => Some(
            addresses
                .iter()
                .filter_map(|address| kallsyms.start(*address))
                .collect(),
        ),
        _ => None,
    };
    let (mut can, mut cannot, mut unclear) = (0, Vec::new(), Vec::new());
    for (object, function) in listing.functions() {
        let Found::One(address) = there.find(object, &function.name, function.sympos) else {
            continue;
        };
        let is_there = match (&entries, &traceable) {
            (Some(entries), _) => entries.contains(&address),
            (None, Traceable::Names(_)) if there.is_ambiguous(object, &function.name) => {
                unclear.push(format!(
                    "{object}:{}: whether calls of this one of several can be redirected",
                    function.name
                ));
                continue;
            }
            (None, Traceable::Names(names)) => {
                names.contains(&(object.to_owned(), function.name.clone()))
            }
            (None, Traceable::Addresses(_)) => {
                findings.unknown("ftrace", "addresses of symbols may not be seen");
                return Ok(());
            }
        };
        if is_there {
            can += 1;
        } else {
            cannot.push(format!(
                "{object}:{}: its calls cannot be redirected: it is notrace, or has no entry for ftrace",
                function.name
            ));
        }
    }
    findings.each("ftrace", Outcome::Unknown, unclear);
    if !findings.each("ftrace", Outcome::Fail, cannot) && can > 0 {
        findings.pass("ftrace", format!("calls of {can} can be redirected"));
    }
    Ok(())
}

/// Who else is at its functions?
fn others(
    listing: &Listing,
    attached: Option<&Attached>,
    system: &System,
    there: &There<'_>,
    findings: &mut Findings,
) {
    let Some(attached) = attached else {
        findings.unknown("conflicts", "tracefs may only be read by root");
        return;
    };
    let objects = system.patches.iter().flat_map(|patch| &patch.objects);
    let livepatched: HashSet<(&str, &str)> = objects
        .flat_map(|object| {
            let functions = object.functions.iter();
            functions.map(|function| (object.name.as_str(), function.name.as_str()))
        })
        .collect();
    let (mut taken, mut programs, mut unclear) = (Vec::new(), Vec::new(), Vec::new());
    for (object, function) in listing.functions() {
        let name = &function.name;
        let Some(flags) = attached.flags(object, name) else {
            continue;
        };
        if flags.redirects && there.is_ambiguous(object, name) {
            unclear.push(format!(
                "{object}:{name}: calls of one of several of this name are redirected"
            ));
        } else if flags.redirects && !livepatched.contains(&(object, name.as_str())) {
            taken.push(format!(
                "{object}:{name}: another program redirects its calls"
            ));
        }
        if flags.direct {
            programs.push(format!(
                "{object}:{name}: a BPF program is there: of type modify_return, it can suppress the fix"
            ));
        }
    }
    // The names are those of ftrace, which has one of several for a place.
    let unclear = findings.each("conflicts", Outcome::Unknown, unclear);
    let taken = findings.each("conflicts", Outcome::Fail, taken) || unclear;
    if !findings.each("conflicts", Outcome::Warn, programs) && !taken {
        findings.pass("conflicts", "no other program redirects its functions");
    }
}

/// What becomes of the livepatches that are there?
fn replaced(listing: &Listing, replace: Option<bool>, system: &System, findings: &mut Findings) {
    let enabled = || system.patches.iter().filter(|patch| patch.enabled);
    let names: Vec<&str> = enabled().map(|patch| patch.name.as_str()).collect();
    match replace {
        None if names.is_empty() => {}
        None => findings.unknown(
            "replaces",
            format!("whether it replaces {}", names.join(", ")),
        ),
        Some(false) if names.is_empty() => {}
        Some(false) => findings.pass("replaces", format!("nothing: {} stay", names.join(", "))),
        Some(true) if names.is_empty() => {
            findings.pass("replaces", "all others, of which there is none");
        }
        Some(true) => {
            findings.pass("replaces", names.join(", "));
            let has: HashSet<(&str, &str)> = listing
                .functions()
                .map(|(object, function)| (object, function.name.as_str()))
                .collect();
            let lost = enabled().flat_map(|patch| {
                patch.objects.iter().flat_map(move |object| {
                    let functions = object.functions.iter();
                    functions.map(move |function| (patch, object, function))
                })
            });
            let lost = lost
                .filter(|(_, object, function)| {
                    !has.contains(&(object.name.as_str(), function.name.as_str()))
                })
                .map(|(patch, object, function)| {
                    format!(
                        "{}:{}: the fix of {} goes, this one has not got the function",
                        object.name, function.name, patch.name
                    )
                });
            findings.each("replaces", Outcome::Warn, lost.collect());
        }
    }
}

/// Whom will its transition wait for?
fn asleep(root: &Root, listing: &Listing, findings: &mut Findings) -> io::Result<()> {
    let functions = listing
        .functions()
        .map(|(object, function)| (object, function.name.as_str()))
        .collect();
    let Some(found) = tasks::asleep_in(root, &functions)? else {
        findings.unknown("tasks", "stacks may only be read by root");
        return Ok(());
    };
    let texts = found.iter().map(|((object, function), tasks)| {
        let mut names = tasks.clone();
        names.sort();
        names.dedup();
        let more = if names.len() > 3 { ", ..." } else { "" };
        names.truncate(3);
        format!(
            "{object}:{function}: {} sleep in it now ({}{more}), the transition waits for them",
            tasks.len(),
            names.join(", ")
        )
    });
    if !findings.each("tasks", Outcome::Warn, texts.collect()) {
        findings.pass("tasks", "none sleeps in one of its functions now");
    }
    Ok(())
}
