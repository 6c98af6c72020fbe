// SPDX-License-Identifier: GPL-2.0

//! Text for people, and documents for programs.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use klp::check::Checked;
use klp::doctor::Finding;
use klp::failure::Failure;
use klp::history::{End, History, Operation};
use klp::module::ModuleFile;
use klp::render;
use klp::system::{InstalledPatch, System, Transition};
use klp::text::printable_lines;
use klp::verify::Verified;
use serde::Serialize;

/// Who reads the output.
#[derive(Args, Clone, Copy)]
pub(super) struct Json {
    /// For programs: one JSON document
    #[arg(long)]
    json: bool,
}

impl Json {
    /// Prints one of the two.
    pub(super) fn print<T: Serialize>(
        self,
        document: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        if self.json {
            let document = serde_json::to_string_pretty(document).map_err(io::Error::from)?;
            say(&document)
        } else {
            say(&printable_lines(text().trim_end()))
        }
    }
}

/// Prints, and is content if nobody listens any more.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A document with the name of its schema. Fields are only ever added under one name.
#[derive(Serialize)]
pub(super) struct Document<T> {
    schema: &'static str,
    #[serde(flatten)]
    body: T,
}

impl<T> Document<T> {
    pub(super) fn new(schema: &'static str, body: T) -> Self {
        Self { schema, body }
    }
}

/// `klp/why/1`
#[derive(Serialize)]
pub(super) struct Why<'a> {
    pub(super) transition: Option<&'a Transition>,
}

/// `klp/list/1`
#[derive(Serialize)]
pub(super) struct List<'a> {
    /// Absent if only what is installed was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    loaded: Option<Vec<Loaded<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leftover: Option<&'a [String]>,
    /// `null`: it may not be seen.
    installed: Option<&'a [InstalledPatch]>,
}

#[derive(Serialize)]
struct Loaded<'a> {
    name: &'a str,
    state: &'static str,
}

impl<'a> List<'a> {
    pub(super) fn of(system: &'a System, installed_only: bool) -> Self {
        let loaded = system.patches.iter().map(|patch| Loaded {
            name: &patch.name,
            state: render::state(patch),
        });
        Self {
            loaded: (!installed_only).then(|| loaded.collect()),
            leftover: (!installed_only).then_some(&system.leftover),
            installed: system.installed.as_deref(),
        }
    }
}

/// `klp/fixes/1`
#[derive(Serialize)]
pub(super) struct Fixes<'a> {
    patches: Vec<Fixed<'a>>,
}

#[derive(Serialize)]
struct Fixed<'a> {
    patch: &'a str,
    /// `null`: nobody knows.
    in_force: Option<bool>,
    fixes: Option<&'a [String]>,
}

impl<'a> From<&'a System> for Fixes<'a> {
    fn from(system: &'a System) -> Self {
        let patches = system.patches.iter().map(|patch| Fixed {
            patch: &patch.name,
            in_force: patch.in_force(),
            fixes: patch.fixes.as_deref(),
        });
        Self {
            patches: patches.collect(),
        }
    }
}

/// `klp/doctor/1`
#[derive(Serialize)]
pub(super) struct Findings<'a> {
    pub(super) findings: &'a [Finding],
}

/// `klp/check/1`
#[derive(Serialize)]
pub(super) struct Files<'a> {
    pub(super) files: &'a [Checked],
}

/// `klp/verify/1`
#[derive(Serialize)]
pub(super) struct Patches<'a> {
    pub(super) patches: &'a [Verified],
}

/// `klp/history/1`
#[derive(Serialize)]
pub(super) struct Operations<'a> {
    operations: Vec<OperationJson<'a>>,
}

#[derive(Serialize)]
struct OperationJson<'a> {
    patch: &'a str,
    target: &'static str,
    started_ms: u128,
    took_ms: Option<u128>,
    /// `null`: it runs, or the kernel did not say.
    end: Option<&'static str>,
    signals: u32,
    forced: bool,
}

impl<'a> From<&'a History> for Operations<'a> {
    fn from(history: &'a History) -> Self {
        let operations = history.operations.iter().map(OperationJson::from).collect();
        Self { operations }
    }
}

impl<'a> From<&'a Operation> for OperationJson<'a> {
    fn from(operation: &'a Operation) -> Self {
        let took = |at: Duration| Some(at.saturating_sub(operation.started).as_millis());
        let (took_ms, end) = match operation.end {
            End::No => (None, None),
            End::Complete(at) => (took(at), Some("complete")),
            End::Reversed(at) => (took(at), Some("reversed")),
        };
        Self {
            patch: &operation.patch,
            target: operation.target.name(),
            started_ms: operation.started.as_millis(),
            took_ms,
            end,
            signals: operation.signals,
            forced: operation.forced,
        }
    }
}

/// `klp/file/1`
#[derive(Serialize)]
pub(super) struct File<'a> {
    file: String,
    name: &'a str,
    livepatch: bool,
    release: Option<&'a str>,
    signed: bool,
    build_id: Option<&'a str>,
    fixes: Vec<String>,
}

impl<'a> From<&'a ModuleFile> for File<'a> {
    fn from(file: &'a ModuleFile) -> Self {
        Self {
            file: file.path.display().to_string(),
            name: &file.name,
            livepatch: file.is_livepatch(),
            release: file.release(),
            signed: file.signed,
            build_id: file.build_id.as_deref(),
            fixes: file.fixes(),
        }
    }
}
