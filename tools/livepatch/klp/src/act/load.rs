// SPDX-License-Identifier: GPL-2.0

//! Loading a livepatch.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::switch::{remove, settle, Done, MODULE_WAIT};
use super::{enable, insert_module, Log, Waiting};
use crate::check::{self, Checked, Outcome};
use crate::failure::{Exit, Failure};
use crate::module::{ModuleFile, Opened};
use crate::root::Root;
use crate::source::sysfs::{self, Patch, Target};
use crate::source::{kernel, modules, store};
use crate::system::System;
use crate::text::printable;

/// One that is disabled and has not gone after this time was registered.
const DISABLED_WAIT: Duration = Duration::from_secs(1);

/// What has to be told before anything is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Checking {
    /// Nothing: the kernel says what it does not take.
    Off,
    /// That the kernel will not refuse it, as far as can be told.
    Fail,
    /// That it will take it: what cannot be told is refused, too.
    Strict,
}

/// How to load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub waiting: Waiting,
    pub checking: Checking,
    /// Look at everything, load nothing.
    pub dry_run: bool,
    /// Leave the modules of livepatches that the new one replaces.
    pub keep_replaced: bool,
    /// At boot: before the root file system is there.
    pub in_initramfs: bool,
}

/// Loads a livepatch, from a file or by the name of an installed one. One that is there is enabled.
pub fn load(root: &Root, what: &str, how: &Load) -> Done {
    if !sysfs::can_livepatch(root)? {
        return Err(Failure::cannot_livepatch());
    }
    let opened = Opened::open(find(root, what)?)?;
    let file = &opened.module;
    is_for_this_kernel(root, file)?;
    if let Some(patch) = stays(root, &file.name)? {
        let unknown = is_the_same(root, file)?;
        return match (patch.enabled, how.dry_run) {
            (true, false) if patch.transition => {
                settle(root, &file.name, Target::Patched, &how.waiting)
            }
            (true, _) => Ok(format!("{} is loaded already{unknown}", file.name)),
            (false, true) => Ok(format!("{} would be enabled again", file.name)),
            (false, false) => enable(root, &file.name, &how.waiting),
        };
    }
    checked(root, &opened, how.checking)?;
    if how.dry_run {
        is_no_other(root, &file.name)?;
        return Ok(match sysfs::in_transition(root)? {
            Some(other) => format!(
                "{} would be loaded when the transition of {} has ended",
                file.name, other.name
            ),
            None => format!("{} would be loaded", file.name),
        });
    }
    remove_leftover(root, &file.name)?;
    wait_for_others(root, &how.waiting)?;

    let before = sysfs::patches(root)?.unwrap_or_default();
    insert(root, &opened)?;
    let done = match begin(root, &file.name, &how.waiting) {
        Ok(done) => done,
        Err(mut failure) => {
            if failure.exit == Exit::StalledReversed {
                // It is to be as it was, without this module.
                if let Err(left) = remove(root, &file.name) {
                    failure.text = format!("{failure}\n{left}");
                }
            }
            return Err(failure);
        }
    };
    if how.keep_replaced || how.waiting.no_wait {
        return Ok(done);
    }
    let removed = remove_replaced(root, &file.name, &before)?;
    Ok(removed
        .iter()
        .fold(done, |done, name| format!("{done}\nremoved module {name}")))
}

fn find(root: &Root, what: &str) -> Result<PathBuf, Failure> {
    let release = kernel::release(root)?.unwrap_or_default();
    store::find(root, &release, what)?.ok_or_else(|| {
        let text = if what.contains('/') {
            format!("there is no file {what}")
        } else {
            format!("{what} is no file, and no livepatch of this name is installed for {release}")
        };
        let failure = Failure::new(Exit::NoSuchPatch, text);
        if Path::new(what).exists() {
            failure.with_remedy(format!("./{what} is the file of this folder"))
        } else {
            failure
        }
    })
}

/// The livepatch of this name, if there is one that does not go by itself: one that has just been
/// disabled does.
fn stays(root: &Root, name: &str) -> Result<Option<Patch>, Failure> {
    match sysfs::patch(root, name)? {
        Some(patch) if !patch.enabled && !patch.transition => {
            goes(root, name, MODULE_WAIT)?;
            Ok(sysfs::patch(root, name)?)
        }
        patch => Ok(patch),
    }
}

/// Removes the module of this name that an earlier time has left.
fn remove_leftover(root: &Root, name: &str) -> Result<(), Failure> {
    if is_no_other(root, name)? {
        remove(root, name)?;
    }
    Ok(())
}

