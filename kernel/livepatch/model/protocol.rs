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
//! The functions that take a [`Change`] run under `klp_mutex` and may sleep.

use super::phase::Target;

/// A task.
pub(crate) trait Task: Copy {
    /// The side that the task is on; `None` outside of transitions.
    fn side(self) -> Option<Target>;

    fn set_side(self, side: Option<Target>);

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
    /// The sides of the tasks before the flags of the versions, or the handler meets a version in
    /// transition with a task that is on no side. Between writes; pairs with `FlagThenState`.
    StatesThenFlags,
    /// The flags of the versions before the stacks that they are put on, or the handler runs a
    /// version for a task that is not on its side. Between writes; pairs with `VersionThenFlag`.
    FlagsThenStacks,
    /// Before the pending flags of the tasks, between writes:
    ///
    /// - the target, or a task moves to no side or to the wrong one;
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

    /// The side that tasks move to; `None` outside of transitions.
    fn target(self) -> Option<Target>;

    fn set_target(self, target: Option<Target>);

    /// The barrier for `order`.
    fn barrier(self, order: Order);

    /// Calls `f` in a section that [`Change::synchronize`] waits for.
    fn undisturbed(self, f: impl FnOnce());

    /// Calls [`switch`] in such a section if the stack of the task, which is current or held off
    /// from running, allows that. Returns whether it did.
    fn switch_if_safe(self, task: Self::Task) -> bool;
}

/// What is told about a transition while it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Tasks are about to get the side that they start from.
    Initializing(Target),
    /// Tasks are about to move.
    Starting(Target),
    /// The transition towards this side is about to turn round.
    Reversing(Target),
    /// It has turned round, towards this side.
    Reversed(Target),
    /// The patch could not be applied.
    Canceling,
    /// All tasks are on this side.
    Completing(Target),
    /// All is done.
    Complete(Target),
}

/// What is taken for granted. It not being so is a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assumption {
    /// Before a transition, no task is on a side.
    NoSide,
    /// After it, no task has yet to move.
    NonePending,
}

/// What became of a task that [`Change::each_task_in_turns`] has come to.
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
pub(crate) trait Change {
    type System: System;
    type Error;

    fn system(&self) -> Self::System;

    fn announce(&mut self, stage: Stage);

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
    fn each_task_in_turns(
        &mut self,
        f: impl FnMut(<Self::System as System>::Task, bool) -> Visit,
    ) -> bool;

    /// Sets or clears the transition flags of all versions of the patch.
    fn flag(&mut self, in_transition: bool);

    /// Calls the `pre_patch` callbacks and puts the versions on their stacks.
    fn apply(&mut self) -> Result<(), Self::Error>;

    /// Calls the `pre_unpatch` callbacks.
    fn prepare_to_revert(&mut self);

    /// Publishes what a task must not be in when it moves to `target`. This cannot fail: the memory
    /// was taken before.
    fn publish_ranges(&mut self, target: Target);

    /// Takes back what was published.
    fn withdraw_ranges(&mut self);

    /// Has `schedule()` call [`schedule`], or not any more.
    fn hook_scheduler(&mut self, hooked: bool);

    /// Takes the versions of the patch off their stacks.
    fn revert(&mut self);

    /// Takes those of the patches that this one replaces off, if it does that.
    fn revert_replaced(&mut self);

    /// Waits for all who were in the handler, in a stack check or in [`System::undisturbed`]. What
    /// was taken off or taken back before is not in use any more.
    fn synchronize(&mut self);

    /// Waits for all who were preempted on their way to or from the handler.
    fn synchronize_tasks(&mut self);

    /// Frees what is only needed during the transition.
    fn discard(&mut self);

    /// Calls the `post_patch` or `post_unpatch` callbacks.
    fn conclude(&mut self, target: Target);

    /// Tasks may be anywhere: what a transition to `target` takes off must never be freed.
    fn keep_for_ever(&mut self, target: Target);
}

/// Starts to move all tasks to the patch. On failure nothing has changed.
pub(crate) fn enable<C: Change>(change: &mut C) -> Result<(), C::Error> {
    begin(change, Target::Patched);
    change.system().barrier(Order::FlagsThenStacks);

    if let Err(error) = change.apply() {
        change.announce(Stage::Canceling);
        // No task has yet to move, so nobody looks at the target. It says what is done, as ever.
        change.system().set_target(Some(Target::Unpatched));
        complete(change, Target::Unpatched);
        return Err(error);
    }
    start(change, Target::Patched);
    Ok(())
}

/// Starts to move all tasks away from the patch.
pub(crate) fn disable<C: Change>(change: &mut C) {
    begin(change, Target::Unpatched);
    change.prepare_to_revert();
    start(change, Target::Unpatched);
}

/// Puts all tasks on the side that they start from, which changes nothing for them.
fn begin<C: Change>(change: &mut C, target: Target) {
    change.announce(Stage::Initializing(target));
    change.system().set_target(Some(target));

    let from = Some(target.opposite());
    let mut no_side = true;
    change.each_task(|task| {
        no_side &= match task.side() {
            None => true,
            // It may be met for the second time.
            side => side == from && task.is_exiting(),
        };
        task.set_side(from);
    });
    change.expect(Assumption::NoSide, no_side);

    change.system().barrier(Order::StatesThenFlags);
    change.flag(true);
}

