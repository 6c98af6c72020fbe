// SPDX-License-Identifier: GPL-2.0

//! The first and only program of the machine that a livepatch is rehearsed in.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::mount::{mount, MountFlags};
use rustix::pipe::pipe;
use rustix::process::getpid;
use rustix::system::{reboot, RebootCommand};

use super::PREFIX;
use crate::act::{self, insert_module, Checking, Load, OnStall, Waiting};
use crate::failure::{Exit, Failure};
use crate::module::Opened;
use crate::render;
use crate::root::Root;
use crate::source::ftrace::Attached;
use crate::source::kmsg;
use crate::system::System;
use crate::verify::{self, Answer};

const PATCH: &str = "/klp/patch.ko";
const MODULES: &str = "/klp/modules";
const TEST: &str = "/klp/test";
const TRANSITION: &str = "/klp/transition-ms";

/// The kernel takes no longer lines, with what it adds.
const LONGEST: usize = 900;

/// What the kernel of that machine is told to pass on.
pub(super) const WORD: &str = "klp-rehearse";

/// Is this that machine, and this program its init? In a container it may be the first program, too.
pub fn is_here() -> bool {
    let is_told = std::env::args().nth(1).is_some_and(|word| word == WORD);
    getpid().is_init() && is_told && Path::new(PATCH).exists()
}

/// Plays its part, and switches the machine off.
pub fn run() {
    let root = Root::new("/");
    let end = match prepare().map_err(Failure::from).and_then(|()| play(&root)) {
        Ok(()) => "well",
        Err(failure) => {
            say(&format!("FAILED: {failure}"));
            match failure.exit {
                Exit::Refused | Exit::Busy | Exit::NotPermitted | Exit::CannotLivepatch => {
                    "refused"
                }
                Exit::StalledLeft | Exit::StalledReversed => {
                    if let Ok(system) = System::read(&root, true) {
                        say(&render::why(system.transition.as_ref(), true));
                    }
                    "stalled"
                }
                _ => "failed",
            }
        }
    };
    say(&format!("END {end}"));
    // The console is slower than the log.
    sleep(Duration::from_millis(200));
    let _ = reboot(RebootCommand::PowerOff);
}

/// Says something to whoever has started the machine.
fn say(text: &str) {
    let Ok(mut log) = File::options().write(true).open("/dev/kmsg") else {
        return;
    };
    for line in text.lines() {
        let mut line = format!("<5>{PREFIX}{line}");
        while line.len() > LONGEST {
            line.pop();
        }
        // One write is one line. There is nobody else to tell if that fails.
        let _ = log.write_all(line.as_bytes());
    }
}

fn prepare() -> io::Result<()> {
    for (kind, place) in [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("debugfs", "/sys/kernel/debug"),
        ("tracefs", "/sys/kernel/tracing"),
    ] {
        match mount(kind, place, kind, MountFlags::empty(), None) {
            Ok(()) => {}
            // What is there already, and what this kernel has not got.
            Err(rustix::io::Errno::BUSY | rustix::io::Errno::NODEV | rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn play(root: &Root) -> Result<(), Failure> {
    let before = Before::now(root)?;
    let system = System::read(root, false)?;
    let release = system.kernel.release.as_deref().unwrap_or("?");
    say(&format!("kernel {release} is there"));
    let names = root.names(MODULES)?.unwrap_or_default();
    for name in names {
        let module = Opened::open(Path::new(MODULES).join(name))?;
        let name = &module.module.name;
        insert_module(root, &module)
            .map_err(|error| Failure::of_io(&format!("cannot load the module {name}"), error))?;
        say(&format!("module {name} is loaded"));
    }

    let name = Opened::open(PATCH)?.module.name;
    let waiting = Waiting {
        timeout: Duration::from_millis(root.number(TRANSITION)?.unwrap_or(60_000)),
        on_stall: OnStall::Keep,
        no_wait: false,
        progress: false,
    };
    let how = Load {
        waiting,
        checking: Checking::Off,
        dry_run: false,
        keep_replaced: false,
        in_initramfs: false,
    };
    say(&act::load(root, PATCH, &how)?);
    in_force(root, &name)?;
    test()?;
    say(&act::unload(root, &name, &waiting)?);
    complaints(root, &before)
}

/// What the kernel has complained of already: it boots in an emulator.
struct Before {
    tainted: u64,
    /// The last message.
    last: Option<u64>,
}

impl Before {
    fn now(root: &Root) -> io::Result<Self> {
        let records = kmsg::records(root)?.unwrap_or_default();
        Ok(Self {
            tainted: tainted(root)?,
            last: records.last().map(|record| record.sequence),
        })
    }
}

fn tainted(root: &Root) -> io::Result<u64> {
    Ok(root.number("/proc/sys/kernel/tainted")?.unwrap_or(0))
}

fn in_force(root: &Root, name: &str) -> Result<(), Failure> {
    let system = System::read(root, false)?;
    let attached = Attached::read(root)?;
    let verified = verify::verify_all(&system, attached.as_ref(), Some(name));
    say(&render::verify(&verified));
    if verified.iter().any(|patch| patch.in_force == Answer::No) {
        return Err(Failure::new(
            Exit::Failed,
            format!("{name} is not in force"),
        ));
    }
    Ok(())
}

/// Runs the user's program, if there is one.
fn test() -> Result<(), Failure> {
    if !Path::new(TEST).exists() {
        return Ok(());
    }
    if Path::new("/bin/busybox").exists() {
        Command::new("/bin/busybox")
            .args(["--install", "-s", "/bin"])
            .status()?;
    }
    say("test begins");
    let (output, input) = pipe().map_err(io::Error::from)?;
    let mut command = Command::new(TEST);
    command
        .env("PATH", "/bin")
        .stdin(Stdio::null())
        .stdout(input.try_clone()?)
        .stderr(input);
    let mut child = command.spawn()?;
    // Its ends of the pipe are closed with it: what is read comes from the program alone.
    drop(command);
    for line in BufReader::new(File::from(output))
        .split(b'\n')
        .map_while(Result::ok)
    {
        say(&format!("test: {}", String::from_utf8_lossy(&line)));
    }
    let status = child.wait()?;
    if !status.success() {
        return Err(Failure::new(
            Exit::Failed,
            format!("the test has failed: {status}"),
        ));
    }
    say("test has passed");
    Ok(())
}

/// Has the kernel found something wrong meanwhile?
fn complaints(root: &Root, before: &Before) -> Result<(), Failure> {
    /// `TAINT_BAD_PAGE`, `TAINT_DIE`, `TAINT_WARN` and `TAINT_SOFTLOCKUP`
    const BAD: u64 = 1 << 5 | 1 << 7 | 1 << 9 | 1 << 14;
    const MARKS: [&str; 3] = ["WARNING:", "BUG:", "Oops:"];

    let records = kmsg::records(root)?.unwrap_or_default();
    let mut new = records
        .iter()
        .filter(|record| Some(record.sequence) > before.last);
    let line = new.find(|record| MARKS.iter().any(|mark| record.text.contains(mark)));
    if line.is_none() && tainted(root)? & BAD & !before.tainted == 0 {
        return Ok(());
    }
    let line = line.map_or("see its console", |record| record.text.as_str());
    Err(Failure::new(
        Exit::Failed,
        format!("the kernel has complained: {line}"),
    ))
}
