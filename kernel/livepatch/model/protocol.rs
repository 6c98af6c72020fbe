// SPDX-License-Identifier: GPL-2.0

//! The order in which a transition changes what tasks and the ftrace handler see.
//!
//! A transition is run by one thread, under `klp_mutex`, while tasks call patched functions, move
//! themselves, fork and exit. What each step does to the kernel is said elsewhere, by those who
//! implement the traits below; the order of the steps, and what a task does by itself, is said
//! here. So the same text is run by the core, by a model checker, which explores what tasks can do
//! between any two steps, and under loom, which explores what the memory model allows. See
//! Documentation/livepatch/proof.rst.
//!
//! The functions that take a [`TransitionOps`] run under `klp_mutex` and may sleep.

use super::phase::PatchState;

/// A task.
pub(crate) trait Task: Copy {
    /// The patch state of the task; `None` outside of transitions.
    fn patch_state(self) -> Option<PatchState>;

    fn set_patch_state(self, patch_state: Option<PatchState>);

    /// Is the task exiting? Then a walk may meet it twice.
    fn is_exiting(self) -> bool;

    /// Has the task yet to move?
    fn is_pending(self) -> bool;

    fn set_pending(self);

    fn clear_pending(self);

    /// Like `is_pending`, and clears the flag. If it was set, what follows is ordered after that:
    /// `TakePending`, which pairs with [`Order::TargetThenPending`].
    fn take_pending(self) -> bool;
}

/// What must be ordered by a barrier.
///
/// The handler has two more, `VersionThenFlag` and `FlagThenState`, in `shim/handler.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The states of the tasks before the flags of the versions, or the handler meets a version in
    /// transition in a task that has no state. Between writes; pairs with `FlagThenState`.
    StatesThenFlags,
    /// The flags of the versions before the stacks that they are put on, or the handler runs a
    /// version for a task that has not been moved to it. Between writes; pairs with
    /// `VersionThenFlag`.
    FlagsThenStacks,
    /// Before the pending flags of the tasks, between writes:
    ///
    /// - the target state, or a task moves to none or to the wrong one;
    /// - the ranges, or a task is checked by those of the other direction;
    /// - the flags of the versions, and their stacks: a task that moves and then calls the handler
    ///   must find them.
    ///
    /// Pairs with `TakePending` and [`Order::SchedPending`].
    TargetThenPending,
    /// The pending flag before the target, the ranges and what the handler reads next. Between
    /// reads; pairs with [`Order::TargetThenPending`].
    SchedPending,
}

/// What all of the kernel shares.
pub(crate) trait System: Copy {
    type Task: Task;

    /// The state that tasks move to; `None` outside of transitions.
    fn target_state(self) -> Option<PatchState>;

    fn set_target_state(self, target: Option<PatchState>);

    /// The barrier for `order`.
    fn barrier(self, order: Order);

    /// Calls `f` with preemption disabled, in a section that [`TransitionOps::synchronize`] waits
    /// for.
    fn preempt_disabled(self, f: impl FnOnce());

    /// Calls [`switch`] in such a section if the stack of the task, which is current or held off
    /// from running, allows that. Returns whether it did.
    fn switch_if_safe(self, task: Self::Task) -> bool;
}

/// What happens to a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Tasks are about to get the state that they start from.
    Initializing(PatchState),
    /// Tasks are about to move.
    Starting(PatchState),
    /// The transition towards this state is about to be reversed.
    Reversing(PatchState),
    /// It was reversed, and goes towards this state.
    Reversed(PatchState),
    /// The patch could not be applied.
    Canceling,
    /// All tasks are in this state.
    Completing(PatchState),
    /// All is done.
    Complete(PatchState),
}

/// What is taken for granted. It not being so is a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assumption {
    /// Before a transition, no task has a patch state.
    NoPatchState,
    /// After it, no task has yet to move.
    NonePending,
}

/// What became of a task that [`TransitionOps::each_task_in_batches`] has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// It was where it should be.
    Passed,
    /// It was moved.
    Moved,
    /// It could not be moved.
    Stays,
}

/// A patch that tasks are moved to, or away from. Under `klp_mutex`; all steps may sleep.
pub(crate) trait TransitionOps {
    type System: System;
    type Error;

    fn system(&self) -> Self::System;

    /// Updates what is known about the patch and its transition, and reports the event.
    fn on_event(&mut self, event: Event);

    /// Complains if `holds` is false.
    fn expect(&self, assumption: Assumption, holds: bool);

    /// Calls `f` for each task, then for the exiting ones, perhaps for the second time, then for
    /// the idle ones. No task is forked while the first are walked; one that is forked later
    /// inherits from a parent that was met. `f` does not sleep.
    ///
    /// An exiting task that is met for the second time must not move itself meanwhile: it does not
    /// leave the kernel, and it never sleeps where `schedule()` would move it.
    fn each_task(&mut self, f: impl FnMut(<Self::System as System>::Task));

