// SPDX-License-Identifier: GPL-2.0

//! The transitions that the kernel's log tells of.

use std::time::Duration;

use crate::source::kmsg::{Event, Record};
use crate::source::sysfs::Target;

/// One transition, in one direction. One that was reversed is followed by another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    pub patch: String,
    pub target: Target,
    /// Since boot.
    pub started: Duration,
    pub end: End,
    /// How often tasks were sent a signal.
    pub signals: u32,
    pub forced: bool,
}

/// How a transition has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Not yet, or the kernel did not say.
    No,
    Complete(Duration),
    Reversed(Duration),
}

/// All that the log knows, the oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub operations: Vec<Operation>,
    /// The time of the oldest message that is there, whoever's it is. [`None`]: none may be read.
    pub oldest: Option<Duration>,
}

impl History {
    pub fn of(records: &[Record]) -> Self {
        let mut history = Self {
            oldest: records.first().map(|record| record.at),
            ..Self::default()
        };
        for record in records {
            if let Some(event) = record.event() {
                history.add(record.at, event);
            }
        }
        history
    }

    fn add(&mut self, at: Duration, event: Event) {
        let last = self.operations.last_mut();
        match event {
            Event::Start { patch, target } => {
                // Kernels say so only when they are asked to be verbose.
                if let Some(last) = last.filter(|it| it.patch == patch && it.end == End::No) {
                    last.end = End::Reversed(at);
                }
                self.operations.push(Operation {
                    patch,
                    target,
                    started: at,
                    end: End::No,
                    signals: 0,
                    forced: false,
                });
            }
            Event::Complete { patch, target } => {
                let runs = |last: &&mut Operation| {
                    last.patch == patch && last.target == target && last.end == End::No
                };
                if let Some(last) = last.filter(runs) {
                    last.end = End::Complete(at);
                }
            }
            Event::Reverse { patch } => {
                if let Some(last) = last.filter(|last| last.patch == patch) {
                    last.end = End::Reversed(at);
                }
            }
            // There is one transition at a time.
            Event::Signals => last.into_iter().for_each(|last| last.signals += 1),
            Event::Force => last.into_iter().for_each(|last| last.forced = true),
        }
    }

    /// The last thing that happened to a livepatch.
    pub fn last(&self, patch: &str) -> Option<&Operation> {
        self.operations
            .iter()
            .rev()
            .find(|operation| operation.patch == patch)
    }

    /// When the transition of `patch` began that still runs.
    pub fn running_since(&self, patch: &str) -> Option<Duration> {
        let last = self.last(patch)?;
        (last.end == End::No).then_some(last.started)
    }

    /// When `patch` came to be as it is.
    pub fn settled_since(&self, patch: &str) -> Option<Duration> {
        match self.last(patch)?.end {
            End::Complete(at) => Some(at),
            _ => None,
        }
    }

