// SPDX-License-Identifier: GPL-2.0

//! Livepatches that are there: enable, disable, reverse, force, unload.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::{delete_module, patch, turn_around, write_enabled, Lock, Log, Steps, Waiting};
use crate::failure::{Exit, Failure};
use crate::history::{End, History, Operation};
use crate::root::Root;
use crate::source::kmsg;
use crate::source::modules::{self, is_name};
use crate::source::store;
use crate::source::sysfs::{self, Patch, Target};
use crate::text::span;

/// A module may be held for a moment by whoever ends its livepatch.
pub(super) const MODULE_WAIT: Duration = Duration::from_secs(15);

const STILL_OLD: &str = "tasks may be in old functions until they leave them";

/// What a verb has done.
pub type Done = Result<String, Failure>;

/// Enables a livepatch that is registered, or takes its disabling back.
pub fn enable(root: &Root, name: &str, waiting: &Waiting) -> Done {
    switch(root, name, Target::Patched, waiting)
}

/// Disables a livepatch. One that came enabled goes by that; its module stays.
pub fn disable(root: &Root, name: &str, waiting: &Waiting) -> Done {
    switch(root, name, Target::Unpatched, waiting)
}

fn switch(root: &Root, name: &str, target: Target, waiting: &Waiting) -> Done {
    let patch = patch(root, name)?;
    if patch.target() != target {
        write_enabled(root, name, target == Target::Patched)?;
    } else if !patch.transition {
        return Ok(format!("{name} is {} already", target.name()));
    }
    settle(root, name, target, waiting)
}

/// Waits until it is there, and says so.
pub(super) fn settle(root: &Root, name: &str, target: Target, waiting: &Waiting) -> Done {
    let target_name = target.name();
    Ok(match waiting.until(root, name, target)? {
        Some(took) => format!("{name} is {target_name} after {}", span(took)),
        None => format!("{name} is being {target_name}"),
    })
}

/// Turns the transition that runs around, and waits for its end.
pub fn reverse(root: &Root, name: Option<&str>, waiting: &Waiting) -> Done {
    let patch = begun(root, in_transition(root, name)?)?;
    let from = patch.target();
    if !turn_around(root, &patch.name, from)? {
        return Err(Failure::new(
            Exit::Failed,
            format!(
                "the transition of {} is over, or somebody else has reversed it",
                patch.name
            ),
        )
        .with_remedy("klp status shows how it is now"));
    }
    settle(root, &patch.name, from.opposite(), waiting)
}

/// The kernel says that there is a transition a moment before it says that it leads to the livepatch:
/// waits for that, if its log knows of none that leads away.
fn begun(root: &Root, mut patch: Patch) -> Result<Patch, Failure> {
    const MOST: Duration = Duration::from_secs(1);

    if patch.target() == Target::Patched {
        return Ok(patch);
    }
    let Some(records) = kmsg::records(root)? else {
        return Ok(patch);
    };
    let history = History::of(&records);
    let leads_away = |last: &Operation| last.target == Target::Unpatched && last.end == End::No;
    if history.last(&patch.name).is_some_and(leads_away) {
        return Ok(patch);
    }
    let begin = Instant::now();
    while patch.transition && patch.target() == Target::Unpatched && begin.elapsed() < MOST {
        sleep(Duration::from_millis(10));
        match sysfs::patch(root, &patch.name)? {
            Some(now) => patch = now,
            None => return Err(Failure::no_such_patch(&patch.name)),
        }
    }
    Ok(patch)
}

/// Moves all tasks that are left, wherever they are.
pub fn force(root: &Root, name: &str) -> Done {
    let patch = in_transition(root, Some(name))?;
    let log = Log::from_here(root);
    let file = root.path(Patch::file(&patch.name, "force"));
    std::fs::write(file, "1")
        .map_err(|error| log.add(Failure::of_io(&format!("cannot force {name}"), error)))?;
    // As the kernel marks them: tasks may be in the code of what goes.
    let stays = match (patch.target(), patch.replace) {
        (Target::Unpatched, _) => "its module can never be removed".to_owned(),
        (Target::Patched, Some(false)) => STILL_OLD.to_owned(),
        (Target::Patched, _) => {
            format!("the modules of what it replaces can never be removed; {STILL_OLD}")
        }
    };
    Ok(format!("{name} was forced: {stays}"))
}

