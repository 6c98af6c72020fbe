// SPDX-License-Identifier: GPL-2.0

//! SUSE's tool, which is called `klp`, too: its verbs, and its output as far as programs read it.
//!
//! Its `status` is one word, which is not what ours is. So all of it is there under the name
//! `klp-suse`, and under our own name all that we have no other meaning for.

use std::io::{self, Write};

use crate::root::Root;
use crate::source::sysfs::{self, Patch};
use crate::source::tasks;
use crate::system::{self, System};
use crate::text::{printable, printable_lines};

const USAGE: &str = "\
usage: klp-suse [-v] VERB

  status      in_progress if a transition runs, else ready
  check       the same as an exit code: 1 or 0
  patches     the livepatches; -v: what they fix
  blocking    the tasks that a transition waits for; -v: their commands; -vv: their stacks
  downgrade   is the package manager's
";

/// What it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Status,
    Check,
    Patches,
    Blocking,
    Downgrade,
}

/// Runs `klp-suse ARGS`. Answers its exit code.
pub fn run(root: &Root, args: &[String], out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let mut verbose = 0;
    let mut verb = None;
    for arg in args {
        match arg.as_str() {
            "-v" | "--verbose" => verbose += 1,
            "-vv" => verbose += 2,
            // That it is only to say what it would do: it does nothing.
            "-n" | "--non-interactive" => {}
            word => match (verb, parse(word)) {
                (None, Some(known)) => verb = Some(known),
                _ => {
                    // Where standard error is closed nobody can be told.
                    let _ = err.write_all(USAGE.as_bytes());
                    return 1;
                }
            },
        }
    }
    match verb {
        Some(verb) => answer(root, verb, verbose, out, err),
        None => {
            let _ = err.write_all(USAGE.as_bytes());
            1
        }
    }
}

fn parse(word: &str) -> Option<Verb> {
    Some(match word {
        "status" => Verb::Status,
        "check" => Verb::Check,
        "patches" => Verb::Patches,
        "blocking" => Verb::Blocking,
        "downgrade" => Verb::Downgrade,
        _ => return None,
    })
}

/// Answers one verb, and its exit code.
pub fn answer(
    root: &Root,
    verb: Verb,
    verbose: u8,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    match tell(root, verb, verbose, out, err) {
        Ok(code) => code,
        // Nobody listens any more.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            let _ = writeln!(err, "klp: {}", printable_lines(&error.to_string()));
            1
        }
    }
}

fn tell(
    root: &Root,
    verb: Verb,
    verbose: u8,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    match verb {
        Verb::Status => {
            let word = sysfs::in_transition(root)?.map_or("ready", |_| "in_progress");
            writeln!(out, "{word}")?;
        }
        Verb::Check => return Ok(sysfs::in_transition(root)?.is_some().into()),
        Verb::Patches => {
            for patch in System::read(root, false)?.patches {
                self::patch(&patch, verbose, out)?;
            }
        }
        Verb::Blocking => {
            if let Some(patch) = sysfs::in_transition(root)? {
                blocking(root, &patch, verbose, out)?;
            }
        }
        Verb::Downgrade => {
            writeln!(
                err,
                "klp: livepatches come in packages here: use the package manager, then klp load"
            )?;
            return Ok(1);
        }
    }
    Ok(0)
}

fn patch(patch: &system::Patch, verbose: u8, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", patch.name)?;
    writeln!(out, "    active: {}", u8::from(patch.enabled))?;
    if verbose == 0 {
        return Ok(());
    }
    let listed = |is_cve: bool| {
        // Only what is loaded counts, whatever is installed.
        let Some(fixes) = &patch.fixes else {
            return "(unknown)".to_owned();
        };
        let fixes = fixes.iter().filter(|it| it.starts_with("CVE-") == is_cve);
        match fixes.map(String::as_str).collect::<Vec<_>>().join(" ") {
            none if none.is_empty() => "(none)".to_owned(),
            names => printable(&names),
        }
    };
    // Which package a file is of, its package manager knows.
    writeln!(out, "    RPM: (unknown)")?;
    writeln!(out, "    CVE: {}", listed(true))?;
    writeln!(out, "    bug fixes and enhancements: {}", listed(false))
}

fn blocking(root: &Root, patch: &Patch, verbose: u8, out: &mut dyn Write) -> io::Result<()> {
    for left in tasks::left(root, patch.target())?.left {
        if verbose == 0 {
            writeln!(out, "{}", left.tid)?;
            continue;
        }
        let Some(task) = left.look(root)? else {
            continue;
        };
        let line = root.text(format!("/proc/{}/cmdline", left.tgid))?;
        let line = line.unwrap_or_default().replace('\0', " ");
        // A thread of the kernel has none.
        let command = match line.trim() {
            "" => format!("[{}]", task.comm),
            line => line.to_owned(),
        };
        writeln!(out, "{} {}", left.tid, printable(&command))?;
        for frame in task.stack.iter().flatten().filter(|_| verbose > 1) {
            writeln!(out, "    {}", printable(&frame.text))?;
        }
    }
    Ok(())
}
