// SPDX-License-Identifier: GPL-2.0

//! Waiting for the end of a transition.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rustix::event::{poll, PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::turn_around;
use crate::blockers::blockers;
use crate::failure::{Exit, Failure};
use crate::root::{known, Root};
use crate::source::sysfs::{self, Patch, Target};
use crate::source::tasks;
use crate::text::{printable, span};

/// Not all kernels tell who polls that a transition has ended: it is asked for as well, often at
/// first, when it probably ends soon.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// It takes time to look at all tasks, so a bar does it less often.
const LOOK_AT_TASKS: Duration = Duration::from_millis(500);

/// What becomes of a transition that has not ended when the time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnStall {
    /// Go back to how it was.
    Reverse,
    /// Leave it: it may still end.
    Keep,
    /// Ask at the terminal; without one, as keep.
    Ask,
}

/// How to wait.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    pub timeout: Duration,
    pub on_stall: OnStall,
    /// Do not wait at all.
    pub no_wait: bool,
    pub progress: bool,
}

impl Waiting {
    /// Waits until `name` has come to `target`. Answers how long that took; [`None`]: nobody was
    /// to wait.
    pub fn until(
        &self,
        root: &Root,
        name: &str,
        target: Target,
    ) -> Result<Option<Duration>, Failure> {
        if self.no_wait {
            return Ok(None);
        }
        let begin = Instant::now();
        if self.ends(root, name)? {
            is_at(root, name, target)?;
            return Ok(Some(begin.elapsed()));
        }
        let after = span(self.timeout);
        if self.on_stall == OnStall::Keep
            || (self.on_stall == OnStall::Ask && !asked_to_reverse(name))
        {
            return Err(Failure::new(
                Exit::StalledLeft,
                format!("{name} is still in transition after {after}"),
            )
            .with_remedy("klp why shows whom it waits for; klp reverse goes back"));
        }
        let turned = turn_around(root, name, target);
        if !matches!(turned, Ok(true)) {
            // Meanwhile it has ended, or somebody else was faster, be it than the write.
            if is_over(root, name)? {
                is_at(root, name, target)?;
                return Ok(Some(begin.elapsed()));
            }
            if let Err(
                failure @ Failure {
                    exit: Exit::NotPermitted,
                    ..
                },
            ) = turned
            {
                return Err(failure);
            }
            return Err(Failure::new(
                Exit::StalledLeft,
                format!("{name} is still in transition after {after}, and somebody else has reversed it"),
            )
            .with_remedy("klp why shows whom it waits for"));
        }
        let back = target.opposite();
        if !self.ends(root, name)? {
            return Err(Failure::new(
                Exit::StalledLeft,
                format!("{name} was reversed after {after}, and that has not ended either"),
            )
            .with_remedy("klp why shows whom it waits for"));
        }
        is_at(root, name, back)?;
        Err(Failure::new(
            Exit::StalledReversed,
            format!(
                "{name} was not {} within {after}, and was reversed",
                target.name()
            ),
        )
        .with_remedy(
            "try again when the tasks that klp why has shown are gone, or with a longer --timeout",
        ))
    }

    /// Waits for the end of the transition of `name`; does it end in time?
    pub fn ends(&self, root: &Root, name: &str) -> io::Result<bool> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = SHORTEST_PAUSE;
        let mut bar = Bar::new(self.progress);
        let mut file = known(File::open(root.path(Patch::file(name, "transition"))))?;
        loop {
            // What changes after the file was read ends the sleep below: so look after that. One that
            // cannot be read any more is that of a livepatch which has gone; there may be another one
            // of its name.
            if let Some(open) = &file {
                if known(open.read_at(&mut [0; 8], 0))?.is_none() {
                    file = None;
                }
            }
            if is_over(root, name)? {
                return Ok(true);
            }
            bar.look(root, name)?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            sleep_until_told(file.as_ref(), pause.min(left))?;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Sleeps until `file` changes, if the kernel tells, and no longer than that.
fn sleep_until_told(file: Option<&File>, pause: Duration) -> io::Result<()> {
    let Some(file) = file else {
        sleep(pause);
        return Ok(());
    };
    let timeout = Timespec::try_from(pause).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(file, PollFlags::PRI)], Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Has its transition ended? The livepatch may have gone with it.
fn is_over(root: &Root, name: &str) -> io::Result<bool> {
    Ok(root.flag(Patch::file(name, "transition"))? != Some(true))
}

/// A transition has ended: where it was to lead? Others may have reversed it meanwhile.
fn is_at(root: &Root, name: &str, target: Target) -> Result<(), Failure> {
    let enabled = root.flag(Patch::file(name, "enabled"))? == Some(true);
    if enabled == (target == Target::Patched) {
        return Ok(());
    }
    let now = if enabled { "enabled" } else { "disabled" };
    Err(Failure::new(
        Exit::Failed,
        format!("somebody else has {now} {name} meanwhile"),
    ))
}

/// Asks whether to go back. Without a terminal there is nobody to ask.
fn asked_to_reverse(name: &str) -> bool {
    if !io::stdin().is_terminal() {
        return false;
    }
    let _ = write!(
        io::stderr(),
        "{name} is still in transition. Reverse it? [y/N] "
    );
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).is_ok() && answer.trim().eq_ignore_ascii_case("y")
}

/// A bar that says how many tasks are left, and who one of them is.
struct Bar {
    bar: ProgressBar,
    looked: Option<Instant>,
}

impl Bar {
    fn new(wanted: bool) -> Self {
        let target = if wanted && io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template("transition [{bar:24}] {pos}/{len}  {msg}")
            .expect("the template is right")
            .progress_chars("##-");
        Self {
            bar: ProgressBar::with_draw_target(Some(0), target).with_style(style),
            looked: None,
        }
    }

