// SPDX-License-Identifier: GPL-2.0

//! The verbs that look.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Subcommand;
use klp::check::{self, Outcome};
use klp::doctor;
use klp::failure::{Exit, Failure};
use klp::files::write_whole;
use klp::history::History;
use klp::module::{ModuleFile, Opened};
use klp::render;
use klp::root::Root;
use klp::source::ftrace::Attached;
use klp::source::{kmsg, store};
use klp::system::{Status, System};
use klp::verdict::Code;
use klp::verify::{self, Answer};

use super::duration;
use super::output::{
    say, Document, File, Files, Findings, Fixes, Json, List, Operations, Patches, Why,
};

/// The verbs that look.
#[derive(Subcommand)]
pub(super) enum Look {
    /// How things stand: the kernel, each livepatch, and a verdict
    Status {
        #[command(flatten)]
        json: Json,
        /// End with a code that says how things stand, see below
        #[arg(long)]
        exit_code: bool,
        /// A transition that takes that long counts as stalled
        #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
        stall: Duration,
    },
    /// Whom the transition waits for, and why
    Why {
        #[command(flatten)]
        json: Json,
        /// Print the stack of each task
        #[arg(long)]
        stacks: bool,
    },
    /// The livepatches that are loaded, and those that are installed
    List {
        #[command(flatten)]
        json: Json,
        /// Only those that are installed
        #[arg(long)]
        installed: bool,
    },
    /// All about one livepatch: a file, or one that is loaded
    Info {
        /// File, or name
        #[arg(value_name = "FILE|NAME")]
        what: String,
        #[command(flatten)]
        json: Json,
    },
    /// Is a livepatch in force now? Ends with 14 if not, or if that cannot be told
    Verify {
        /// This one; all if none is given
        name: Option<String>,
        #[command(flatten)]
        json: Json,
    },
    /// Would this kernel take a livepatch, as things stand? Ends with 4 if not
    Check {
        /// Files, or names of installed ones
        #[arg(value_name = "FILE|NAME", required = true)]
        what: Vec<String>,
        /// End with 4 also if something cannot be told
        #[arg(long)]
        strict: bool,
        #[command(flatten)]
        json: Json,
    },
    /// What the livepatches that are loaded say they fix
    Fixes {
        #[command(flatten)]
        json: Json,
    },
    /// The transitions that the kernel's log knows
    History {
        #[command(flatten)]
        json: Json,
    },
    /// Can this system be livepatched as it should be? Ends with 1 if something will not work
    Doctor {
        #[command(flatten)]
        json: Json,
    },
    /// Metrics for Prometheus' node exporter
    Prom {
        /// Write them to a file, whole or not at all
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

impl Look {
    pub(super) fn run(self, root: &Root) -> Result<ExitCode, Failure> {
        match self {
            Self::Status {
                json,
                exit_code,
                stall,
            } => {
                let system = read(root)?;
                let status = Status::of(&system, stall);
                json.print(&status, || render::status(&status))?;
                return Ok(if exit_code {
                    status.verdict.code.into()
                } else {
                    ExitCode::SUCCESS
                });
            }
            Self::Why { json, stacks } => {
                let transition = System::read(root, true)?.transition;
                let body = Why {
                    transition: transition.as_ref(),
                };
                let document = Document::new("klp/why/1", body);
                json.print(&document, || render::why(transition.as_ref(), stacks))?;
            }
            Self::List { json, installed } => {
                let system = read(root)?;
                let document = Document::new("klp/list/1", List::of(&system, installed));
                json.print(&document, || render::list(&system, installed))?;
            }
            Self::Info { what, json } => info(root, &what, json)?,
            Self::Verify { name, json } => return verify(root, name.as_deref(), json),
            Self::Check { what, strict, json } => return check(root, &what, strict, json),
            Self::Fixes { json } => {
                let system = read(root)?;
                let document = Document::new("klp/fixes/1", Fixes::from(&system));
                json.print(&document, || render::fixes(&system))?;
            }
            Self::History { json } => {
                let history = history(root)?;
                let document = Document::new("klp/history/1", Operations::from(&history));
                json.print(&document, || render::history(&history))?;
            }
            Self::Doctor { json } => {
                let findings = doctor::examine(root, &read(root)?)?;
                let document = Document::new(
                    "klp/doctor/1",
                    Findings {
                        findings: &findings,
                    },
                );
                json.print(&document, || render::doctor(&findings))?;
                return Ok(u8::from(doctor::is_bad(&findings)).into());
            }
            Self::Prom { out } => prom(root, out.as_deref())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn read(root: &Root) -> Result<System, Failure> {
    Ok(System::read(root, false)?)
}

fn history(root: &Root) -> Result<History, Failure> {
    let records = kmsg::records(root)?.ok_or_else(Failure::log_hidden)?;
    Ok(History::of(&records))
}

fn info(root: &Root, what: &str, json: Json) -> Result<(), Failure> {
    let system = read(root)?;
    let name = store::module_name(what);
    if let Some(patch) = system.patches.iter().find(|patch| patch.name == name) {
        if !what.contains('/') {
            let document = Document::new("klp/info/1", patch);
            return json.print(&document, || render::info_loaded(patch));
        }
    }
    let release = system.kernel.release.as_deref().unwrap_or_default();
    let path = match store::find(root, release, what)? {
        Some(path) => path,
        // One that is installed for another kernel is better than none.
        None => match (system.installed.iter().flatten()).find(|it| it.name == name) {
            Some(other) if !what.contains('/') => root.path(&other.file),
            _ => return Err(Failure::no_such_patch(what)),
        },
    };
    let file = ModuleFile::read(path)?;
    let document = Document::new("klp/file/1", File::from(&file));
    json.print(&document, || render::info_file(&file))
}

fn verify(root: &Root, name: Option<&str>, json: Json) -> Result<ExitCode, Failure> {
    let system = read(root)?;
    if !system.can_livepatch {
        return Err(Failure::cannot_livepatch());
    }
    let attached = Attached::read(root)?;
    let verified = verify::verify_all(&system, attached.as_ref(), name);
    if let (Some(name), []) = (name, verified.as_slice()) {
        return Err(Failure::no_such_patch(name));
    }
    let all = verified.iter().all(|patch| patch.in_force == Answer::Yes);
    let body = Patches { patches: &verified };
    let document = Document::new("klp/verify/1", body);
    json.print(&document, || render::verify(&verified))?;
    let code = if all { Code::Well } else { Code::NotInForce };
    Ok((code as u8).into())
}

fn check(root: &Root, what: &[String], strict: bool, json: Json) -> Result<ExitCode, Failure> {
    let system = read(root)?;
    let release = system.kernel.release.as_deref().unwrap_or_default();
    let mut checked = Vec::new();
    for what in what {
        let path = store::find(root, release, what)?;
        let path = path.ok_or_else(|| Failure::no_such_patch(what))?;
        checked.push(check::check(root, &Opened::open(path)?, &system)?);
    }
    let refused = match strict {
        true => Outcome::Unknown,
        false => Outcome::Fail,
    };
    let worst = checked.iter().map(|file| file.outcome).max();
    let document = Document::new("klp/check/1", Files { files: &checked });
    json.print(&document, || render::check(&checked))?;
    Ok(match worst {
        Some(worst) if worst >= refused => (Exit::Refused as u8).into(),
        _ => ExitCode::SUCCESS,
    })
}

fn prom(root: &Root, out: Option<&Path>) -> Result<(), Failure> {
    let system = System::read(root, true)?;
    let status = Status::of(&system, Duration::from_secs(30));
    let metrics = render::prom::metrics(&status, SystemTime::now());
    let Some(out) = out else {
        return say(metrics.trim_end());
    };
    write_whole(out, metrics.as_bytes()).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("cannot write {}: {error}", out.display()),
        )
    })
}
