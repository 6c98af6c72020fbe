// SPDX-License-Identifier: GPL-2.0

//! A system with one task and one patch, which records what the protocol does to them.

use crate::model::{
    phase::PatchState,
    protocol::{
        self,
        Assumption,
        Event,
        ModuleOps,
        Order,
        Pass,
        System,
        Task,
        TransitionOps,
        Visit, //
    },
};
use core::cell::Cell;

/// A call of a method that changes something, of whichever trait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    // System
    SetTargetState(Option<PatchState>),
    SetPass(Option<Pass>),
    Barrier(Order),
    // Task
    SetPatchState(Option<PatchState>),
    SetPending,
    ClearPending,
    // TransitionOps, ModuleOps
    OnEvent(Event),
    Expect(Assumption, bool),
    SynchronizeForks,
    Flag(bool),
    Apply,
    LeaveJumps,
    Jump,
    PrepareToRevert,
    PublishRanges,
    RefreshRanges,
    WithdrawRanges,
    HookScheduler(bool),
    Revert,
    RevertReplaced,
    Synchronize,
    SynchronizeTasks,
    Discard,
    RunPostCallbacks(PatchState),
    PinForced(PatchState),
}

/// The system and its task.
pub(super) struct Recorder {
    calls: [Cell<Option<Call>>; 48],
    target_state: Cell<Option<PatchState>>,
    pub(super) pass: Cell<Option<Pass>>,
    pub(super) patch_state: Cell<Option<PatchState>>,
    pub(super) pending: Cell<bool>,
    /// The stack of the task is safe.
    pub(super) safe: Cell<bool>,
    /// The CPU of the task is offline.
    pub(super) offline: Cell<bool>,
    /// The patch cannot be applied.
    pub(super) apply_fails: Cell<bool>,
    /// Its functions go on to jump past the handler.
    pub(super) leave_jumps_fails: Cell<bool>,
}

impl Recorder {
    /// Outside of transitions.
    pub(super) fn new() -> Self {
        Recorder {
            calls: [const { Cell::new(None) }; 48],
            target_state: Cell::new(None),
            pass: Cell::new(None),
            patch_state: Cell::new(None),
            pending: Cell::new(false),
            safe: Cell::new(false),
            offline: Cell::new(false),
            apply_fails: Cell::new(false),
            leave_jumps_fails: Cell::new(false),
        }
    }

    /// In mid-transition to `target`; the task has yet to move.
    pub(super) fn in_transition(target: PatchState) -> Self {
        let recorder = Recorder::new();

        recorder.target_state.set(Some(target));
        recorder.patch_state.set(Some(target.opposite()));
        recorder.pending.set(true);
        recorder
    }

    pub(super) fn patch(&self) -> Patch<'_> {
        Patch { recorder: self }
    }

    fn record(&self, call: Call) {
        if let Some(free) = self.calls.iter().find(|place| place.get().is_none()) {
            free.set(Some(call));
        }
    }

    /// Were these all the calls, in this order?
    pub(super) fn calls_are(&self, calls: &[Call]) -> bool {
        self.calls_are_all_of(&[calls])
    }

    /// Were these all the calls, in this order, one list after the other?
    pub(super) fn calls_are_all_of(&self, lists: &[&[Call]]) -> bool {
        self.calls
            .iter()
            .map_while(Cell::get)
            .eq(lists.iter().copied().flatten().copied())
    }

    /// Was this one of the calls?
    pub(super) fn has_call(&self, call: Call) -> bool {
        self.calls.iter().any(|place| place.get() == Some(call))
    }
}

impl Task for &Recorder {
    fn patch_state(self) -> Option<PatchState> {
        self.patch_state.get()
    }

    fn set_patch_state(self, patch_state: Option<PatchState>) {
        self.record(Call::SetPatchState(patch_state));
        self.patch_state.set(patch_state);
    }

    fn is_pending(self) -> bool {
        self.pending.get()
    }

    fn set_pending(self) {
        self.record(Call::SetPending);
        self.pending.set(true);
    }

    fn clear_pending(self) {
        self.record(Call::ClearPending);
        self.pending.set(false);
    }