    /// Calls `f` for each task. Tasks may be forked and may exit meanwhile. Idle tasks come last;
    /// for them, the second argument tells whether their CPU is offline, and a CPU whose idle task
    /// stays is made to pass its idle loop.
    ///
    /// Returns whether all tasks were met that were there in the beginning.
    fn each_task_in_batches(
        &mut self,
        f: impl FnMut(<Self::System as System>::Task, bool) -> Visit,
    ) -> bool;

    /// Sets or clears the transition flags of all versions of the patch.
    fn flag(&mut self, in_transition: bool);

    /// Calls the `pre_patch` callbacks and puts the versions on their stacks.
    fn apply(&mut self) -> Result<(), Self::Error>;

    /// Calls the `pre_unpatch` callbacks.
    fn prepare_to_revert(&mut self);

    /// Publishes what a task must not be in when it moves to the target state. This cannot fail:
    /// the memory was taken before.
    fn publish_ranges(&mut self);

    /// Takes back what was published.
    fn withdraw_ranges(&mut self);

    /// Has `schedule()` call [`schedule`], or not any more.
    fn hook_scheduler(&mut self, hooked: bool);

    /// Takes the versions of the patch off their stacks.
    fn revert(&mut self);

    /// Takes those of the patches that this one replaces off, if it does that.
    fn revert_replaced(&mut self);

    /// Waits for all who were in the handler, in a stack check or in [`System::preempt_disabled`].
    /// What was taken off or taken back before is not in use any more.
    fn synchronize(&mut self);

    /// Waits for all who were preempted on their way to or from the handler.
    fn synchronize_tasks(&mut self);

    /// Frees what is only needed during the transition.
    fn discard(&mut self);

    /// Calls the `post_patch` or `post_unpatch` callbacks.
    fn run_post_callbacks(&mut self, target: PatchState);

    /// Tasks may be anywhere: what a forced transition to `target` takes off must never be freed.
    fn pin_forced(&mut self, target: PatchState);
}

/// Starts to move all tasks to the patch. On failure nothing has changed.
pub(crate) fn enable<C: TransitionOps>(ops: &mut C) -> Result<(), C::Error> {
    begin(ops, PatchState::Patched);
    ops.system().barrier(Order::FlagsThenStacks);

    if let Err(error) = ops.apply() {
        ops.on_event(Event::Canceling);
        // No task has yet to move, so nobody looks at the target. It says what is done, as ever.
        ops.system().set_target_state(Some(PatchState::Unpatched));
        complete(ops, PatchState::Unpatched);
        return Err(error);
    }
    start(ops, PatchState::Patched);
    Ok(())
}

/// Starts to move all tasks away from the patch.
pub(crate) fn disable<C: TransitionOps>(ops: &mut C) {
    begin(ops, PatchState::Unpatched);
    ops.prepare_to_revert();
    start(ops, PatchState::Unpatched);
}

/// Gives all tasks the state that they start from, which changes nothing for them.
fn begin<C: TransitionOps>(ops: &mut C, target: PatchState) {
    ops.on_event(Event::Initializing(target));
    ops.system().set_target_state(Some(target));

    let from = Some(target.opposite());
    let mut no_patch_state = true;
    ops.each_task(|task| {
        no_patch_state &= match task.patch_state() {
            None => true,
            // It may be met for the second time.
            state => state == from && task.is_exiting(),
        };
        task.set_patch_state(from);
    });
    ops.expect(Assumption::NoPatchState, no_patch_state);

    ops.system().barrier(Order::StatesThenFlags);
    ops.flag(true);
}

/// Lets tasks move to `target`.
fn start<C: TransitionOps>(ops: &mut C, target: PatchState) {
    ops.publish_ranges();
    ops.on_event(Event::Starting(target));

    ops.system().barrier(Order::TargetThenPending);
    ops.each_task(|task| {
        if task.patch_state() != Some(target) {
            task.set_pending();
        }
    });
    ops.hook_scheduler(true);
}

/// Tries to move the tasks that are left. Returns whether all are in the state `target` now:
/// then [`finish`] has to follow.
pub(crate) fn advance<C: TransitionOps>(ops: &mut C, target: PatchState) -> bool {
    let system = ops.system();
    let mut complete = true;

    let met = ops.each_task_in_batches(|task, offline| {
        if task.patch_state() == Some(target) {
            Visit::Passed
        } else if offline {
            // No CPU comes back now, and one that does later returns to nothing that it was in.
            switch(system, task);
            Visit::Moved
        } else if try_switch(system, task) {
            Visit::Moved
        } else {
            complete = false;
            Visit::Stays
        }
    });
    complete && met
}

/// Reverses a transition to `target`.
pub(crate) fn reverse<C: TransitionOps>(ops: &mut C, target: PatchState) {
    ops.on_event(Event::Reversing(target));

    // Nobody starts to move from here on: not by the flag, and not by `advance`, as `klp_mutex` is
    // held.
    ops.each_task(Task::clear_pending);
    // All who saw a flag are done before `start` looks at the tasks: it would give no flag to one
    // that is about to move the other way.
    ops.synchronize();

    let target = target.opposite();
    ops.on_event(Event::Reversed(target));
    ops.system().set_target_state(Some(target));
    start(ops, target);
}