/// The livepatch whose transition runs. `name`: it has to be this one.
fn in_transition(root: &Root, name: Option<&str>) -> Result<Patch, Failure> {
    let Some(name) = name else {
        if !sysfs::can_livepatch(root)? {
            return Err(Failure::cannot_livepatch());
        }
        return sysfs::in_transition(root)?
            .ok_or_else(|| Failure::new(Exit::Failed, "no transition runs"));
    };
    let patch = patch(root, name)?;
    if !patch.transition {
        return Err(Failure::new(
            Exit::Failed,
            format!("{name} is in no transition"),
        ));
    }
    Ok(patch)
}

/// Disables a livepatch, and removes its module.
pub fn unload(root: &Root, name: &str, waiting: &Waiting) -> Done {
    let name = &store::module_name(name);
    if !is_name(name) {
        return Err(Failure::no_such_patch(name));
    }
    match sysfs::patch(root, name)? {
        Some(patch) => {
            if patch.enabled || patch.transition {
                disable(
                    root,
                    name,
                    &Waiting {
                        no_wait: false,
                        ..*waiting
                    },
                )?;
            }
        }
        None if modules::module(root, name)?.is_some_and(|module| module.is_livepatch()) => {}
        None => return Err(Failure::no_such_patch(name)),
    }
    // Until here somebody else may be waiting for what has just ended.
    let _lock = Lock::take_within(root, waiting.timeout)?;
    remove(root, name)?;
    Ok(format!("{name} is unloaded"))
}

/// Removes the modules of livepatches that are gone. `dry_run`: only names them.
pub fn gc(root: &Root, dry_run: bool) -> Done {
    let mut steps = Steps::default();
    for name in modules::leftover(root)? {
        let module = modules::module(root, &name)?;
        let used = module.is_some_and(|module| module.refcnt.is_some_and(|users| users > 0));
        if used {
            steps.did(format!("{name} is in use, or was forced: it stays"));
        } else if dry_run {
            steps.did(format!("{name} would be removed"));
        } else {
            match remove(root, &name) {
                Ok(()) => steps.did(format!("{name} is removed")),
                Err(failure) => steps.failed(format!("{failure}: it stays"), failure),
            }
        }
    }
    steps.end(|| "no module is left over".to_owned())
}

/// Removes a module, as soon as nobody holds it any more.
pub(super) fn remove(root: &Root, name: &str) -> Result<(), Failure> {
    if !root.is_live() {
        return Err(Failure::new(
            Exit::Failed,
            "modules can be removed from this system only",
        ));
    }
    let what = format!("cannot remove the module {name}");
    let deadline = std::time::Instant::now() + MODULE_WAIT;
    loop {
        match delete_module(name) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::WOULDBLOCK | Errno::BUSY) if std::time::Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(Failure::new(Exit::Failed, format!("{what}: it is in use"))
                    .with_remedy(
                    "one that was forced while it was disabled or replaced can never be removed",
                ));
            }
            Err(errno) => return Err(Failure::of(&what, errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::testing::{system, WAITING};
    use std::fs;

    #[test]
    fn a_name_is_no_path() {
        let (_dir, root) = system(&[
            ("sys/kernel/livepatch/a/enabled", "1"),
            ("sys/kernel/other/enabled", "1"),
            ("sys/kernel/other/transition", "0"),
        ]);
        let other = root.path("sys/kernel/other");
        for name in ["../other", "a/../../other"] {
            let failure = disable(&root, name, &WAITING).unwrap_err();
            assert_eq!(failure.exit, Exit::NoSuchPatch);
            let failure = unload(&root, name, &WAITING).unwrap_err();
            assert_eq!(failure.exit, Exit::NoSuchPatch);
        }
        assert_eq!(fs::read(other.join("enabled")).unwrap(), b"1");
    }
}
