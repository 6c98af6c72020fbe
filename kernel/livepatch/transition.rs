// SPDX-License-Identifier: GPL-2.0

//! Moving every task from one patch state to the other.
//!
//! A task has a state, `patch_state`, and a flag, `TIF_PATCH_PENDING`, which says that it has yet
//! to move. It moves when it leaves the kernel, in the idle loop, in `schedule()` if it is a
//! kthread that can be frozen, or when a pass over all tasks finds it asleep with a stack that is
//! free of the code in question. The target that tasks move to is global.
//!
//! What is done in which order is said in `model/protocol.rs`; here is what each step does to the
//! kernel. Everything in this file runs under `klp_mutex`.

mod hooks;
mod look;
mod task;

pub(crate) use self::{
    look::{
        Reason,
        Straggler,
        Stragglers, //
    },
    task::HAVE_RELIABLE_STACK, //
};

use self::task::{
    Kernel,
    TaskRef, //
};
use crate::{
    func_stacks::FuncStacks,
    model::{
        pacing::{
            Pacing,
            Signal, //
        },
        phase::{
            PatchState,
            Phase, //
        },
        protocol::{
            self,
            Assumption,
            Event,
            TransitionOps,
            Visit, //
        },
    },
    patch::{
        Patch,
        PatchId, //
    },
    publish,
    report::{
        self,
        warn_once, //
    },
    shim,
    stack_check::SpareRanges,
    state::{
        self,
        Declared, //
    },
};
use kernel::{
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    },
};

/// The patch that a transition is about, and what it changes beside it.
pub(crate) struct Subject<'a> {
    pub(crate) patch: &'a mut Patch,
    /// The patches that were enabled before; all of them are replaced if `patch` does that.
    pub(crate) older: &'a mut [Patch],
    pub(crate) func_stacks: &'a mut FuncStacks,
    pub(crate) spare_ranges: &'a mut SpareRanges,
}

impl Subject<'_> {
    /// The states of the older patches, for callbacks.
    fn previous_states(&self) -> impl Iterator<Item = &[Declared]> + Clone {
        self.older.iter().map(|patch| &*patch.states)
    }
}

/// A transition that is under way.
pub(crate) struct Running {
    pub(crate) patch: PatchId,
    pub(crate) target: PatchState,
    /// Of the present direction.
    pub(crate) since: Instant<Monotonic>,
    pub(crate) pacing: Pacing,
    pub(crate) reversals: u32,
    pub(crate) forced: bool,
}

/// The transition while `klp_mutex` is held: what its steps work on.
struct Transition<'a, 'b> {
    running: &'a mut Running,
    subject: &'a mut Subject<'b>,
}

impl TransitionOps for Transition<'_, '_> {
    type System = Kernel;
    type Error = Error;

    fn system(&self) -> Kernel {
        Kernel
    }

    fn on_event(&mut self, event: Event) {
        let patch = &mut *self.subject.patch;

        match event {
            Event::Initializing(target) => {
                patch.set_phase(Phase::towards(target));
                patch.publish_transition(true);
                report::initializing(&patch.name, target);
            }
            Event::Starting(target) => {
                self.running.since = Instant::now();
                self.running.pacing = Pacing::new();
                report::starting(&patch.name, target);
            }
            Event::Reversing(target) => report::reversing(&patch.name, target),
            Event::Reversed(target) => {
                self.running.target = target;
                self.running.reversals = self.running.reversals.saturating_add(1);
                patch.set_phase(Phase::towards(target));
                patch.publish_enabled();
            }
            Event::Canceling => {
                pr_warn!("failed to enable patch '{}'\n", &*patch.name);
                report::canceling(&patch.name);
            }
            Event::Completing(target) => report::completing(&patch.name, target),
            Event::Complete(target) => {
                report::complete(&patch.name, target);
                state::forget_previous();
                patch.set_phase(Phase::settled(target));
                patch.publish_transition(false);
            }
        }
    }

    fn complain_unless(&self, assumption: Assumption, holds: bool) {
        if !holds {
            warn_once!(
                "'{}': assumption {:?} is wrong\n",
                &*self.subject.patch.name,
                assumption
            );
        }
    }

    fn synchronize_forks(&mut self) {
        shim::synchronize_forks();
    }

    fn each_task(&mut self, f: impl FnMut(TaskRef, bool) -> Visit) {
        task::each_task(f);
    }

    fn flag(&mut self, in_transition: bool) {
        for func in self.subject.patch.funcs() {
            func.set_transition(in_transition);
        }
    }

    fn apply(&mut self) -> Result {
        let Subject {
            patch,
            func_stacks,
            spare_ranges,
            ..
        } = &mut *self.subject;

        patch.apply(func_stacks)?;
        spare_ranges.reserve(patch, func_stacks)
    }

    fn leave_jumps(&mut self) -> Result {
        let Subject {
            patch, func_stacks, ..
        } = &mut *self.subject;

        patch.leave_jumps(func_stacks)
    }

    fn jump(&mut self) {
        self.subject.func_stacks.jump();
    }

    fn prepare_to_revert(&mut self) {
        self.subject.patch.pre_unpatch();
    }