    fn look(&mut self, root: &Root, name: &str) -> io::Result<()> {
        if self.bar.is_hidden() || self.looked.is_some_and(|at| at.elapsed() < LOOK_AT_TASKS) {
            return Ok(());
        }
        self.looked = Some(Instant::now());
        let Some(patch) = sysfs::patch(root, name)? else {
            return Ok(());
        };
        let target = patch.target();
        let tasks = tasks::left(root, target)?;
        self.bar.set_length(tasks.count as u64);
        self.bar
            .set_position((tasks.count - tasks.left.len()) as u64);
        let one = match tasks.left.first() {
            Some(left) => left.look(root)?,
            None => None,
        };
        let names = blockers(&patch, target, std::slice::from_ref(&patch), one.as_slice());
        self.bar
            .set_message(names.first().map_or_else(String::new, |blocker| {
                format!("{}: {}", printable(&blocker.comm), blocker.reason.text())
            }));
        Ok(())
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::act::testing::{system, ENABLED, TRANSITION, WAITING};

    fn enabled(root: &Root) -> Option<bool> {
        root.flag(ENABLED).unwrap()
    }

    #[test]
    fn a_transition_is_turned_around() {
        let (_dir, root) = system(&[(ENABLED, "1"), (TRANSITION, "1")]);
        assert!(turn_around(&root, "a", Target::Patched).unwrap());
        assert_eq!(enabled(&root), Some(false));
        assert!(turn_around(&root, "a", Target::Unpatched).unwrap());
        assert_eq!(enabled(&root), Some(true));
    }

    #[test]
    fn one_that_has_ended_or_was_turned_is_left_alone() {
        let (_dir, root) = system(&[(ENABLED, "1"), (TRANSITION, "0")]);
        assert!(!turn_around(&root, "a", Target::Patched).unwrap());
        assert_eq!(enabled(&root), Some(true));
        let (_dir, root) = system(&[(ENABLED, "0"), (TRANSITION, "1")]);
        assert!(!turn_around(&root, "a", Target::Patched).unwrap());
        assert_eq!(enabled(&root), Some(false));
        let dir = tempfile::tempdir().unwrap();
        assert!(!turn_around(&Root::new(dir.path()), "a", Target::Patched).unwrap());
    }

    #[test]
    fn a_stall_ends_as_it_was_asked_to() {
        let (_dir, root) = system(&[(ENABLED, "1"), (TRANSITION, "1")]);
        let reverse = Waiting {
            on_stall: OnStall::Reverse,
            ..WAITING
        };
        let failure = WAITING.until(&root, "a", Target::Patched).unwrap_err();
        assert_eq!(failure.exit, Exit::StalledLeft);
        assert_eq!(enabled(&root), Some(true));
        // Nobody ends the transition, so it is still there when it was reversed.
        let failure = reverse.until(&root, "a", Target::Patched).unwrap_err();
        assert_eq!(failure.exit, Exit::StalledLeft);
        assert!(failure.text.contains("was reversed"), "{failure}");
        assert_eq!(enabled(&root), Some(false));
        // Somebody has reversed it.
        let failure = reverse.until(&root, "a", Target::Patched).unwrap_err();
        assert!(failure.text.contains("somebody else"), "{failure}");
        assert_eq!(enabled(&root), Some(false));
    }
}