    /// Were tasks moved to `patch` by force, since it was last not in use at all? Such a task may
    /// still be in an old function. [`None`]: the log does not reach back that far, or tasks were
    /// moved by force to or from another livepatch since, which may have the same functions.
    pub fn forced(&self, patch: &str) -> Option<bool> {
        let mut forced = None;
        let mut over = true;
        for operation in &self.operations {
            if operation.patch != patch {
                if operation.forced && forced == Some(false) {
                    forced = None;
                }
                continue;
            }
            if operation.target == Target::Patched {
                // One that is reversed back goes on with what there was.
                if over {
                    forced = Some(false);
                }
                if operation.forced {
                    forced = Some(true);
                }
            }
            over = matches!(operation.end, End::Complete(_));
        }
        forced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(events: &[&str]) -> History {
        let records: Vec<_> = events
            .iter()
            .enumerate()
            .map(|(second, text)| Record {
                sequence: second as u64,
                at: Duration::from_secs(second as u64),
                text: format!("livepatch: {text}"),
            })
            .collect();
        History::of(&records)
    }

    #[test]
    fn a_transition_begins_and_ends() {
        let running = history(&["'a': starting patching transition"]);
        assert_eq!(running.running_since("a"), Some(Duration::ZERO));
        assert_eq!(running.settled_since("a"), None);

        let over = history(&[
            "'a': starting patching transition",
            "'a': patching complete",
        ]);
        assert_eq!(over.running_since("a"), None);
        assert_eq!(over.settled_since("a"), Some(Duration::from_secs(1)));
        assert_eq!(over.running_since("b"), None);
    }

    #[test]
    fn a_transition_that_is_reversed_is_followed_by_another() {
        let reversed = history(&[
            "'a': starting patching transition",
            "signaling remaining tasks",
            "'a': reversing transition from patching to unpatching",
            "'a': starting unpatching transition",
            "'a': unpatching complete",
        ]);
        let [there, back] = &reversed.operations[..] else {
            panic!("{reversed:?}")
        };
        assert_eq!(there.end, End::Reversed(Duration::from_secs(2)));
        assert_eq!(there.signals, 1);
        assert_eq!((back.target, back.signals), (Target::Unpatched, 0));
        assert_eq!(back.end, End::Complete(Duration::from_secs(4)));
    }

    #[test]
    fn a_kernel_need_not_say_that_it_reverses() {
        let silent = history(&[
            "'a': starting patching transition",
            "'a': starting unpatching transition",
            "'a': starting patching transition",
        ]);
        let ends: Vec<_> = silent
            .operations
            .iter()
            .map(|operation| operation.end)
            .collect();
        let reversed = |second| End::Reversed(Duration::from_secs(second));
        assert_eq!(ends, [reversed(1), reversed(2), End::No]);
    }

    #[test]
    fn force_belongs_to_the_transition_that_runs() {
        let forced = history(&[
            "'a': starting patching transition",
            "forcing remaining tasks to the patched state",
            "'a': patching complete",
            "'b': starting patching transition",
            "'b': patching complete",
        ]);
        assert_eq!(forced.forced("a"), Some(true));
        assert_eq!(forced.forced("b"), Some(false));
        assert_eq!(forced.forced("c"), None);
    }

    #[test]
    fn force_is_forgotten_when_the_livepatch_was_out_of_use() {
        let again = history(&[
            "'a': starting patching transition",
            "forcing remaining tasks to the patched state",
            "'a': patching complete",
            "'a': starting unpatching transition",
            "'a': unpatching complete",
            "'a': starting patching transition",
            "'a': patching complete",
        ]);
        assert_eq!(again.forced("a"), Some(false));
    }

    #[test]
    fn force_is_not_forgotten_when_disabling_is_taken_back() {
        let back = history(&[
            "'a': starting patching transition",
            "forcing remaining tasks to the patched state",
            "'a': patching complete",
            "'a': starting unpatching transition",
            "'a': starting patching transition",
            "'a': patching complete",
        ]);
        assert_eq!(back.forced("a"), Some(true));
    }

    #[test]
    fn force_of_another_livepatch_leaves_it_open() {
        let another = history(&[
            "'a': starting patching transition",
            "'a': patching complete",
            "'b': starting patching transition",
            "'b': patching complete",
            "'b': starting unpatching transition",
            "forcing remaining tasks to the patched state",
            "'b': unpatching complete",
        ]);
        assert_eq!(another.forced("a"), None);
    }

    #[test]
    fn force_that_moved_tasks_back_is_none() {
        let undone = history(&[
            "'a': starting unpatching transition",
            "forcing remaining tasks to the patched state",
            "'a': unpatching complete",
        ]);
        assert_eq!(undone.forced("a"), None);
    }

    #[test]
    fn a_transition_is_complete_once() {
        let reversed = history(&[
            "'a': starting patching transition",
            "'a': reversing transition from patching to unpatching",
            "'a': patching complete",
        ]);
        assert_eq!(
            reversed.operations[0].end,
            End::Reversed(Duration::from_secs(1))
        );
    }

    #[test]
    fn a_log_that_has_lost_its_beginning_is_no_error() {
        let cut = history(&["'a': patching complete", "signaling remaining tasks"]);
        assert_eq!(cut.operations, []);
    }
}
