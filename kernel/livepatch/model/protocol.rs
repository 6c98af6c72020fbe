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

mod ops;

pub(crate) use self::ops::{
    Assumption,
    Event,
    ModuleOps,
    Order,
    Pass,
    System,
    Task,
    TaskOf,
    TransitionOps,
    Visit, //
};

use super::phase::PatchState;

/// Starts to move all tasks to the patch. On failure nothing has changed.
pub(crate) fn enable<C: TransitionOps>(ops: &mut C) -> Result<(), C::Error> {
    begin(ops, PatchState::Patched);
    ops.system().barrier(Order::FlagsThenStacks);

    if let Err(error) = ops.apply() {
        ops.on_event(Event::Canceling);
        // No task has yet to move, so nobody looks at the target. It says what is done, as ever.
        ops.system().set_target_state(Some(PatchState::Unpatched));
        cancel(ops);
        return Err(error);
    }
    start(ops, PatchState::Patched);
    Ok(())
}

/// Starts to move all tasks away from the patch. On failure nothing has changed.
pub(crate) fn disable<C: TransitionOps>(ops: &mut C) -> Result<(), C::Error> {
    ops.leave_jumps()?;
    begin(ops, PatchState::Unpatched);
    ops.prepare_to_revert();
    start(ops, PatchState::Unpatched);
    Ok(())
}

/// Gives all tasks the state that they start from, which changes nothing for them.
fn begin<C: TransitionOps>(ops: &mut C, target: PatchState) {
    ops.on_event(Event::Initializing(target));
    ops.system().set_target_state(Some(target));

    let from = Some(target.opposite());
    let mut no_patch_state = true;
    walk(ops, Pass::SetPatchState(from), |task| {
        let state = task.patch_state();
        // It may be met for the second time, or was forked meanwhile.
        no_patch_state &= state.is_none() || state == from;
    });
    ops.complain_unless(Assumption::NoPatchState, no_patch_state);

    ops.system().barrier(Order::StatesThenFlags);
    ops.flag(true);
}

/// Lets tasks move to `target`.
fn start<C: TransitionOps>(ops: &mut C, target: PatchState) {
    ops.publish_ranges();
    ops.on_event(Event::Starting(target));

    ops.system().barrier(Order::TextThenPending);
    ops.system().barrier(Order::TargetThenPending);
    walk(ops, Pass::SetPending(target), |_| ());
    ops.hook_scheduler(true);
}

/// Does `pass` to all tasks, those that are forked meanwhile too; `look` is called before that with
/// those that are met.
fn walk<C: TransitionOps>(ops: &mut C, pass: Pass, mut look: impl FnMut(TaskOf<C>)) {
    let system = ops.system();

    system.set_pass(Some(pass));
    // Who forks from here on knows of the pass. The tasks of all others can be met.
    ops.synchronize_forks();
    ops.each_task(|task, _| {
        look(task);
        visit(system, pass, task);
        Visit::Passed
    });
    // Who forks from here on finds what was done to the parent.
    ops.synchronize_forks();
    system.set_pass(None);
}

/// Does `pass` to one task.
fn visit<S: System>(system: S, pass: Pass, task: S::Task) {
    match pass {
        Pass::SetPatchState(patch_state) => task.set_patch_state(patch_state),
        Pass::SetPending(target) => {
            if task.patch_state() != Some(target) {
                task.set_pending();
            }
        }
        Pass::ClearPending => task.clear_pending(),
        Pass::Switch => switch(system, task),
    }
}

