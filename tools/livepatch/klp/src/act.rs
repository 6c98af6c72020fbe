// SPDX-License-Identifier: GPL-2.0

//! What changes a system. Everything is done by the kernel's own files and system calls, and
//! whoever is interrupted leaves what the kernel has at that moment: a whole livepatch, or a
//! transition that ends by itself or can be reversed.

mod load;
mod lock;
mod store;
mod switch;
mod wait;

pub use load::{load, load_all, Load};
pub use lock::Lock;
pub use store::{install, uninstall};
pub use switch::{disable, enable, force, gc, reverse, unload};
pub use wait::{OnStall, Waiting};

use std::ffi::CString;
use std::io;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::failure::{Exit, Failure};
use crate::root::Root;
use crate::source::kmsg;
use crate::source::sysfs::{self, Patch};

/// The livepatch `name`, which has to be there.
fn patch(root: &Root, name: &str) -> Result<Patch, Failure> {
    if !root.exists(sysfs::DIR) {
        return Err(cannot_livepatch());
    }
    sysfs::patch(root, name)?.ok_or_else(|| Failure::no_such_patch(name))
}

fn cannot_livepatch() -> Failure {
    Failure::new(Exit::CannotLivepatch, "this kernel cannot livepatch")
        .with_remedy("a kernel with CONFIG_LIVEPATCH=y is needed")
}

/// Asks for the other state of a livepatch.
fn write_enabled(root: &Root, name: &str, enabled: bool) -> Result<(), Failure> {
    let log = Log::from_here(root);
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
        _ => log.add(Failure::of_io(&what, error)),
    })
}

/// Removes a module, if nobody uses it: it is not waited for.
pub(crate) fn delete_module(name: &str) -> rustix::io::Result<()> {
    // The kernel would not find such a name either.
    let name = CString::new(name).map_err(|_| Errno::NOENT)?;
    rustix::system::delete_module(&name, OFlags::NONBLOCK.bits() as i32)
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