    fn publish_ranges(&mut self) {
        let Subject {
            patch,
            func_stacks,
            spare_ranges,
            ..
        } = &mut *self.subject;

        spare_ranges.publish(patch, func_stacks, self.running.target);
    }

    fn withdraw_ranges(&mut self) {
        self.subject.spare_ranges.withdraw();
    }

    fn hook_scheduler(&mut self, hooked: bool) {
        shim::hook_scheduler(hooked);
    }

    fn revert(&mut self) {
        let Subject {
            patch, func_stacks, ..
        } = &mut *self.subject;

        patch.revert(func_stacks);
    }

    fn revert_replaced(&mut self) {
        let Subject {
            patch,
            older,
            func_stacks,
            ..
        } = &mut *self.subject;

        if patch.replaces() {
            patch.revert_replaced(older, func_stacks);
        }
    }

    fn synchronize(&mut self) {
        synchronize(self.subject.func_stacks, self.subject.spare_ranges);
    }

    fn synchronize_tasks(&mut self) {
        shim::synchronize_tasks();
    }

    fn discard(&mut self) {
        self.subject.patch.discard_nops();
    }

    fn run_post_callbacks(&mut self, target: PatchState) {
        match target {
            PatchState::Patched => self.subject.patch.post_patch(),
            PatchState::Unpatched => self.subject.patch.post_unpatch(),
        }
    }

    fn pin_forced(&mut self, target: PatchState) {
        let Subject { patch, older, .. } = &mut *self.subject;

        match target {
            PatchState::Unpatched => patch.pin_forced(),
            PatchState::Patched if patch.replaces() => {
                older.iter_mut().for_each(Patch::pin_forced);
            }
            PatchState::Patched => {}
        }
    }
}

/// Starts to move all tasks to the patch. If that fails, nothing has changed.
pub(crate) fn enable(mut subject: Subject<'_>) -> Result<Running> {
    // Those of the patch itself count when a later one is in transition.
    let states = Iterator::chain(subject.previous_states(), [&*subject.patch.states]);
    state::reserve_previous(states.map(<[_]>::len).sum())?;

    pr_notice!("enabling patch '{}'\n", &*subject.patch.name);
    let mut running = Running::new(&subject, PatchState::Patched);
    protocol::enable(&mut running.transition(&mut subject))?;
    subject.patch.publish_enabled();
    Ok(running)
}

/// Starts to move all tasks away from the patch. Needs no memory. Fails only if ftrace has shut
/// down; then nothing has changed.
pub(crate) fn disable(mut subject: Subject<'_>) -> Result<Running> {
    let mut running = Running::new(&subject, PatchState::Unpatched);

    protocol::disable(&mut running.transition(&mut subject))
        .inspect_err(|_| state::forget_previous())?;
    subject.patch.publish_enabled();
    Ok(running)
}

impl Running {
    fn new(subject: &Subject<'_>, target: PatchState) -> Self {
        state::set_previous(subject.previous_states());

        Running {
            patch: subject.patch.id,
            target,
            since: Instant::now(),
            pacing: Pacing::new(),
            reversals: 0,
            forced: false,
        }
    }

    fn transition<'a, 'b>(&'a mut self, subject: &'a mut Subject<'b>) -> Transition<'a, 'b> {
        Transition {
            running: self,
            subject,
        }
    }

    /// Tries to move the tasks that remain. Returns whether all are in the target state and the
    /// transition is over; otherwise the next try is arranged.
    pub(crate) fn try_complete(&mut self, mut subject: Subject<'_>) -> bool {
        let target = self.target;
        let mut transition = self.transition(&mut subject);

        if protocol::advance(&mut transition, target) {
            protocol::finish(&mut transition, target);
            return true;
        }

        let elapsed_ms = self.since.elapsed().as_millis().max(0) as u64;
        let retry = self.pacing.retry(elapsed_ms);

        if retry.signal == Signal::First {
            pr_notice!("signaling remaining tasks\n");
        }
        if retry.signal != Signal::No {
            task::signal();
        }
        shim::retry_in(retry.pause_ms);
        false
    }

    /// Finds out who has yet to move, and why the first `most` of them have not. May sleep.
    pub(crate) fn stragglers(&self, most: usize) -> Result<Stragglers> {
        Stragglers::find(self.target, most)
    }

    /// Reverses the transition. Needs no memory.
    pub(crate) fn reverse(&mut self, mut subject: Subject<'_>) {
        let target = self.target;

        protocol::reverse(&mut self.transition(&mut subject), target);
    }

    /// Moves all tasks at once, wherever they are, at the administrator's risk.
    pub(crate) fn force(&mut self, mut subject: Subject<'_>) {
        let target = self.target;

        self.forced = true;
        report::forcing(&subject.patch.name, target);
        protocol::force(&mut self.transition(&mut subject), target);
        shim::retry_in(0);
    }
}

/// Lets a module run to which all patches were applied.
pub(crate) fn loaded() {
    protocol::loaded(Kernel);
}

/// Waits for all readers, and takes back what they may have used. May sleep.
pub(crate) fn synchronize(func_stacks: &mut FuncStacks, spare_ranges: &mut SpareRanges) {
    let synchronized = publish::synchronize();

    func_stacks.collect(&synchronized);
    spare_ranges.collect(&synchronized);
}
