// SPDX-License-Identifier: GPL-2.0

//! Loading a livepatch.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::switch::{remove, settle, Done, MODULE_WAIT};
use super::{cannot_livepatch, enable, Log, Waiting};
use crate::failure::{Exit, Failure};
use crate::module::ModuleFile;
use crate::root::Root;
use crate::source::sysfs::{self, Target};
use crate::source::{kernel, modules, store};

/// `MODULE_INIT_COMPRESSED_FILE`
const COMPRESSED: i32 = 4;

/// One that is disabled and has not gone after this time was registered.
const DISABLED_WAIT: Duration = Duration::from_secs(1);

/// How to load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub waiting: Waiting,
    /// Look at everything, load nothing.
    pub dry_run: bool,
    /// Leave the modules of livepatches that the new one replaces.
    pub keep_replaced: bool,
}

/// Loads a livepatch, from a file or by the name of an installed one. One that is there is enabled.
pub fn load(root: &Root, what: &str, how: &Load) -> Done {
    if !root.exists(sysfs::DIR) {
        return Err(cannot_livepatch());
    }
    let file = ModuleFile::read(find(root, what)?)?;
    check(root, &file)?;
    if let Some(patch) = sysfs::patch(root, &file.name)? {
        is_the_same(root, &file)?;
        return match (patch.enabled, how.dry_run) {
            (true, false) if patch.transition => {
                settle(root, &file.name, Target::Patched, &how.waiting)
            }
            (true, _) => Ok(format!("{} is loaded already", file.name)),
            (false, true) => Ok(format!("{} would be enabled again", file.name)),
            (false, false) => enable(root, &file.name, &how.waiting),
        };
    }
    if how.dry_run {
        return Ok(format!("{} would be loaded", file.name));
    }
    if let Some(module) = modules::module(root, &file.name)? {
        if !module.is_livepatch() {
            return Err(Failure::new(
                Exit::Refused,
                format!("a module {} is loaded, and is no livepatch", file.name),
            ));
        }
        // It is left over from an earlier time.
        remove(root, &file.name)?;
    }
    wait_for_others(root, &how.waiting)?;

    let before = sysfs::patches(root)?.unwrap_or_default();
    insert(root, &file)?;
    let done = match settle(root, &file.name, Target::Patched, &how.waiting) {
        Ok(done) => done,
        Err(failure) => {
            if failure.exit == Exit::StalledReversed {
                // It is as it was, without this module.
                remove(root, &file.name)?;
            }
            return Err(failure);
        }
    };
    if how.keep_replaced {
        return Ok(done);
    }
    let removed = remove_replaced(root, &file.name, &before)?;
    Ok(removed
        .iter()
        .fold(done, |done, name| format!("{done}\nremoved module {name}")))
}

/// Loads all that is installed for this kernel, in the order of their names. Goes on after one that
/// fails, and then fails with it.
pub fn load_all(root: &Root, how: &Load) -> Done {
    let release = kernel::release(root)?.unwrap_or_default();
    let mut lines = Vec::new();
    let mut failed: Option<Failure> = None;
    for installed in store::installed(root)?
        .iter()
        .filter(|it| it.release == release)
    {
        let file = root.path(&installed.file);
        match load(root, &file.to_string_lossy(), how) {
            Ok(done) => lines.push(done),
            Err(failure) => {
                lines.push(failure.text.clone());
                failed.get_or_insert(failure);
            }
        }
    }
    if lines.is_empty() {
        lines.push(format!("nothing is installed for {release}"));
    }
    match failed {
        None => Ok(lines.join("\n")),
        Some(first) => Err(Failure {
            text: lines.join("\n"),
            ..first
        }),
    }
}

/// The file that is meant by a path, or by the name of what is installed.
fn find(root: &Root, what: &str) -> Result<PathBuf, Failure> {
    let path = Path::new(what);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let release = kernel::release(root)?.unwrap_or_default();
    let name = store::module_name(what);
    let installed = store::installed(root)?;
    let found = installed.iter().find(|it| it.is(&release, &name));
    found.map(|it| root.path(&it.file)).ok_or_else(|| {
        Failure::new(
            Exit::NoSuchPatch,
            format!("{what} is no file, and no livepatch of this name is installed for {release}"),
        )
    })
}

