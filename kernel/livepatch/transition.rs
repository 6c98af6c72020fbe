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
mod task;

pub(crate) use self::task::HAVE_RELIABLE_STACK;

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
    publish::{
        self,
        Retired, //
    },
    report::{
        self,
        warn_once, //
    },
    shim,
    stack_check::{
        self,
        Ranges, //
    },
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
}

impl Subject<'_> {
    /// The states of the older patches, for callbacks. May sleep.
    fn previous_states(&self) -> Result<KVec<Declared>> {
        state::of_patches(self.older.iter().map(|patch| &*patch.states))
    }

    /// What a task must not be in when it moves to `target`. May sleep.
    fn ranges(&self, target: PatchState) -> Result<KBox<Ranges>> {
        Ranges::collect(self.patch, self.func_stacks, target)
    }
}

/// A transition that is under way.
pub(crate) struct Running {
    pub(crate) patch: PatchId,
    pub(crate) target: PatchState,
    since: Instant<Monotonic>,
    pacing: Pacing,
    /// Ranges of the other direction, which were replaced when the transition was reversed.
    retired: Option<Retired<Ranges>>,
}

/// The transition while `klp_mutex` is held: what its steps work on.
struct Transition<'a, 'b> {
    running: &'a mut Running,
    subject: &'a mut Subject<'b>,
    /// To be published.
    ranges: Option<KBox<Ranges>>,
    /// Were published.
    withdrawn: Option<Retired<Ranges>>,
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
                state::set_previous(None);
                patch.set_phase(Phase::settled(target));
            }
        }
    }

    fn expect(&self, assumption: Assumption, holds: bool) {
        if !holds {
            warn_once!(
                "'{}': assumption {:?} is wrong\n",
                &*self.subject.patch.name,
                assumption
            );
        }
    }

    fn each_task(&mut self, f: impl FnMut(TaskRef)) {
        task::each_task(f);
    }

    fn each_task_in_batches(&mut self, f: impl FnMut(TaskRef, bool) -> Visit) -> bool {
        task::each_task_in_batches(f)
    }

    fn flag(&mut self, in_transition: bool) {
        for func in self.subject.patch.funcs() {
            func.version().set_transition(in_transition);
        }
    }

    fn apply(&mut self) -> Result {
        let Subject {
            patch, func_stacks, ..
        } = &mut *self.subject;

        patch.apply(func_stacks)?;
        self.ranges = Some(self.subject.ranges(self.running.target)?);
        Ok(())
    }

    fn prepare_to_revert(&mut self) {
        self.subject.patch.pre_unpatch();
    }

    fn publish_ranges(&mut self) {
        self.running.retired = Some(stack_check::publish(self.ranges.take()));
    }

    fn withdraw_ranges(&mut self) {
        self.withdrawn = Some(stack_check::publish(None));
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
        } = &mut *self.subject;

        if patch.replaces() {
            patch.revert_replaced(older, func_stacks);
        }
    }

    fn synchronize(&mut self) {
        let retired = [self.withdrawn.take(), self.running.retired.take()];

        synchronize(retired.into_iter().flatten(), self.subject.func_stacks);
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
    let previous = subject.previous_states()?;

    pr_notice!("enabling patch '{}'\n", &*subject.patch.name);
    let mut running = Running::new(subject.patch, PatchState::Patched, previous);
    protocol::enable(&mut running.transition(&mut subject, None))?;
    subject.patch.publish_enabled();
    Ok(running)
}

/// Starts to move all tasks away from the patch. If there is no memory for that, nothing has
/// changed.
pub(crate) fn disable(mut subject: Subject<'_>) -> Result<Running> {
    let previous = subject.previous_states()?;
    let ranges = subject.ranges(PatchState::Unpatched)?;

    let mut running = Running::new(subject.patch, PatchState::Unpatched, previous);
    protocol::disable(&mut running.transition(&mut subject, Some(ranges)));
    subject.patch.publish_enabled();
    Ok(running)
}

impl Running {
    fn new(patch: &Patch, target: PatchState, previous: KVec<Declared>) -> Self {
        state::set_previous(Some(previous));

        Running {
            patch: patch.id,
            target,
            since: Instant::now(),
            pacing: Pacing::new(),
            retired: None,
        }
    }

    fn transition<'a, 'b>(
        &'a mut self,
        subject: &'a mut Subject<'b>,
        ranges: Option<KBox<Ranges>>,
    ) -> Transition<'a, 'b> {
        Transition {
            running: self,
            subject,
            ranges,
            withdrawn: None,
        }
    }

    /// Tries to move the tasks that remain. Returns whether all are in the target state and the
    /// transition is over; otherwise the next try is arranged.
    pub(crate) fn try_complete(&mut self, mut subject: Subject<'_>) -> bool {
        let target = self.target;
        let mut transition = self.transition(&mut subject, None);

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

    /// Reverses the transition. If there is no memory for that, nothing has changed.
    pub(crate) fn reverse(&mut self, mut subject: Subject<'_>) -> Result {
        let target = self.target;
        let ranges = subject.ranges(target.opposite())?;

        protocol::reverse(&mut self.transition(&mut subject, Some(ranges)), target);
        Ok(())
    }

    /// Moves all tasks at once, wherever they are, at the administrator's risk.
    pub(crate) fn force(&mut self, mut subject: Subject<'_>) {
        let target = self.target;

        pr_warn!("forcing remaining tasks to the patched state\n");
        protocol::force(&mut self.transition(&mut subject, None), target);
        shim::retry_in(0);
    }
}

/// Waits for all readers, and frees what they may have used. May sleep.
pub(crate) fn synchronize(
    retired: impl IntoIterator<Item = Retired<Ranges>>,
    func_stacks: &mut FuncStacks,
) {
    let synchronized = publish::synchronize();

    for ranges in retired {
        ranges.free(&synchronized);
    }
    func_stacks.collect(&synchronized);
}
