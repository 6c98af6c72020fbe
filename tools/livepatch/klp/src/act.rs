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
pub use load::{load, Load};
pub use lock::Lock;
pub use store::{install, uninstall};
pub use switch::{disable, enable, force, gc, reverse, unload};
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
    let flag = |file| root.flag(Patch::file(name, file));
    let leads_there = flag("enabled")? == Some(from == Target::Patched);
    if !(leads_there && flag("transition")? == Some(true)) {
        return Ok(false);
    }
    write_enabled(root, name, from == Target::Unpatched)?;
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
