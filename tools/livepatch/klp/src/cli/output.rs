// SPDX-License-Identifier: GPL-2.0

//! Text for people, and documents for programs.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use klp::failure::Failure;
use klp::history::{End, History, Operation};
use klp::module::ModuleFile;
use klp::system::Transition;
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
            say(text().trim_end())
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