/// A module of this name that is loaded has to be a livepatch. Is there one?
fn is_no_other(root: &Root, name: &str) -> Result<bool, Failure> {
    match modules::module(root, name)? {
        None => Ok(false),
        Some(module) if module.is_livepatch() => Ok(true),
        Some(_) => Err(Failure::new(
            Exit::Refused,
            format!("a module {name} is loaded, and is no livepatch"),
        )),
    }
}

/// The module is there: waits for its livepatch, and enables one that it has only registered.
fn begin(root: &Root, name: &str, waiting: &Waiting) -> Done {
    match sysfs::patch(root, name)? {
        Some(patch) if !patch.enabled && !patch.transition => enable(root, name, waiting),
        Some(_) => settle(root, name, Target::Patched, waiting),
        None => Err(Failure::new(
            Exit::Failed,
            format!("the module {name} is loaded, but there is no livepatch of this name"),
        )
        .with_remedy(
            "its author has made none, or somebody else has disabled it; klp gc removes it",
        )),
    }
}

/// What can be told from the file.
fn is_for_this_kernel(root: &Root, file: &ModuleFile) -> Result<(), Failure> {
    let refuse =
        |why: String| Failure::new(Exit::Refused, format!("{}: {why}", file.path.display()));
    if !file.is_livepatch() {
        return Err(refuse("it is a module, but no livepatch".to_owned()));
    }
    let running = kernel::release(root)?;
    if let (Some(running), Some(wanted)) = (running, file.release()) {
        if running != wanted {
            return Err(refuse(format!(
                "it was built for {wanted}, this kernel is {running}"
            )));
        }
    }
    if !file.signed && root.flag("/sys/module/module/parameters/sig_enforce")? == Some(true) {
        return Err(Failure {
            exit: Exit::NotPermitted,
            ..refuse("it is not signed, and this kernel takes signed modules only".to_owned())
        });
    }
    Ok(())
}

/// Looks at it as `klp check` does.
fn checked(root: &Root, opened: &Opened, checking: Checking) -> Result<(), Failure> {
    let least = match checking {
        Checking::Off => return Ok(()),
        Checking::Fail => Outcome::Fail,
        Checking::Strict => Outcome::Unknown,
    };
    let checked = check::check(root, opened, &System::read(root, false)?)?;
    if checked.outcome < least {
        return Ok(());
    }
    let failure = Failure::new(Exit::Refused, format!("{} is not loaded", checked.file));
    Err(with_findings(failure, &checked, least))
}

/// Adds what a look at the file tells, after the kernel has refused it.
fn explained(root: &Root, opened: &Opened, failure: Failure) -> Failure {
    let system = System::read(root, false);
    match system.and_then(|system| check::check(root, opened, &system)) {
        Ok(checked) => with_findings(failure, &checked, Outcome::Fail),
        // It is about the refusal.
        Err(_) => failure,
    }
}

fn with_findings(mut failure: Failure, checked: &Checked, least: Outcome) -> Failure {
    for finding in checked.findings.iter().filter(|it| it.outcome >= least) {
        let _ = write!(
            failure.text,
            "\nklp check: {}: {}",
            finding.about,
            printable(&finding.text)
        );
    }
    failure
}

/// Is what is loaded under this name what is in the file? Answers what is to be said if nobody
/// knows.
fn is_the_same(root: &Root, file: &ModuleFile) -> Result<&'static str, Failure> {
    let loaded = modules::module(root, &file.name)?.unwrap_or_default();
    match file.is_loaded_as(&loaded) {
        Some(true) => Ok(""),
        Some(false) => Err(Failure::new(
            Exit::Refused,
            format!("another module is loaded under the name {}", file.name),
        )
        .with_remedy(format!("klp unload {}, then load this one", file.name))),
        None => Ok(" (nobody knows whether it is this build)"),
    }
}

/// There can be one transition at a time.
fn wait_for_others(root: &Root, waiting: &Waiting) -> Result<(), Failure> {
    let Some(other) = sysfs::in_transition(root)? else {
        return Ok(());
    };
    if waiting.no_wait || !waiting.ends(root, &other.name)? {
        return Err(
            Failure::new(Exit::Busy, format!("{} is in transition", other.name))
                .with_remedy("klp why shows whom it waits for; klp reverse takes it back"),
        );
    }
    Ok(())
}

fn insert(root: &Root, opened: &Opened) -> Result<(), Failure> {
    if !root.is_live() {
        return Err(Failure::new(
            Exit::Failed,
            "modules can be loaded into this system only",
        ));
    }
    let log = Log::from_here(root);
    let Err(error) = insert_module(root, opened) else {
        return Ok(());
    };
    let what = format!("cannot load {}", opened.module.path.display());
    let switched_off = root.flag("/proc/sys/kernel/modules_disabled")? == Some(true);
    let failure = log.add(match Errno::from_io_error(&error) {
        Some(errno) => why_not_loaded(&what, errno, switched_off),
        None => Failure::of_io(&what, error),
    });
    Err(explained(root, opened, failure))
}

