// SPDX-License-Identifier: GPL-2.0

//! The command line.

mod change;
mod generate;
mod label;
mod look;
mod output;
mod rehearse;
mod watch;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use change::Change;
use clap::{ArgAction, CommandFactory as _, Parser, Subcommand};
use klp::compat::{kpatch, suse};
use klp::failure::Failure;
use klp::rehearse::guest;
use klp::root::Root;
use klp::text::printable_lines;
use label::LabelArgs;
use look::Look;
use rehearse::Rehearse;
use watch::Watch;

const EXIT_CODES: &str = "\
Exit codes:
  0 done; 1 failed; 2 usage; 3 no such livepatch; 4 refused; 5 stalled, and reversed;
  6 stalled, and left in transition; 7 busy; 8 not permitted; 9 the kernel cannot livepatch;
  12 not loaded, as it has crashed a boot
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
    #[command(flatten)]
    Look(Look),
    /// Load a livepatch into a virtual machine with this kernel, and unload it again
    Rehearse(Rehearse),
    /// Write into a livepatch what it fixes, and what it is for
    Label(LabelArgs),
    /// `status` and `why`, again and again
    Watch(Watch),
    #[command(flatten)]
    Change(Change),
    /// SUSE's: the livepatches
    #[command(hide = true)]
    Patches {
        #[arg(short, long, action = ArgAction::Count)]
        verbose: u8,
    },
    /// SUSE's: the tasks that a transition waits for
    #[command(hide = true)]
    Blocking {
        #[arg(short, long, action = ArgAction::Count)]
        verbose: u8,
    },
    /// SUSE's: is the package manager's
    #[command(hide = true)]
    Downgrade,
    /// Write man pages, and completions for shells
    #[command(hide = true)]
    Generate { dir: PathBuf },
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

/// What this program is under another name.
type OtherTool = fn(&Root, &[String], &mut dyn io::Write, &mut dyn io::Write) -> u8;

pub fn main() -> ExitCode {
    if guest::is_here() {
        guest::run();
        return ExitCode::FAILURE;
    }
    let args: Vec<String> = std::env::args_os()
        .map(|arg| arg.to_string_lossy().into_owned())
        .collect();
    let program = args.first().map(Path::new).and_then(Path::file_name);
    let other: Option<OtherTool> = match program.and_then(|name| name.to_str()) {
        Some("kpatch") => Some(kpatch::run),
        Some("klp-suse") => Some(suse::run),
        _ => None,
    };
    if let Some(run) = other {
        let root = Root::new(std::env::var_os("KLP_ROOT").unwrap_or_else(|| "/".into()));
        return run(&root, &args[1..], &mut io::stdout(), &mut io::stderr()).into();
    }

    let cli = Cli::parse();
    let root = Root::new(cli.root);
    match run(&root, cli.verb) {
        Ok(code) => code,
        Err(failure) => {
            // It may name files, and say what is in them.
            let mut text = format!("klp: {}\n", printable_lines(&failure.text));
            if let Some(remedy) = &failure.remedy {
                text += &format!("     {}\n", printable_lines(remedy));
            }
            // Where standard error is closed nobody can be told.
            let _ = io::stderr().write_all(text.as_bytes());
            (failure.exit as u8).into()
        }
    }
}

fn run(root: &Root, verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Look(look) => look.run(root),
        Verb::Rehearse(rehearse) => {
            rehearse.run(root)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Label(label) => {
            label.run()?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Watch(watch) => {
            watch.run(root)?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Change(change) => {
            output::say(&printable_lines(&change.run(root)?))?;
            Ok(ExitCode::SUCCESS)
        }
        Verb::Patches { verbose } => Ok(suses(root, suse::Verb::Patches, verbose)),
        Verb::Blocking { verbose } => Ok(suses(root, suse::Verb::Blocking, verbose)),
        Verb::Downgrade => Ok(suses(root, suse::Verb::Downgrade, 0)),
        Verb::Generate { dir } => {
            generate::generate(Cli::command(), &dir)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn suses(root: &Root, verb: suse::Verb, verbose: u8) -> ExitCode {
    suse::answer(root, verb, verbose, &mut io::stdout(), &mut io::stderr()).into()
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
