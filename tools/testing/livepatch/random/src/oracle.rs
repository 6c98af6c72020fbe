// SPDX-License-Identifier: GPL-2.0

//! Predicts what each operation does, by the rules of `kernel/livepatch/model`.
//!
//! What the rules do not say, and the oracle knows: in which order livepatches are stacked, what a
//! replacement does to the others, and which transitions a task holds up that sleeps in a patched
//! function.

use crate::model::{
    operation::{
        decide,
        Decision, //
        Known,
        Operation,
        Refusal,
        Registration,
    },
    phase::{
        PatchState, //
        Phase,
    },
};
use std::fmt;

/// How many livepatches there are; they are numbered from 0.
pub(crate) const PATCHES: usize = 8;

/// What an operation ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    Errno(i32),
}

pub(crate) const ENOENT: i32 = 2;
pub(crate) const EAGAIN: i32 = 11;
pub(crate) const EBUSY: i32 = 16;
pub(crate) const EEXIST: i32 = 17;
pub(crate) const EINVAL: i32 = 22;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Outcome::Ok => f.write_str("ok"),
            Outcome::Errno(ENOENT) => f.write_str("ENOENT"),
            Outcome::Errno(EAGAIN) => f.write_str("EAGAIN"),
            Outcome::Errno(EBUSY) => f.write_str("EBUSY"),
            Outcome::Errno(EEXIST) => f.write_str("EEXIST"),
            Outcome::Errno(EINVAL) => f.write_str("EINVAL"),
            Outcome::Errno(errno) => write!(f, "errno {errno}"),
        }
    }
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Call the function for it.
    Call(usize, Operation),
    /// Write to `enabled`.
    Write(usize, bool),
    /// Write 1 to `force`.
    Force(usize),
    /// Remove the module of the livepatch, and load it again.
    Reload(usize),
    /// Remove or load the module that is patched.
    Target(bool),
    /// Let a task fall asleep in the patched function, or wake it up.
    Sleeper(bool),
}

/// What the patched function runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    Original,
    Patch(usize),
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    registration: Registration,
    phase: Phase,
}

/// What is to be seen of a livepatch in sysfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) enabled: bool,
    pub(crate) transition: bool,
    pub(crate) stack_order: usize,
}

#[derive(Debug)]
pub(crate) struct Oracle {
    entries: [Option<Entry>; PATCHES],
    /// Those enabled or in transition, in the order in which they were enabled.
    stack: Vec<usize>,
    running: Option<usize>,
    target: bool,
    sleeper: Option<Code>,
}

/// Does the livepatch replace all others? So it is in `test_klp_core_op*.c`.
fn replaces(patch: usize) -> bool {
    patch >= 6
}

/// Does the livepatch have the function that the task sleeps in?
fn has_busy(patch: usize) -> bool {
    patch != 5 && patch != 7
}

impl Op {
    /// Any operation that the oracle can follow.
    pub(crate) fn random(random: &mut fastrand::Rng, oracle: &Oracle) -> Self {
        loop {
            // Few livepatches meet each other more often than many.
            let patch = if random.bool() {
                random.usize(..PATCHES)
            } else {
                random.usize(..3)
            };
            let op = match random.u32(..100) {
                0..20 => Op::Call(patch, Operation::Register),
                20..35 => Op::Call(patch, Operation::Enable),
                35..48 => Op::Call(patch, Operation::Disable),
                48..55 => Op::Call(patch, Operation::Unregister),
                55..68 => Op::Write(patch, true),
                68..80 => Op::Write(patch, false),
                80..82 => Op::Force(patch),
                82..84 => Op::Reload(patch),
                84..87 => Op::Target(!oracle.target),
                87..94 => Op::Sleeper(true),
                _ => Op::Sleeper(false),
            };
            if oracle.can_follow(op) {
                return op;
            }
        }
    }
}

impl Oracle {
    pub(crate) fn new() -> Self {
        Oracle {
            entries: [None; PATCHES],
            stack: Vec::new(),
            running: None,
            target: true,
            sleeper: None,
        }
    }