    fn take_pending(self) -> bool {
        self.pending.replace(false)
    }
}

impl<'a> System for &'a Recorder {
    type Task = &'a Recorder;

    fn target_state(self) -> Option<PatchState> {
        self.target_state.get()
    }

    fn set_target_state(self, target: Option<PatchState>) {
        self.record(Call::SetTargetState(target));
        self.target_state.set(target);
    }

    fn pass(self) -> Option<Pass> {
        self.pass.get()
    }

    fn set_pass(self, pass: Option<Pass>) {
        self.record(Call::SetPass(pass));
        self.pass.set(pass);
    }

    fn barrier(self, order: Order) {
        self.record(Call::Barrier(order));
    }

    fn preempt_disabled(self, f: impl FnOnce()) {
        f();
    }

    fn switch_if_safe(self, task: &'a Recorder) -> bool {
        if self.safe.get() {
            protocol::switch(self, task);
        }
        self.safe.get()
    }
}

/// The patch, for all of the system or for one module.
pub(super) struct Patch<'a> {
    recorder: &'a Recorder,
}

impl<'a> TransitionOps for Patch<'a> {
    type System = &'a Recorder;
    type Error = ();

    fn system(&self) -> &'a Recorder {
        self.recorder
    }

    fn on_event(&mut self, event: Event) {
        self.recorder.record(Call::OnEvent(event));
    }

    fn complain_unless(&self, assumption: Assumption, holds: bool) {
        self.recorder.record(Call::Expect(assumption, holds));
    }

    fn synchronize_forks(&mut self) {
        self.recorder.record(Call::SynchronizeForks);
    }

    fn each_task(&mut self, mut f: impl FnMut(&'a Recorder, bool) -> Visit) {
        f(self.recorder, self.recorder.offline.get());
    }

    fn flag(&mut self, in_transition: bool) {
        self.recorder.record(Call::Flag(in_transition));
    }

    fn apply(&mut self) -> Result<(), ()> {
        self.recorder.record(Call::Apply);
        if self.recorder.apply_fails.get() {
            return Err(());
        }
        Ok(())
    }

    fn leave_jumps(&mut self) -> Result<(), ()> {
        self.recorder.record(Call::LeaveJumps);
        if self.recorder.leave_jumps_fails.get() {
            return Err(());
        }
        Ok(())
    }

    fn jump(&mut self) {
        self.recorder.record(Call::Jump);
    }

    fn prepare_to_revert(&mut self) {
        self.recorder.record(Call::PrepareToRevert);
    }

    fn publish_ranges(&mut self) {
        self.recorder.record(Call::PublishRanges);
    }

    fn withdraw_ranges(&mut self) {
        self.recorder.record(Call::WithdrawRanges);
    }

    fn hook_scheduler(&mut self, hooked: bool) {
        self.recorder.record(Call::HookScheduler(hooked));
    }

    fn revert(&mut self) {
        self.recorder.record(Call::Revert);
    }

    fn revert_replaced(&mut self) {
        self.recorder.record(Call::RevertReplaced);
    }

    fn synchronize(&mut self) {
        self.recorder.record(Call::Synchronize);
    }

    fn synchronize_tasks(&mut self) {
        self.recorder.record(Call::SynchronizeTasks);
    }

    fn discard(&mut self) {
        self.recorder.record(Call::Discard);
    }

    fn run_post_callbacks(&mut self, target: PatchState) {
        self.recorder.record(Call::RunPostCallbacks(target));
    }

    fn pin_forced(&mut self, target: PatchState) {
        self.recorder.record(Call::PinForced(target));
    }
}

impl ModuleOps for Patch<'_> {
    type Error = ();

    fn apply(&mut self) -> Result<(), ()> {
        TransitionOps::apply(self)
    }

    fn revert(&mut self) {
        TransitionOps::revert(self);
    }

    fn refresh_ranges(&mut self) -> Result<(), ()> {
        self.recorder.record(Call::RefreshRanges);
        Ok(())
    }

    fn synchronize(&mut self) {
        TransitionOps::synchronize(self);
    }

    fn synchronize_tasks(&mut self) {
        TransitionOps::synchronize_tasks(self);
    }
}