/// What can be told from the file.
fn check(root: &Root, file: &ModuleFile) -> Result<(), Failure> {
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

/// Is what is loaded under this name what is in the file?
fn is_the_same(root: &Root, file: &ModuleFile) -> Result<(), Failure> {
    let loaded = modules::module(root, &file.name)?.and_then(|module| module.build_id);
    match (loaded, &file.build_id) {
        (Some(loaded), Some(wanted)) if loaded != *wanted => Err(Failure::new(
            Exit::Refused,
            format!("another module is loaded under the name {}", file.name),
        )
        .with_remedy(format!("klp unload {}, then load this one", file.name))),
        _ => Ok(()),
    }
}

/// There can be one transition at a time.
fn wait_for_others(root: &Root, waiting: &Waiting) -> Result<(), Failure> {
    let patches = sysfs::patches(root)?.unwrap_or_default();
    let Some(other) = patches.iter().find(|patch| patch.transition) else {
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

fn insert(root: &Root, file: &ModuleFile) -> Result<(), Failure> {
    if !root.is_live() {
        return Err(Failure::new(
            Exit::Failed,
            "modules can be loaded into this system only",
        ));
    }
    let log = Log::from_here(root);
    let what = format!("cannot load {}", file.path.display());
    let opened = File::open(&file.path)
        .map_err(|error| Failure::new(Exit::Failed, format!("{what}: {error}")))?;
    let packed = file.path.extension().is_some_and(|end| end != "ko");
    let flags = if packed { COMPRESSED } else { 0 };
    rustix::system::finit_module(&opened, c"", flags)
        .map_err(|errno| log.add(why_not_loaded(&what, errno, packed)))
}

/// What the kernel means by an error number when it loads a livepatch.
fn why_not_loaded(what: &str, errno: Errno, packed: bool) -> Failure {
    let (exit, why, remedy) = match errno {
        Errno::KEYREJECTED | Errno::NOKEY => (
            Exit::NotPermitted,
            "its signature is not one that this kernel trusts",
            "enrol the key that it was signed with (mokutil --import), or get it from who signs for this kernel",
        ),
        Errno::PERM | Errno::ACCESS => (
            Exit::NotPermitted,
            "not permitted",
            "only root may load modules; a locked down kernel takes signed ones only",
        ),
        Errno::BUSY => (
            Exit::Busy,
            "a transition runs, or another program redirects one of its functions",
            "klp status shows transitions; /sys/kernel/tracing/enabled_functions who redirects what (I)",
        ),
        Errno::NOEXEC => (
            Exit::Refused,
            "it was not built for this kernel",
            "build it for this release, and with this configuration",
        ),
        Errno::NOENT => (
            Exit::Refused,
            "it names a function or a symbol that is not there",
            "see the kernel's own words; klp info shows what it was built for",
        ),
        Errno::INVAL if packed => (
            Exit::Refused,
            "this kernel cannot unpack it, or does not take this livepatch",
            "unpack the file first",
        ),
        Errno::INVAL => (
            Exit::Refused,
            "the kernel does not take this livepatch",
            "see the kernel's own words: a symbol that is ambiguous, or a system state that is not compatible",
        ),
        Errno::EXIST => (
            Exit::Refused,
            "a module of this name is loaded, or one function or state is named twice",
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
    let mut removed = Vec::new();
    if root.flag(sysfs::Patch::file(new, "replace"))? != Some(true) {
        return Ok(removed);
    }
    for patch in before {
        if goes(root, &patch.name)?
            && modules::module(root, &patch.name)?.is_some()
            && remove(root, &patch.name).is_ok()
        {
            removed.push(patch.name.clone());
        }
    }
    Ok(removed)
}

/// Waits until a livepatch that was replaced has gone, which it does some time after the
/// transition. One that was registered stays, disabled.
fn goes(root: &Root, name: &str) -> Result<bool, Failure> {
    let begin = Instant::now();
    while let Some(enabled) = root.flag(sysfs::Patch::file(name, "enabled"))? {
        let most = if enabled { MODULE_WAIT } else { DISABLED_WAIT };
        if begin.elapsed() >= most {
            return Ok(false);
        }
        sleep(Duration::from_millis(20));
    }
    Ok(true)
}