/// Tries to move the tasks that are left. Returns whether all are in the state `target` now:
/// then [`finish`] has to follow.
pub(crate) fn advance<C: TransitionOps>(ops: &mut C, target: PatchState) -> bool {
    let system = ops.system();
    let mut complete = true;

    // The child of a task that stays may not be met: the transition is not complete then.
    ops.each_task(|task, offline| {
        if has_moved(system, task, Some(target)) {
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
    complete
}

/// Reverses a transition to `target`.
pub(crate) fn reverse<C: TransitionOps>(ops: &mut C, target: PatchState) {
    ops.on_event(Event::Reversing(target));

    // Nobody starts to move from here on: not by the flag, and not by `advance`, as `klp_mutex` is
    // held.
    walk(ops, Pass::ClearPending, |_| ());
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
    walk(ops, Pass::Switch, |_| ());
    ops.pin_forced(target);
}

/// Ends the transition to `target`, after [`advance`] has found all tasks there.
pub(crate) fn finish<C: TransitionOps>(ops: &mut C, target: PatchState) {
    ops.hook_scheduler(false);

    // Nobody is left who needs a flag. But a task has one that moved by itself just before `start`
    // gave it one, and so have those that it has forked: they would act on it in the next
    // transition.
    let mut all_moved = true;
    walk(ops, Pass::ClearPending, |task| {
        all_moved &= task.patch_state() == Some(target);
    });
    ops.complain_unless(Assumption::AllMoved, all_moved);

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
            take_off(ops);
            // No handler can meet a flag now, so the states need no synchronization of their own.
            //
            // Stack checks have seen the tasks that were preempted on their way to the patch, or in
            // it. But not those in a part of it that a replacement has jumped to, as a compiler
            // makes it of a call at the end, or of a branch that is hardly ever taken.
            ops.synchronize_tasks();
        }
    }
    settle(ops, target);
}

/// Gives a patch up that could not be applied. No task has moved to it, so that none can be on its
/// way to what the callbacks may free.
fn cancel<C: TransitionOps>(ops: &mut C) {
    ops.on_event(Event::Completing(PatchState::Unpatched));
    take_off(ops);
    settle(ops, PatchState::Unpatched);
}

/// Takes the versions of the patch off their stacks, and out of transition.
fn take_off<C: TransitionOps>(ops: &mut C) {
    ops.revert();
    // The handler must not meet the versions when their flags are cleared: it would take them for
    // the ones to run.
    ops.synchronize();
    ops.flag(false);
}

/// Nothing is left of the transition to `target` but the states of the tasks.
fn settle<C: TransitionOps>(ops: &mut C, target: PatchState) {
    ops.discard();

    let mut pending = false;
    walk(ops, Pass::SetPatchState(None), |task| {
        pending |= task.is_pending();
    });
    ops.complain_unless(Assumption::NonePending, !pending);

    ops.run_post_callbacks(target);
    ops.on_event(Event::Complete(target));
    ops.system().set_target_state(None);
    ops.jump();
}

/// Moves `task` to the target if it has yet to move. Returns whether it had.
///
/// By the task itself, when it leaves the kernel and in the idle loop. Any context.
pub(crate) fn update<S: System>(system: S, task: S::Task) -> bool {
    let mut moved = false;

    system.preempt_disabled(|| {
        if task.take_pending() {
            task.set_patch_state(system.target_state());
            moved = true;
        }
    });
    moved
}

/// Moves the current task, which goes to sleep, if its stack allows that. Preemption is disabled.
pub(crate) fn schedule<S: System>(system: S, task: S::Task) {
    if task.is_pending() {
        system.barrier(Order::SchedPending);
        try_switch(system, task);
    }
}

/// Gives `child`, which nobody has seen yet, the patch state of its parent, which is current, and
/// what the walk does that is under way and may not meet the child.
///
/// Under `tasklist_lock` for writing, which keeps [`TransitionOps::synchronize_forks`] from its
/// end; and, if the parent can be preempted under it, [`System::switch_if_safe`] from the parent.
pub(crate) fn inherit<S: System>(system: S, parent: S::Task, child: S::Task) {
    // The flag was copied when the fork began, and the parent may have moved since.
    if parent.is_pending() {
        child.set_pending();
    } else {
        child.clear_pending();
    }
    child.set_patch_state(parent.patch_state());

    if let Some(pass) = system.pass() {
        visit(system, pass, child);
    }
}

/// Moves a task to the target whose stack was found to allow that.
///
/// A task that is not current sees this by the lock that it was held off by. The two writes need no
/// order: who acts on the flag without that lock does so after `synchronize`.
pub(crate) fn switch<S: System>(system: S, task: S::Task) {
    task.clear_pending();
    system.barrier(Order::ForkThenMove);
    task.set_patch_state(system.target_state());
}

/// Returns whether the task is in the target state, perhaps because it was moved there.
fn try_switch<S: System>(system: S, task: S::Task) -> bool {
    has_moved(system, task, system.target_state()) || system.switch_if_safe(task)
}

/// Is the task in the state `target`, which is where it is to be moved?
fn has_moved<S: System>(system: S, task: S::Task, target: Option<PatchState>) -> bool {
    if task.patch_state() != target {
        return false;
    }
    // A walk goes on to those that the task has forked before it moved.
    system.barrier(Order::MoveThenList);
    true
}

/// Applies a patch to a module that is coming and has not run yet. On failure nothing has changed.
///
/// When all patches are applied, [`loaded`] has to follow. Nobody is waited for: what is replaced
/// has to be kept until a later synchronization.
pub(crate) fn coming<M: ModuleOps>(ops: &mut M) -> Result<(), M::Error> {
    let applied = ops.apply().and_then(|()| ops.refresh_ranges());

    if applied.is_err() {
        ops.revert();
    }
    applied
}

/// Lets a module run to which all patches were applied.
pub(crate) fn loaded<S: System>(system: S) {
    system.barrier(Order::LoadThenCall);
}

/// Takes a patch off a module that is refused, and has not run: nobody can be on the way to what is
/// taken off. As for [`coming`].
pub(crate) fn refused<M: ModuleOps>(ops: &mut M) {
    ops.revert();
    // Without memory the old ranges stay. They are more than needed, which at worst delays tasks.
    let _ = ops.refresh_ranges();
}

/// Takes a patch off a module that is going: callbacks run next, and then its memory goes.
pub(crate) fn going<M: ModuleOps>(ops: &mut M) {
    refused(ops);
    ops.synchronize();
    ops.synchronize_tasks();
}
