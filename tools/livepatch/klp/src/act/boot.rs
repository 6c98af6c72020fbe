// SPDX-License-Identifier: GPL-2.0

//! Loading at boot, so that a livepatch which crashes a boot does not crash the next one, too.
//!
//! Before a livepatch is loaded its guard is written to disk. It goes when the machine has run for a
//! while without a complaint of the kernel about the livepatch's code, or is shut down as it should
//! be. One that is found by another boot says that this did not come to pass: that livepatch is not
//! loaded before an administrator has said so, or has installed another one of its name.

use std::fs;
use std::io;

use super::load::{load, Load};
use super::{Done, Steps};
use crate::failure::{Exit, Failure};
use crate::files::write_whole;
use crate::root::Root;
use crate::source::guard::{self, boot_id, Guard};
use crate::source::kernel::{self, AtBoot};
use crate::source::kmsg;
use crate::source::sysfs::{self, Patch};
use crate::system::{installed_here, InstalledPatch};

const NOTHING_GUARDED: &str = "nothing is guarded";

/// Loads all that is installed for this kernel, in order, but for what has been replaced already by
/// a later one. Goes on after one that fails, and then fails with it.
pub fn load_all(root: &Root, how: &Load) -> Done {
    load_each(root, |_, file| load(root, file, how))
}

/// As [`load_all`], with guards, and as the kernel's command line wants it.
pub fn load_at_boot(root: &Root, how: &Load) -> Done {
    let mut how = *how;
    match kernel::at_boot(root)? {
        AtBoot::Load => {}
        AtBoot::Nothing => {
            return Ok("nothing is loaded: the kernel's command line says so".to_owned())
        }
        AtBoot::Check => how.dry_run = true,
    }
    load_each(root, |installed, file| {
        if how.in_initramfs {
            // There is no disk yet that a guard could be on.
            return load(root, file, &how);
        }
        if installed.locked_out {
            return Err(locked_out(&installed.name));
        }
        if installed.loaded || how.dry_run {
            return load(root, file, &how);
        }
        // A machine whose disk is full needs its fixes all the same.
        let unguarded = write(root, &installed.name).err();
        let done = load(root, file, &how);
        if done.is_err() && !sysfs::is_there(root, &installed.name) {
            // It was refused, which is no crash.
            remove(root, &installed.name)?;
        }
        let done = done?;
        Ok(match unguarded {
            None => done,
            Some(error) => format!("{done}\nit is not guarded: {error}"),
        })
    })
}

fn load_each(root: &Root, mut load: impl FnMut(&InstalledPatch, &str) -> Done) -> Done {
    let all = installed_here(root)?.ok_or_else(Failure::store_hidden)?;
    let mut steps = Steps::default();
    for installed in &all {
        let name = &installed.name;
        if let Some(by) = &installed.replaced_by {
            steps.did(format!("{name} is not loaded: {by} would replace it"));
            continue;
        }
        // Somebody has disabled it, or is about to.
        if installed.loaded && root.flag(Patch::file(name, "enabled"))? == Some(false) {
            steps.did(format!("{name} is disabled, and stays so"));
            continue;
        }
        let file = root.path(&installed.file);
        match load(installed, &file.to_string_lossy()) {
            Ok(done) => steps.did(done),
            Err(failure) => steps.failed(failure.text.clone(), failure),
        }
    }
    let release = kernel::release(root)?;
    steps.end(|| {
        let release = release.as_deref().unwrap_or("this kernel");
        format!("nothing is installed for {release}")
    })
}

fn locked_out(name: &str) -> Failure {
    Failure::new(
        Exit::LockedOut,
        format!("{name} is not loaded: a boot that had loaded it did not end well"),
    )
    .with_remedy(format!("klp guard --clear {name} has it loaded again"))
}

/// The boot goes on: removes the guards of those livepatches of whose code the kernel has not
/// complained.
pub fn guard_settle(root: &Root) -> Done {
    let records = kmsg::records(root)?.ok_or_else(Failure::log_hidden)?;
    let mut steps = Steps::default();
    for Guard { name, .. } in of_this_boot(root)? {
        if let Some(complaint) = kmsg::complaint_about(&records, &name) {
            let line = format!("{name} stays guarded, the kernel has said: {complaint}");
            steps.failed(line, stays_guarded());
        } else {
            remove(root, &name)?;
            steps.did(format!("{name} has not done any harm"));
        }
    }
    steps.end(|| NOTHING_GUARDED.to_owned())
}

fn stays_guarded() -> Failure {
    Failure::new(Exit::LockedOut, "")
        .with_remedy("it will not be loaded by the next boot; klp guard --clear has it loaded")
}

/// The machine is shut down as it should be: removes the guards of this boot.
pub fn guard_end(root: &Root) -> Done {
    for Guard { name, .. } in of_this_boot(root)? {
        remove(root, &name)?;
    }
    Ok("this boot has ended well".to_owned())
}

/// Has a livepatch loaded again that was locked out; all of them if none is named.
pub fn guard_clear(root: &Root, name: Option<&str>) -> Done {
    let mut lines = Vec::new();
    for Guard { name: found, .. } in guard::guards(root)? {
        if name.is_none_or(|name| name == found) {
            remove(root, &found)?;
            lines.push(format!("{found} will be loaded by the next boot"));
        }
    }
    match (name, lines.is_empty()) {
        (Some(name), true) => Err(Failure::new(
            Exit::NoSuchPatch,
            format!("{name} is not guarded"),
        )
        .with_remedy("klp guard shows what is")),
        (None, true) => Ok(NOTHING_GUARDED.to_owned()),
        (_, false) => Ok(lines.join("\n")),
    }
}

fn of_this_boot(root: &Root) -> io::Result<Vec<Guard>> {
    let mut guards = guard::guards(root)?;
    guards.retain(|guard| guard.this_boot);
    Ok(guards)
}

fn write(root: &Root, name: &str) -> io::Result<()> {
    let id = boot_id(root)?.ok_or_else(|| io::Error::other("this boot has no ID"))?;
    fs::create_dir_all(root.path(guard::DIR))?;
    write_whole(&root.path(guard::file(name)), format!("{id}\n").as_bytes())
}

/// Removes the guard of a livepatch, if there is one.
pub(super) fn remove(root: &Root, name: &str) -> Result<(), Failure> {
    let file = root.path(guard::file(name));
    match fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::of_io(
            &format!("cannot remove {}", file.display()),
            error,
        )),
        _ => Ok(()),
    }
}