/// Moves all tasks to `target` at once, wherever they are, at the administrator's risk.
pub(crate) fn force<C: TransitionOps>(ops: &mut C, target: PatchState) {
    let system = ops.system();

    ops.each_task(|task| update(system, task));
    ops.pin_forced(target);
}

/// Ends the transition to `target`, after [`advance`] has found all tasks there.
pub(crate) fn finish<C: TransitionOps>(ops: &mut C, target: PatchState) {
    ops.hook_scheduler(false);
    complete(ops, target);
}

fn complete<C: TransitionOps>(ops: &mut C, target: PatchState) {
    ops.on_event(Event::Completing(target));
    ops.withdraw_ranges();

    match target {
        PatchState::Patched => {
            ops.revert_replaced();
            ops.flag(false);
            // The handler must not meet a version in transition in a task that has no state.
            ops.synchronize();
        }
        PatchState::Unpatched => {
            ops.revert();
            // The handler must not meet the versions when their flags are cleared: it would take
            // them for the ones to run.
            ops.synchronize();
            ops.flag(false);
            // No handler can meet a flag now, so the states need no synchronization of their own.
            //
            // Stack checks have seen the tasks that were preempted on their way to the patch. But
            // the callbacks may free what it uses: do as ftrace does when it frees an ops.
            ops.synchronize_tasks();
        }
    }
    ops.discard();

    let mut pending = false;
    ops.each_task(|task| {
        pending |= task.is_pending();
        task.set_patch_state(None);
    });
    ops.expect(Assumption::NonePending, !pending);

    ops.run_post_callbacks(target);
    ops.on_event(Event::Complete(target));
    ops.system().set_target_state(None);
}

/// Moves `task` to the target if it has yet to move.
///
/// By the task itself, when it leaves the kernel and in the idle loop. Any context.
pub(crate) fn update<S: System>(system: S, task: S::Task) {
    system.preempt_disabled(|| {
        if task.take_pending() {
            task.set_patch_state(system.target_state());
        }
    });
}

/// Moves the current task, which goes to sleep, if its stack allows that. Preemption is disabled.
pub(crate) fn schedule<S: System>(system: S, task: S::Task) {
    if task.is_pending() {
        system.barrier(Order::SchedPending);
        try_switch(system, task);
    }
}

/// Gives `child`, which nobody has seen yet, the patch state of its parent, which is current.
///
/// Under `tasklist_lock` for writing, which keeps all walks over parent and child away. Only the
/// parent could move itself meanwhile.
pub(crate) fn inherit<T: Task>(parent: T, child: T) {
    // The flag was copied when the fork began, and the parent may have moved since.
    if parent.is_pending() {
        child.set_pending();
    } else {
        child.clear_pending();
    }
    child.set_patch_state(parent.patch_state());
}

/// Moves a task to the target whose stack was found to allow that.
///
/// A task that is not current sees this by the lock that it was held off by. The two writes need no
/// order: who acts on the flag without that lock does so after `synchronize`.
pub(crate) fn switch<S: System>(system: S, task: S::Task) {
    task.clear_pending();
    task.set_patch_state(system.target_state());
}

/// Returns whether the task is in the target state, perhaps because it was moved there.
fn try_switch<S: System>(system: S, task: S::Task) -> bool {
    task.patch_state() == system.target_state() || system.switch_if_safe(task)
}

/// What a module that comes or goes changes of one patch. Under `klp_mutex`; all steps may sleep.
pub(crate) trait ModuleOps {
    type Error;

    /// Puts the versions for the module on their stacks.
    fn apply(&mut self) -> Result<(), Self::Error>;

    /// Takes them off.
    fn revert(&mut self);

    /// Publishes ranges anew if the patch is in transition.
    fn refresh_ranges(&mut self) -> Result<(), Self::Error>;

    /// As [`TransitionOps::synchronize`].
    fn synchronize(&mut self);

    /// As [`TransitionOps::synchronize_tasks`].
    fn synchronize_tasks(&mut self);
}

/// Applies a patch to a module that is coming and has not run yet. On failure nothing has changed.
pub(crate) fn coming<M: ModuleOps>(ops: &mut M) -> Result<(), M::Error> {
    let applied = ops.apply().and_then(|()| ops.refresh_ranges());

    if applied.is_err() {
        ops.revert();
    }
    // Whoever calls the module next must find the versions, and be seen in its functions. And
    // nobody may still look at what was replaced or reverted.
    ops.synchronize();
    applied
}

/// Takes a patch off a module that is going: callbacks run next, and then its memory goes.
pub(crate) fn going<M: ModuleOps>(ops: &mut M) {
    ops.revert();
    // Without memory the old ranges stay. They are more than needed, which at worst delays tasks.
    let _ = ops.refresh_ranges();
    ops.synchronize();
    ops.synchronize_tasks();
}