    fn can_follow(&self, op: Op) -> bool {
        match op {
            // The module of a livepatch that was disabled by force cannot be removed any more.
            Op::Force(patch) => {
                self.running != Some(patch)
                    || (self.phase(patch) == Some(Phase::Enabling) && !replaces(patch))
            }
            // It sleeps in that module.
            Op::Target(_) => self.sleeper.is_none(),
            Op::Sleeper(true) => self.target && self.sleeper.is_none() && self.running.is_none(),
            Op::Sleeper(false) => self.sleeper.is_some(),
            _ => true,
        }
    }

    fn phase(&self, patch: usize) -> Option<Phase> {
        self.entries[patch].map(|entry| entry.phase)
    }

    fn position(&self, patch: usize) -> Option<usize> {
        self.stack.iter().position(|&other| other == patch)
    }

    fn known(&self, patch: usize) -> Option<Known> {
        let entry = self.entries[patch]?;

        Some(Known {
            registration: entry.registration,
            phase: entry.phase,
            other_running: self.running.is_some_and(|running| running != patch),
            covered: self
                .position(patch)
                .is_some_and(|at| at + 1 < self.stack.len()),
        })
    }

    /// What runs of those livepatches that are below this place in the stack.
    fn code_below(&self, place: usize) -> Code {
        let mut below = self.stack[..place].iter().rev();

        below
            .find(|&&patch| has_busy(patch))
            .map_or(Code::Original, |&patch| Code::Patch(patch))
    }

    /// Whether a task in `code` holds up the transition of `patch`.
    fn holds_up(&self, code: Code, patch: usize) -> bool {
        let place = self.position(patch).unwrap_or(0);
        let replaced = replaces(patch)
            && self.phase(patch) == Some(Phase::Enabling)
            && self.stack[..place]
                .iter()
                .any(|&below| code == Code::Patch(below));

        replaced || self.in_the_way(patch) == Some(code)
    }

    /// The code that a task must not run when it gets the target patch state of `patch`.
    fn in_the_way(&self, patch: usize) -> Option<Code> {
        let place = self.position(patch)?;
        let covered = self.stack[place + 1..].iter().any(|&above| has_busy(above));
        // A replacement has a nop for the function while it replaces one that has it.
        let nop = replaces(patch)
            && !has_busy(patch)
            && self.stack[..place].iter().any(|&below| has_busy(below));

        if !has_busy(patch) && !nop {
            return None;
        }
        match self.phase(patch)? {
            Phase::Enabling if covered => None,
            Phase::Enabling => Some(self.code_below(place)),
            _ if nop => Some(Code::Original),
            _ => Some(Code::Patch(patch)),
        }
    }

    /// Performs the operation, and all that follows from it.
    pub(crate) fn perform(&mut self, op: Op) -> Outcome {
        let result = self.step(op);

        if let Some(running) = self.running {
            if !self
                .sleeper
                .is_some_and(|code| self.holds_up(code, running))
            {
                self.complete(running);
            }
        }
        match result {
            Ok(()) => Outcome::Ok,
            Err(errno) => Outcome::Errno(errno),
        }
    }

    fn step(&mut self, op: Op) -> Result<(), i32> {
        match op {
            Op::Call(patch, operation) => self.operate(patch, operation),
            Op::Write(patch, _) | Op::Force(patch) if self.entries[patch].is_none() => Err(ENOENT),
            Op::Write(patch, true) => self.operate(patch, Operation::EnableBySysfs),
            Op::Write(patch, false) => self.operate(patch, Operation::Disable),
            Op::Force(patch) => {
                if self.running != Some(patch) {
                    return Err(EINVAL);
                }
                self.complete(patch);
                Ok(())
            }
            Op::Reload(patch) => match self.entries[patch] {
                None => Ok(()),
                Some(entry) if entry.phase == Phase::Disabled => {
                    self.entries[patch] = None;
                    Ok(())
                }
                Some(_) => Err(EAGAIN),
            },
            Op::Target(there) => {
                self.target = there;
                Ok(())
            }
            Op::Sleeper(true) => {
                self.sleeper = Some(self.code_below(self.stack.len()));
                Ok(())
            }
            Op::Sleeper(false) => {
                self.sleeper = None;
                Ok(())
            }
        }
    }

