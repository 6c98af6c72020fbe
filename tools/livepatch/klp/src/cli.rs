// SPDX-License-Identifier: GPL-2.0

//! The command line.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use klp::act::{self, Load, Lock, OnStall, Waiting};
use klp::compat::kpatch;
use klp::failure::Failure;
use klp::history::{End, History};
use klp::module::ModuleFile;
use klp::render;
use klp::root::Root;
use klp::source::ftrace::Attached;
use klp::source::{kmsg, store};
use klp::system::System;
use klp::verdict::Code;
use klp::verify::{self, Answer, Verified};
use serde::Serialize;

const EXIT_CODES: &str = "\
Exit codes:
  0 done; 1 failed; 2 usage; 3 no such livepatch; 4 refused; 5 stalled, and reversed;
  6 stalled, and left in transition; 7 busy; 8 not permitted; 9 the kernel cannot livepatch
  klp status --exit-code: 0 well; 10 in transition; 11 stalled; 12 installed and loaded differ;
  13 forced or disabled; 14 loaded, but not in force";

/// Shows and manages kernel livepatches
#[derive(Parser)]
#[command(name = "klp", version, after_help = EXIT_CODES, infer_subcommands = false)]
struct Cli {
    /// Read a copy of a system's files instead: DIR/sys, DIR/proc, DIR/var, ...
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/",
        hide_default_value = true
    )]
    root: PathBuf,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
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
    /// Metrics for Prometheus' node exporter
    Prom {
        /// Write them to a file, whole or not at all
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Load a livepatch, and wait until all tasks run it
    Load {
        /// File, or name of an installed one
        #[arg(value_name = "FILE|NAME", required_unless_present = "all")]
        what: Option<String>,
        /// All that is installed for this kernel
        #[arg(long, conflicts_with = "what")]
        all: bool,
        /// Only look whether it could be loaded
        #[arg(long)]
        dry_run: bool,
        /// Leave the modules of livepatches that this one replaces
        #[arg(long)]
        keep_replaced: bool,
        #[command(flatten)]
        wait: Wait,
    },
    /// Disable a livepatch, and remove its module
    Unload {
        name: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Enable a livepatch that is registered, or is being disabled
    Enable {
        name: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Disable a livepatch
    Disable {
        name: String,
        #[command(flatten)]
        wait: Wait,
    },
    /// Turn the transition that runs around
    Reverse {
        /// Only if it is this one's
        name: Option<String>,
        /// Give up waiting after this time
        #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
        timeout: Duration,
    },
    /// Move all tasks that are left, wherever they are: they may crash
    Force {
        name: String,
        /// The livepatch can never be removed then
        #[arg(long, required = true)]
        i_accept_no_unload: bool,
    },
    /// Remove the modules of livepatches that are gone
    Gc {
        /// Only name them
        #[arg(long)]
        dry_run: bool,
    },
    /// Have a livepatch loaded at boot
    Install {
        file: PathBuf,
        /// The kernel that it must have been built for
        #[arg(short = 'k', long, value_name = "RELEASE")]
        kernel_version: Option<String>,
    },
    /// Do not load a livepatch at boot any more
    Uninstall {
        name: String,
        /// Of this kernel, not of the running one
        #[arg(short = 'k', long, value_name = "RELEASE")]
        kernel_version: Option<String>,
    },
}

#[derive(Args, Clone, Copy)]
struct Json {
    /// For programs: one JSON document
    #[arg(long)]
    json: bool,
}

#[derive(Args, Clone, Copy)]
struct Wait {
    /// How long a transition may take
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = duration)]
    timeout: Duration,
    /// What becomes of one that takes longer
    #[arg(long, value_enum, default_value = "keep")]
    on_stall: OnStall,
    /// Do not wait
    #[arg(long)]
    no_wait: bool,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
}

impl From<Wait> for Waiting {
    fn from(wait: Wait) -> Self {
        Self {
            timeout: wait.timeout,
            on_stall: wait.on_stall,
            no_wait: wait.no_wait,
            progress: !wait.no_progress,
        }
    }
}

/// A number and a unit: `500ms`, `30s`, `2m`, `1h`; without one it is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a number, and ms, s, m or h")?;
    let milliseconds = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("'{unit}' is no unit: ms, s, m or h")),
    };
    number
        .checked_mul(milliseconds)
        .map(Duration::from_millis)
        .ok_or_else(|| "too long".to_owned())
}

