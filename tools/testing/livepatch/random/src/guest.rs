// SPDX-License-Identifier: GPL-2.0

//! The running kernel: performs operations and looks at what is to be seen.

use crate::{
    model::operation::Operation,
    oracle::{
        Op,
        Oracle,
        Outcome,
        Seen,
        EAGAIN,
        PATCHES, //
    },
};
use anyhow::{
    bail,
    Context,
    Result, //
};
use std::{
    fs, io,
    path::{
        Path,
        PathBuf, //
    },
    process::Command,
    thread::{
        self,
        JoinHandle, //
    },
    time::{
        Duration,
        Instant, //
    },
};

const SYSFS: &str = "/sys/kernel/livepatch";
const DEBUGFS: &str = "/sys/kernel/debug";
const TARGET: &str = "test_klp_core_target";

/// How long anything may take that has to happen.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Guest {
    modules: PathBuf,
    sleeper: Option<JoinHandle<io::Result<String>>>,
}

fn module(patch: usize) -> String {
    format!("test_klp_core_op{}", patch + 1)
}

fn attribute(patch: usize, name: &str) -> PathBuf {
    Path::new(SYSFS).join(module(patch)).join(name)
}

fn target(name: &str) -> PathBuf {
    Path::new(DEBUGFS).join("test_klp_core").join(name)
}

fn outcome(result: io::Result<()>) -> Result<Outcome> {
    match result {
        Ok(()) => Ok(Outcome::Ok),
        Err(error) => match error.raw_os_error() {
            Some(errno) => Ok(Outcome::Errno(errno)),
            None => Err(error.into()),
        },
    }
}

/// Writes to a file that is there; does not make one.
fn write(file: impl AsRef<Path>, value: &str) -> io::Result<()> {
    use io::Write;

    let mut file = fs::OpenOptions::new().write(true).open(file)?;
    file.write_all(value.as_bytes())
}

fn read_number(file: impl AsRef<Path>) -> io::Result<usize> {
    let text = fs::read_to_string(file)?;
    text.trim().parse().map_err(io::Error::other)
}

/// `None` if the livepatch is not there, or just goes.
fn seen(patch: usize) -> Option<Seen> {
    let number = |name| read_number(attribute(patch, name)).ok();

    Some(Seen {
        enabled: number("enabled")? != 0,
        transition: number("transition")? != 0,
        stack_order: number("stack_order")?,
    })
}

/// Waits until `found()` is as expected.
fn wait<T: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: T,
    mut found: impl FnMut() -> T,
) -> Result<()> {
    let start = Instant::now();

    loop {
        let found = found();
        if found == expected {
            return Ok(());
        }
        if start.elapsed() > LIMIT {
            bail!("{what}: expected {expected:?}, found {found:?}");
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Runs `insmod` or `rmmod`.
fn run(program: &str, argument: impl AsRef<Path>) -> Result<bool> {
    let output = Command::new(program)
        .arg(argument.as_ref())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    Ok(output.status.success())
}

impl Guest {
    /// Loads all modules.
    pub(crate) fn start(modules: &Path) -> Result<Self> {
        let guest = Guest {
            modules: modules.to_owned(),
            sleeper: None,
        };

        guest.insmod(TARGET)?;
        for patch in 0..PATCHES {
            guest.insmod(&module(patch))?;
        }
        Ok(guest)
    }

    /// Removes all modules: nothing must be in use any more.
    pub(crate) fn stop(&self) -> Result<()> {
        for patch in 0..PATCHES {
            self.rmmod(&module(patch))?;
        }
        self.rmmod(TARGET)
    }

    fn insmod(&self, name: &str) -> Result<()> {
        if !run("insmod", self.modules.join(format!("{name}.ko")))? {
            bail!("cannot load {name}");
        }
        Ok(())
    }

    fn rmmod(&self, name: &str) -> Result<()> {
        if !run("rmmod", name)? {
            bail!("cannot remove {name}");
        }
        Ok(())
    }

    /// Performs the operation; `answer` is what a task says that wakes up now.
    pub(crate) fn perform(&mut self, op: Op, answer: Option<usize>) -> Result<Outcome> {
        match op {
            Op::Call(patch, operation) => {
                let name = match operation {
                    Operation::Register => "register",
                    Operation::Enable => "enable",
                    Operation::EnableBySysfs => bail!("there is no function for {operation:?}"),
                    Operation::Disable => "disable",
                    Operation::Unregister => "unregister",
                };
                outcome(write(Path::new(DEBUGFS).join(module(patch)), name))
            }
            Op::Write(patch, enable) => {
                let value = if enable { "1" } else { "0" };
                outcome(write(attribute(patch, "enabled"), value))
            }
            Op::Force(patch) => outcome(write(attribute(patch, "force"), "1")),
            Op::Reload(patch) => {
                if !run("rmmod", module(patch))? {
                    return Ok(Outcome::Errno(EAGAIN));
                }
                self.insmod(&module(patch))?;
                Ok(Outcome::Ok)
            }
            Op::Target(there) => {
                if there {
                    self.insmod(TARGET)?;
                } else {
                    self.rmmod(TARGET)?;
                }
                Ok(Outcome::Ok)
            }
            Op::Sleeper(true) => {
                self.sleeper = Some(thread::spawn(|| fs::read_to_string(target("busy"))));
                wait("sleepers", Some(1), || read_number(target("sleepers")).ok())?;
                Ok(Outcome::Ok)
            }
            Op::Sleeper(false) => {
                let found = self.wake_up()?;
                if found != answer {
                    bail!("the sleeper answers {found:?}, expected {answer:?}");
                }
                Ok(Outcome::Ok)
            }
        }
    }

    /// Wakes up the task that sleeps, and returns what it answers.
    fn wake_up(&mut self) -> Result<Option<usize>> {
        let Some(sleeper) = self.sleeper.take() else {
            return Ok(None);
        };

        write(target("release"), "1")?;
        match sleeper.join() {
            Ok(answer) => Ok(Some(answer?.trim().parse()?)),
            Err(_) => bail!("the sleeper panicked"),
        }
    }

    /// Waits until everything is as the oracle says.
    pub(crate) fn expect(&self, oracle: &Oracle) -> Result<()> {
        for patch in 0..PATCHES {
            let name = module(patch);

            wait(&name, oracle.seen(patch), || seen(patch))?;
            wait("its directory", oracle.seen(patch).is_some(), || {
                attribute(patch, "").exists()
            })?;
            let references = Path::new("/sys/module").join(&name).join("refcnt");
            wait(
                &format!("references to {name}"),
                Some(usize::from(!oracle.is_unused(patch))),
                || read_number(&references).ok(),
            )?;
        }
        if let Some(version) = oracle.version() {
            wait("version", Some(version), || {
                read_number(target("version")).ok()
            })?;
        }
        Ok(())
    }
}

impl Drop for Guest {
    /// A task that sleeps cannot be killed: without this, the program would never end.
    fn drop(&mut self) {
        if let Err(error) = self.wake_up() {
            println!("# {error:#}");
        }
    }
}