    fn operate(&mut self, patch: usize, operation: Operation) -> Result<(), i32> {
        let step = decide(operation, self.known(patch)).map_err(|refusal| match refusal {
            Refusal::Unknown | Refusal::Already => EINVAL,
            Refusal::Exists => EEXIST,
            Refusal::Busy | Refusal::Covered | Refusal::InUse => EBUSY,
        })?;

        match step {
            Decision::Admit(Registration::Registered) => {
                self.entries[patch] = Some(Entry {
                    registration: Registration::Registered,
                    phase: Phase::Disabled,
                });
            }
            Decision::Admit(Registration::OneShot) => {
                if self.running.is_some() {
                    return Err(EBUSY);
                }
                self.entries[patch] = Some(Entry {
                    registration: Registration::OneShot,
                    phase: Phase::Disabled,
                });
                self.start(patch, PatchState::Patched);
            }
            Decision::Start(target) => self.start(patch, target),
            Decision::Reverse => {
                let target = match self.phase(patch) {
                    Some(Phase::Enabling) => PatchState::Unpatched,
                    _ => PatchState::Patched,
                };
                self.set_phase(patch, Phase::towards(target));
            }
            Decision::Forget => self.entries[patch] = None,
        }
        Ok(())
    }

    fn start(&mut self, patch: usize, target: PatchState) {
        if target == PatchState::Patched {
            self.stack.push(patch);
        }
        self.set_phase(patch, Phase::towards(target));
        self.running = Some(patch);
    }

    fn set_phase(&mut self, patch: usize, phase: Phase) {
        if let Some(entry) = &mut self.entries[patch] {
            entry.phase = phase;
        }
    }

    fn complete(&mut self, patch: usize) {
        self.running = None;
        if self.phase(patch) == Some(Phase::Enabling) {
            self.set_phase(patch, Phase::settled(PatchState::Patched));
            if replaces(patch) {
                for other in std::mem::replace(&mut self.stack, vec![patch]) {
                    if other != patch {
                        self.detach(other);
                    }
                }
            }
        } else {
            self.stack.retain(|&other| other != patch);
            self.detach(patch);
        }
    }

    fn detach(&mut self, patch: usize) {
        let registered =
            self.entries[patch].filter(|entry| entry.registration == Registration::Registered);

        self.entries[patch] = registered.map(|entry| Entry {
            phase: Phase::settled(PatchState::Unpatched),
            ..entry
        });
    }

    /// What is to be seen in sysfs; `None` if there is nothing.
    pub(crate) fn seen(&self, patch: usize) -> Option<Seen> {
        let phase = self.phase(patch)?;

        Some(Seen {
            enabled: phase.is_enabled(),
            transition: phase.in_transition(),
            stack_order: self.position(patch).map_or(0, |at| at + 1),
        })
    }

    /// What the function that all livepatches have answers; `None` while some tasks run one version
    /// of it and some another.
    pub(crate) fn version(&self) -> Option<usize> {
        (self.target && self.running.is_none())
            .then(|| self.stack.last().map_or(0, |&patch| patch + 1))
    }

    /// What the task answers that sleeps now.
    pub(crate) fn answer(&self) -> Option<usize> {
        self.sleeper.map(|code| match code {
            Code::Original => 0,
            Code::Patch(patch) => patch + 1,
        })
    }

    /// Whether nothing refers to the module of the livepatch.
    pub(crate) fn is_unused(&self, patch: usize) -> bool {
        self.phase(patch)
            .is_none_or(|phase| phase == Phase::Disabled)
    }

    /// What brings everything back to the start.
    pub(crate) fn last_steps(&self) -> Vec<Op> {
        let mut steps = Vec::new();

        if self.sleeper.is_some() {
            steps.push(Op::Sleeper(false));
        }
        if !self.target {
            steps.push(Op::Target(true));
        }
        // A transition ends when the sleeper is gone.
        let disabling = self
            .running
            .filter(|&running| self.phase(running) == Some(Phase::Disabling));
        let replacing = self
            .running
            .filter(|&running| self.phase(running) == Some(Phase::Enabling) && replaces(running));
        let stack = match replacing {
            Some(replacing) => vec![replacing],
            None => self.stack.clone(),
        };
        for &patch in stack
            .iter()
            .rev()
            .filter(|&&patch| disabling != Some(patch))
        {
            steps.push(Op::Write(patch, false));
        }
        steps
    }
}