/// Lets tasks move to `target`.
fn start<C: Change>(change: &mut C, target: Target) {
    change.publish_ranges(target);
    change.announce(Stage::Starting(target));

    change.system().barrier(Order::TargetThenPending);
    change.each_task(|task| {
        if task.side() != Some(target) {
            task.set_pending();
        }
    });
    change.hook_scheduler(true);
}

/// Tries to move the tasks that are left. Returns whether all are on the side of `target` now:
/// then [`finish`] has to follow.
pub(crate) fn advance<C: Change>(change: &mut C, target: Target) -> bool {
    let system = change.system();
    let mut complete = true;

    let met = change.each_task_in_turns(|task, offline| {
        if task.side() == Some(target) {
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

/// Turns a transition to `target` round.
pub(crate) fn reverse<C: Change>(change: &mut C, target: Target) {
    change.announce(Stage::Reversing(target));

    // Nobody starts to move from here on: not by the flag, and not by `advance`, as `klp_mutex` is
    // held.
    change.each_task(Task::clear_pending);
    // All who saw a flag are done before `start` looks at the tasks: it would give no flag to one
    // that is about to move to the other side.
    change.synchronize();

    let target = target.opposite();
    change.announce(Stage::Reversed(target));
    change.system().set_target(Some(target));
    start(change, target);
}

/// Moves all tasks to `target` at once, wherever they are, at the administrator's risk.
pub(crate) fn force<C: Change>(change: &mut C, target: Target) {
    let system = change.system();

    change.each_task(|task| update(system, task));
    change.keep_for_ever(target);
}

/// Ends the transition to `target`, after [`advance`] has found all tasks on its side.
pub(crate) fn finish<C: Change>(change: &mut C, target: Target) {
    change.hook_scheduler(false);
    complete(change, target);
}

fn complete<C: Change>(change: &mut C, target: Target) {
    change.announce(Stage::Completing(target));
    change.withdraw_ranges();

    match target {
        Target::Patched => {
            change.revert_replaced();
            change.flag(false);
            // The handler must not meet a version in transition with a task on no side.
            change.synchronize();
        }
        Target::Unpatched => {
            change.revert();
            // The handler must not meet the versions when their flags are cleared: it would take
            // them for the ones to run.
            change.synchronize();
            change.flag(false);
            // No handler can meet a flag now, so the sides need no synchronization of their own.
            //
            // Stack checks have seen the tasks that were preempted on their way to the patch. But
            // the callbacks may free what it uses: do as ftrace does when it frees an ops.
            change.synchronize_tasks();
        }
    }
    change.discard();

    let mut pending = false;
    change.each_task(|task| {
        pending |= task.is_pending();
        task.set_side(None);
    });
    change.expect(Assumption::NonePending, !pending);

    change.conclude(target);
    change.announce(Stage::Complete(target));
    change.system().set_target(None);
}

/// Moves `task` to the target if it has yet to move.
///
/// By the task itself, when it leaves the kernel and in the idle loop. Any context.
pub(crate) fn update<S: System>(system: S, task: S::Task) {
    system.undisturbed(|| {
        if task.take_pending() {
            task.set_side(system.target());
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

/// Gives `child`, which nobody has seen yet, the side of its parent, which is current.
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
    child.set_side(parent.side());
}

/// Moves a task to the target whose stack was found to allow that.
///
/// A task that is not current sees this by the lock that it was held off by. The two writes need no
/// order: who acts on the flag without that lock does so after `synchronize`.
pub(crate) fn switch<S: System>(system: S, task: S::Task) {
    task.clear_pending();
    task.set_side(system.target());
}

/// Returns whether the task is on the target side, perhaps because it was moved there.
fn try_switch<S: System>(system: S, task: S::Task) -> bool {
    task.side() == system.target() || system.switch_if_safe(task)
}

/// What a module that comes or goes changes of one patch. Under `klp_mutex`; all steps may sleep.
pub(crate) trait Part {
    type Error;

    /// Puts the versions for the module on their stacks.
    fn apply(&mut self) -> Result<(), Self::Error>;

    /// Takes them off.
    fn revert(&mut self);

    /// Publishes ranges anew if the patch is in transition.
    fn refresh_ranges(&mut self) -> Result<(), Self::Error>;

    /// As [`Change::synchronize`].
    fn synchronize(&mut self);

    /// As [`Change::synchronize_tasks`].
    fn synchronize_tasks(&mut self);
}

/// Applies a patch to a module that is coming and has not run yet. On failure nothing has changed.
pub(crate) fn coming<P: Part>(part: &mut P) -> Result<(), P::Error> {
    let applied = part.apply().and_then(|()| part.refresh_ranges());

    if applied.is_err() {
        part.revert();
    }
    // Whoever calls the module next must find the versions, and be seen in its functions. And
    // nobody may still look at what was replaced or reverted.
    part.synchronize();
    applied
}

/// Takes a patch off a module that is going: callbacks run next, and then its memory goes.
pub(crate) fn going<P: Part>(part: &mut P) {
    part.revert();
    // Without memory the old ranges stay. They are more than needed, which at worst delays tasks.
    let _ = part.refresh_ranges();
    part.synchronize();
    part.synchronize_tasks();
}