/// What the kernel means by an error number when it loads a livepatch.
fn why_not_loaded(what: &str, errno: Errno, switched_off: bool) -> Failure {
    let (exit, why, remedy) = match errno {
        Errno::KEYREJECTED | Errno::NOKEY => (
            Exit::NotPermitted,
            "its signature is not one that this kernel trusts",
            "enrol the key that it was signed with (mokutil --import), or get it from who signs for this kernel",
        ),
        Errno::PERM if switched_off => (
            Exit::NotPermitted,
            "no module can be loaded until the next boot",
            "kernel.modules_disabled is 1, and stays",
        ),
        Errno::PERM | Errno::ACCESS => (
            Exit::NotPermitted,
            "not permitted",
            "only root may load modules; a locked down kernel takes signed ones only",
        ),
        Errno::BUSY => (
            Exit::Busy,
            "a transition runs, another program redirects one of its functions, or it has one \
             function or state twice",
            "klp status shows transitions; /sys/kernel/tracing/enabled_functions who redirects what (I)",
        ),
        Errno::NOEXEC => (
            Exit::Refused,
            "it was not built for this kernel",
            "build it for this release, and with this configuration",
        ),
        Errno::NOENT => (
            Exit::Refused,
            "it needs a symbol that is not there",
            "see the kernel's own words; klp info shows what it was built for",
        ),
        Errno::INVAL => (
            Exit::Refused,
            "the kernel does not take this livepatch",
            "see the kernel's own words: a function that is not there or ambiguous, or a system \
             state that is not compatible",
        ),
        Errno::EXIST => (
            Exit::Refused,
            "a module of this name is loaded",
            "klp gc removes modules that are left over",
        ),
        Errno::NOMEM => (Exit::Failed, "there is no memory for it", "try again"),
        _ => return Failure::of(what, errno),
    };
    let error = std::io::Error::from(errno);
    Failure::new(exit, format!("{what}: {why} ({error})")).with_remedy(remedy)
}

/// Removes the modules of the livepatches that `new` has replaced.
fn remove_replaced(
    root: &Root,
    new: &str,
    before: &[sysfs::Patch],
) -> Result<Vec<String>, Failure> {
    let most = match root.flag(Patch::file(new, "replace"))? {
        Some(true) => MODULE_WAIT,
        Some(false) => return Ok(Vec::new()),
        // Kernels before 6.11 do not tell: what is enabled now was not replaced.
        None => Duration::ZERO,
    };
    let mut removed = Vec::new();
    for patch in before {
        if goes(root, &patch.name, most)?
            && modules::module(root, &patch.name)?.is_some()
            && remove(root, &patch.name).is_ok()
        {
            removed.push(patch.name.clone());
        }
    }
    Ok(removed)
}

/// Waits until a livepatch that was replaced or disabled has gone, which it does some time after
/// the transition; for one that still counts as enabled as long as `most`. One that was registered
/// stays, disabled.
fn goes(root: &Root, name: &str, most: Duration) -> Result<bool, Failure> {
    let begin = Instant::now();
    while let Some(enabled) = root.flag(Patch::file(name, "enabled"))? {
        let most = if enabled { most } else { DISABLED_WAIT };
        if begin.elapsed() >= most {
            return Ok(false);
        }
        sleep(Duration::from_millis(20));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::testing::{system, ENABLED, TRANSITION, WAITING};

    #[test]
    fn one_that_is_only_registered_is_enabled() {
        let (_dir, root) = system(&[(ENABLED, "0"), (TRANSITION, "0")]);
        begin(&root, "a", &WAITING).unwrap();
        assert_eq!(root.flag(ENABLED).unwrap(), Some(true));
    }

    #[test]
    fn a_module_without_a_livepatch_is_told() {
        let (_dir, root) = system(&[("sys/kernel/livepatch/other/enabled", "1")]);
        let failure = begin(&root, "a", &WAITING).unwrap_err();
        assert!(failure.text.contains("there is no livepatch"), "{failure}");
    }

    #[test]
    fn each_error_of_the_kernel_has_its_sentence() {
        let exit = |errno| why_not_loaded("x", errno, false).exit;
        assert_eq!(exit(Errno::KEYREJECTED), Exit::NotPermitted);
        assert_eq!(exit(Errno::BUSY), Exit::Busy);
        assert_eq!(exit(Errno::INVAL), Exit::Refused);
        assert_eq!(exit(Errno::IO), Exit::Failed);
        let failure = why_not_loaded("x", Errno::PERM, true);
        assert!(failure.text.contains("until the next boot"), "{failure}");
    }
}