pub fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let program = args.first().map(Path::new).and_then(Path::file_name);
    if program.is_some_and(|name| name == "kpatch") {
        let root = Root::new(std::env::var_os("KLP_ROOT").unwrap_or_else(|| "/".into()));
        return kpatch::run(&root, &args[1..], &mut io::stdout(), &mut io::stderr()).into();
    }

    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let root = Root::new(cli.root);
    match run(&root, cli.verb) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("klp: {failure}");
            if let Some(remedy) = &failure.remedy {
                eprintln!("     {remedy}");
            }
            (failure.exit as u8).into()
        }
    }
}

fn run(root: &Root, verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Status {
            json,
            exit_code,
            stall,
        } => {
            let system = System::read(root, stall, false)?;
            print(json, &system, || render::status(&system))?;
            return Ok(if exit_code {
                system.verdict.code.into()
            } else {
                ExitCode::SUCCESS
            });
        }
        Verb::Why { json, stacks } => {
            let transition = System::read(root, Duration::MAX, true)?.transition;
            let document = Document {
                schema: "klp/why/1",
                body: Why {
                    transition: &transition,
                },
            };
            print(json, &document, || render::why(transition.as_ref(), stacks))?;
        }
        Verb::List { json, installed } => {
            let system = read(root)?;
            print(json, &system, || render::list(&system, installed))?;
        }
        Verb::Info { what, json } => info(root, &what, json)?,
        Verb::Verify { name, json } => return verify(root, name.as_deref(), json),
        Verb::Fixes { json } => {
            let system = read(root)?;
            print(json, &system, || render::fixes(&system))?;
        }
        Verb::History { json } => {
            let history = history(root)?;
            let body = Operations {
                operations: history.operations.iter().map(to_json).collect(),
            };
            let document = Document {
                schema: "klp/history/1",
                body,
            };
            print(json, &document, || render::history(&history))?;
        }
        Verb::Prom { out } => prom(root, out.as_deref())?,
        other => say(&change(root, other)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The verbs that change something.
fn change(root: &Root, verb: Verb) -> Result<String, Failure> {
    let _lock = Lock::take(root)?;
    match verb {
        Verb::Load {
            what,
            dry_run,
            keep_replaced,
            wait,
            ..
        } => {
            let how = Load {
                waiting: wait.into(),
                dry_run,
                keep_replaced,
            };
            match what {
                Some(what) => act::load(root, &what, &how),
                None => act::load_all(root, &how),
            }
        }
        Verb::Unload { name, wait } => act::unload(root, &name, &wait.into()),
        Verb::Enable { name, wait } => act::enable(root, &name, &wait.into()),
        Verb::Disable { name, wait } => act::disable(root, &name, &wait.into()),
        Verb::Reverse { name, timeout } => {
            let waiting = Waiting {
                timeout,
                on_stall: OnStall::Keep,
                no_wait: false,
                progress: true,
            };
            act::reverse(root, name.as_deref(), &waiting)
        }
        Verb::Force { name, .. } => act::force(root, &name),
        Verb::Gc { dry_run } => act::gc(root, dry_run),
        Verb::Install {
            file,
            kernel_version,
        } => act::install(root, &file, kernel_version.as_deref()),
        Verb::Uninstall {
            name,
            kernel_version,
        } => act::uninstall(root, &name, kernel_version.as_deref()),
        _ => unreachable!("it only looks"),
    }
}

fn read(root: &Root) -> Result<System, Failure> {
    Ok(System::read(root, Duration::MAX, false)?)
}

fn history(root: &Root) -> Result<History, Failure> {
    match kmsg::records(root)? {
        Some(records) => Ok(History::of(&records)),
        None => Err(Failure::new(
            klp::failure::Exit::NotPermitted,
            "the kernel's log may only be read by root",
        )),
    }
}

fn info(root: &Root, what: &str, json: Json) -> Result<(), Failure> {
    let system = read(root)?;
    let name = store::module_name(what);
    if let Some(patch) = system.patches.iter().find(|patch| patch.name == name) {
        if !what.contains('/') {
            let document = Document {
                schema: "klp/info/1",
                body: patch,
            };
            return print(json, &document, || render::info_loaded(patch));
        }
    }
    let installed = store::installed(root)?;
    let path = match installed
        .iter()
        .find(|it| it.name == name && !Path::new(what).exists())
    {
        Some(installed) => root.path(&installed.file),
        None if !Path::new(what).exists() => return Err(Failure::no_such_patch(what)),
        None => PathBuf::from(what),
    };
    let file = ModuleFile::read(path)?;
    let body = File {
        file: file.path.display().to_string(),
        name: &file.name,
        livepatch: file.is_livepatch(),
        release: file.release(),
        signed: file.signed,
        build_id: file.build_id.as_deref(),
        fixes: file.fixes(),
    };
    print(
        json,
        &Document {
            schema: "klp/file/1",
            body,
        },
        || render::info_file(&file),
    )
}

fn verify(root: &Root, name: Option<&str>, json: Json) -> Result<ExitCode, Failure> {
    let system = read(root)?;
    let attached = Attached::read(root)?;
    let verified: Vec<Verified> = system
        .patches
        .iter()
        .filter(|patch| name.is_none_or(|name| patch.name == name))
        .map(|patch| verify::verify(patch, &system, attached.as_ref()))
        .collect();
    if let (Some(name), []) = (name, verified.as_slice()) {
        return Err(Failure::no_such_patch(name));
    }
    let all = verified.iter().all(|patch| patch.in_force == Answer::Yes);
    let body = Patches { patches: &verified };
    let document = Document {
        schema: "klp/verify/1",
        body,
    };
    print(json, &document, || render::verify(&verified))?;
    let code = if all { Code::Well } else { Code::NotInForce };
    Ok((code as u8).into())
}

fn prom(root: &Root, out: Option<&Path>) -> Result<(), Failure> {
    let system = System::read(root, Duration::from_secs(30), true)?;
    let history = kmsg::records(root)?
        .map(|records| History::of(&records))
        .unwrap_or_default();
    let metrics = render::prom::metrics(&system, &history, SystemTime::now());
    let Some(out) = out else {
        return say(metrics.trim_end());
    };
    // Who reads the folder must never see half of it.
    let new = out.with_extension("prom.new");
    std::fs::write(&new, metrics)
        .and_then(|()| std::fs::rename(&new, out))
        .map_err(|error| {
            let _ = std::fs::remove_file(&new);
            Failure::new(
                klp::failure::Exit::Failed,
                format!("cannot write {}: {error}", out.display()),
            )
        })
}

/// A document with the name of its schema.
#[derive(Serialize)]
struct Document<T> {
    schema: &'static str,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct Why<'a> {
    transition: &'a Option<klp::system::Transition>,
}

#[derive(Serialize)]
struct Patches<'a> {
    patches: &'a [Verified],
}

#[derive(Serialize)]
struct Operations<'a> {
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

fn to_json(operation: &klp::history::Operation) -> OperationJson<'_> {
    let took = |at: Duration| Some(at.saturating_sub(operation.started).as_millis());
    let (took_ms, end) = match operation.end {
        End::No => (None, None),
        End::Complete(at) => (took(at), Some("complete")),
        End::Reversed(at) => (took(at), Some("reversed")),
    };
    OperationJson {
        patch: &operation.patch,
        target: operation.target.name(),
        started_ms: operation.started.as_millis(),
        took_ms,
        end,
        signals: operation.signals,
        forced: operation.forced,
    }
}

#[derive(Serialize)]
struct File<'a> {
    file: String,
    name: &'a str,
    livepatch: bool,
    release: Option<&'a str>,
    signed: bool,
    build_id: Option<&'a str>,
    fixes: Vec<String>,
}

fn print<T: Serialize>(
    json: Json,
    document: &T,
    text: impl FnOnce() -> String,
) -> Result<(), Failure> {
    if json.json {
        let document = serde_json::to_string_pretty(document).map_err(io::Error::from)?;
        say(&document)
    } else {
        say(text().trim_end())
    }
}

/// Prints, and is content if nobody listens any more.
fn say(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in [
            "",
            "s",
            "-1",
            "1.5s",
            "3d",
            "99999999999999999999",
            "18446744073709551615h",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
