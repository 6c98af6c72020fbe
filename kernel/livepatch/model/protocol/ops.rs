// SPDX-License-Identifier: GPL-2.0

//! The steps of a transition: what is to be done to the kernel, or to what stands for it.

use crate::model::phase::PatchState;

/// A task.
pub(crate) trait Task: Copy {
    /// The patch state of the task; `None` outside of transitions.
    fn patch_state(self) -> Option<PatchState>;

    fn set_patch_state(self, patch_state: Option<PatchState>);

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
    /// The call sites before the pending flags of the tasks, or a task that has moved runs the
    /// original function: by an instruction that its CPU had fetched before. No barrier between
    /// reads orders fetches, so this is one for all CPUs, whatever they are doing.
    TextThenPending,
    /// The pending flag before the target, the ranges and what the handler reads next. Between
    /// reads; pairs with [`Order::TargetThenPending`].
    SchedPending,
    /// The tasks that a task has forked before its own move, or a walk finds it there and misses a
    /// child that has yet to move. Between writes; pairs with [`Order::MoveThenList`], as does
    /// `TakePending`.
    ForkThenMove,
    /// Where a task is before who comes behind it in the list. Between reads; pairs with
    /// [`Order::ForkThenMove`].
    MoveThenList,
    /// The versions and the ranges for a module before its code runs, or a call of the module runs
    /// the original function, or is not found on a stack. Who calls the module has no barrier to
    /// pair with: this is one for all CPUs, whatever they are doing.
    LoadThenCall,
}

/// What a walk over all tasks does to each of them.
///
/// It is public while the walk is under way. A task that is forked meanwhile may not be met, and
/// gets the same from the fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pass {
    SetPatchState(Option<PatchState>),
    /// Sets the flag of those that are not in this state.
    SetPending(PatchState),
    ClearPending,
    /// Calls [`switch`](super::switch), wherever they are.
    Switch,
}

impl Pass {
    /// All that can be under way, `None` for no walk, in the order of their numbers.
    const ALL: [Option<Self>; 8] = [
        None,
        Some(Pass::SetPatchState(None)),
        Some(Pass::SetPatchState(Some(PatchState::Unpatched))),
        Some(Pass::SetPatchState(Some(PatchState::Patched))),
        Some(Pass::SetPending(PatchState::Unpatched)),
        Some(Pass::SetPending(PatchState::Patched)),
        Some(Pass::ClearPending),
        Some(Pass::Switch),
    ];

    /// The number by which a pass is public; 0 for no walk.
    pub(crate) fn number(pass: Option<Self>) -> usize {
        let number = Self::ALL.iter().position(|&other| other == pass);

        number.unwrap_or(0)
    }

    /// The pass of this [`Pass::number`].
    pub(crate) fn from_number(number: usize) -> Option<Self> {
        Self::ALL.get(number).copied().flatten()
    }
}

/// What all of the kernel shares.
pub(crate) trait System: Copy {
    type Task: Task;

    /// The state that tasks move to; `None` outside of transitions.
    fn target_state(self) -> Option<PatchState>;

    fn set_target_state(self, target: Option<PatchState>);

    /// What the walk that is under way does to each task.
    fn pass(self) -> Option<Pass>;

    fn set_pass(self, pass: Option<Pass>);

    /// The barrier for `order`.
    fn barrier(self, order: Order);

    /// Calls `f` with preemption disabled, in a section that [`TransitionOps::synchronize`] waits
    /// for.
    fn preempt_disabled(self, f: impl FnOnce());

    /// Calls [`switch`](super::switch) in such a section if the stack of the task, which is current
    /// or held off from running and not in [`inherit`](super::inherit), allows that. Returns
    /// whether it did.
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
    /// When it is found to be over, all tasks are in its target state.
    AllMoved,
    /// After it, no task has yet to move.
    NonePending,
}

/// What became of a task that [`TransitionOps::each_task`] has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Visit {
    /// It was where it should be.
    Passed,
    /// It was moved.
    Moved,
    /// It could not be moved.
    Stays,
}

/// The tasks of a transition.
pub(crate) type TaskOf<C> = <<C as TransitionOps>::System as System>::Task;

/// A patch that tasks are moved to, or away from. Under `klp_mutex`; all steps may sleep.
pub(crate) trait TransitionOps {
    type System: System;
    type Error;

    fn system(&self) -> Self::System;

    /// Updates what is known about the patch and its transition, and reports the event.
    fn on_event(&mut self, event: Event);

    /// Complains if `holds` is false.
    fn complain_unless(&self, assumption: Assumption, holds: bool);

    /// Waits for all forks that are in [`inherit`](super::inherit), or have been there, until their
    /// tasks can be met.
    fn synchronize_forks(&mut self);

    /// Calls `f` for each task that there is, then for the exiting ones, then for the idle ones. A
    /// task may be met twice. Tasks are forked and exit meanwhile: one that is forked is met if its
    /// parent is met later, but for the children of a thread that has become the leader of its
    /// process meanwhile, has returned to user space since then and so has moved. `f` does not
    /// sleep.
    ///
    /// For an idle task, the second argument tells whether its CPU is offline, and a CPU whose idle
    /// task stays is made to pass its idle loop.
    fn each_task(&mut self, f: impl FnMut(TaskOf<Self>, bool) -> Visit);

    /// Sets or clears the transition flags of all versions of the patch.
    fn flag(&mut self, in_transition: bool);

    /// Calls the `pre_patch` callbacks, does as [`TransitionOps::leave_jumps`] and puts the
    /// versions on their stacks.
    fn apply(&mut self) -> Result<(), Self::Error>;

    /// Has all calls of the patch's functions come to the handler, on all CPUs: they may jump past
    /// it.
    fn leave_jumps(&mut self) -> Result<(), Self::Error>;

    /// Lets calls jump to the newest version where all tasks run that. They need not.
    fn jump(&mut self);

    /// Calls the `pre_unpatch` callbacks.
    fn prepare_to_revert(&mut self);

    /// Publishes what a task must not be in when it moves to the target state. This cannot fail:
    /// the memory was taken before.
    fn publish_ranges(&mut self);

    /// Takes back what was published.
    fn withdraw_ranges(&mut self);

    /// Has `schedule()` call [`schedule`](super::schedule), or not any more.
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
