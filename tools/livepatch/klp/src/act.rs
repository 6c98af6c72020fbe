// SPDX-License-Identifier: GPL-2.0

//! What changes a system. Everything is done by the kernel's own files and system calls, and
//! whoever is interrupted leaves what the kernel has at that moment: a whole livepatch, or a
//! transition that ends by itself or can be reversed.

mod boot;
mod load;
mod lock;
mod store;
mod switch;
mod wait;

pub use boot::{guard_clear, guard_end, guard_settle, load_all, load_at_boot};
pub use load::{load, Checking, Load};
pub use lock::Lock;
pub use store::{install, uninstall};
pub use switch::{disable, enable, force, gc, reverse, unload, Done};
pub use wait::{OnStall, Waiting};

use std::ffi::CString;
use std::io;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::system::{finit_module, init_module};

use crate::failure::{Exit, Failure};
use crate::module::Opened;
use crate::root::Root;
use crate::source::kmsg;
use crate::source::modules::is_name;
use crate::source::sysfs::{self, Patch, Target};

/// The livepatch `name`, which has to be there.
fn patch(root: &Root, name: &str) -> Result<Patch, Failure> {
    if !sysfs::can_livepatch(root)? {
        return Err(Failure::cannot_livepatch());
    }
    // What is no name is no path either.
    let patch = if is_name(name) {
        sysfs::patch(root, name)?
    } else {
        None
    };
    patch.ok_or_else(|| Failure::no_such_patch(name))
}

/// Asks for the other state of a livepatch.
fn write_enabled(root: &Root, name: &str, enabled: bool) -> Result<(), Failure> {
    write_enabled_now(root, name, enabled, &Log::from_here(root))
}

/// The same without a look at the log before, which takes its time.
fn write_enabled_now(root: &Root, name: &str, enabled: bool, log: &Log<'_>) -> Result<(), Failure> {
    let value = if enabled { "1" } else { "0" };
    let verb = if enabled { "enable" } else { "disable" };
    let Err(error) = std::fs::write(root.path(Patch::file(name, "enabled")), value) else {
        return Ok(());
    };
    let what = format!("cannot {verb} {name}");
    Err(match Errno::from_io_error(&error) {
        Some(Errno::NOENT | Errno::NODEV) => Failure::no_such_patch(name),
        Some(Errno::BUSY) => log.add(
            Failure::new(Exit::Busy, format!("{what}: a transition or a later livepatch is in the way"))
                .with_remedy("klp status shows which; livepatches that were registered are disabled in reverse order"),
        ),
        Some(Errno::INVAL) => log.add(
            Failure::new(Exit::Failed, format!("{what}: it is so already, or is just going"))
                .with_remedy("klp status shows how it is now; one that has gone can be loaded again"),
        ),
        _ => log.add(Failure::of_io(&what, error)),
    })
}

/// Turns the transition of `name` around, if it still leads `from` there. One that is over stays as
/// it is: to write the same then would be to disable a livepatch, or to enable it.
///
/// The kernel knows no write that says what it expects, so it is read just before.
fn turn_around(root: &Root, name: &str, from: Target) -> Result<bool, Failure> {
    let log = Log::from_here(root);
    let flag = |file| root.flag(Patch::file(name, file));
    let leads_there = flag("enabled")? == Some(from == Target::Patched);
    if !(leads_there && flag("transition")? == Some(true)) {
        return Ok(false);
    }
    write_enabled_now(root, name, from == Target::Unpatched, &log)?;
    Ok(true)
}

/// Loads a module. Its file is what the kernel gets wherever it can take it, as security modules
/// want it.
pub(crate) fn insert_module(root: &Root, opened: &Opened) -> io::Result<()> {
    /// `MODULE_INIT_COMPRESSED_FILE`
    const COMPRESSED: i32 = 4;

    let kernel_unpacks = root.text("/sys/module/compression")?;
    match opened.packing {
        None => finit_module(&opened.file, c"", 0)?,
        Some(packing) if kernel_unpacks.as_deref() == Some(packing.name()) => {
            match finit_module(&opened.file, c"", COMPRESSED) {
                // It knows not all that the packer does.
                Err(Errno::INVAL) => init_module(&opened.bytes, c"")?,
                loaded => loaded?,
            }
        }
        Some(_) => init_module(&opened.bytes, c"")?,
    }
    Ok(())
}

/// Removes a module, if nobody uses it: it is not waited for.
pub(crate) fn delete_module(name: &str) -> rustix::io::Result<()> {
    // The kernel would not find such a name either.
    let name = CString::new(name).map_err(|_| Errno::NOENT)?;
    rustix::system::delete_module(&name, OFlags::NONBLOCK.bits() as i32)
}

/// What became of several steps, each of which is done whatever became of those before.
#[derive(Default)]
struct Steps {
    lines: Vec<String>,
    failed: Option<Failure>,
}

impl Steps {
    fn did(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// `line` is what is to be said of it.
    fn failed(&mut self, line: impl Into<String>, failure: Failure) {
        self.did(line);
        self.failed.get_or_insert(failure);
    }

    /// All that was said, or `nothing`; a failure if there was one, the first.
    fn end(mut self, nothing: impl FnOnce() -> String) -> Done {
        if self.lines.is_empty() {
            self.lines.push(nothing());
        }
        let text = self.lines.join("\n");
        match self.failed {
            None => Ok(text),
            Some(first) => Err(Failure { text, ..first }),
        }
    }
}

/// What the kernel says from some moment on.
struct Log<'a> {
    root: &'a Root,
    from: u64,
}

impl<'a> Log<'a> {
    fn from_here(root: &'a Root) -> Self {
        let last = kmsg::records(root)
            .ok()
            .flatten()
            .and_then(|records| records.last().cloned());
        Self {
            root,
            from: last.map_or(0, |record| record.sequence + 1),
        }
    }

    /// Adds what the kernel has said to a failure.
    fn add(&self, mut failure: Failure) -> Failure {
        for line in self.lines().unwrap_or_default() {
            failure.text.push_str("\n  kernel: ");
            failure.text.push_str(&crate::text::printable(&line));
        }
        failure
    }

    /// Its last lines since then that may be about a module.
    fn lines(&self) -> io::Result<Vec<String>> {
        const MOST: usize = 5;

        let records = kmsg::records(self.root)?.unwrap_or_default();
        let mut lines: Vec<String> = records
            .into_iter()
            .filter(|record| record.sequence >= self.from)
            .map(|record| record.text)
            .collect();
        Ok(lines.split_off(lines.len().saturating_sub(MOST)))
    }
}

/// What the tests of this folder need.
#[cfg(test)]
mod testing {
    use std::fs;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::{OnStall, Waiting};
    use crate::root::Root;

    pub(super) const WAITING: Waiting = Waiting {
        timeout: Duration::ZERO,
        on_stall: OnStall::Keep,
        no_wait: false,
        progress: false,
    };

    /// A system that is only files: nothing is started by writing to them.
    pub(super) fn system(files: &[(&str, &str)]) -> (TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::new(dir.path());
        for (file, text) in files {
            let path = root.path(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        (dir, root)
    }

    pub(super) const ENABLED: &str = "sys/kernel/livepatch/a/enabled";
    pub(super) const TRANSITION: &str = "sys/kernel/livepatch/a/transition";
}
