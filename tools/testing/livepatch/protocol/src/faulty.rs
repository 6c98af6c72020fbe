// SPDX-License-Identifier: GPL-2.0

//! The world with a fault in it: wrappers of what is honest, which override one step each.

pub(crate) mod environment;

use crate::{
    fault::Fault,
    implementation::Implementation,
    machine::{
        Machine,
        TaskRef, //
    },
    model::{
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
    },
    module::PatchedModule,
    ranges::{
        is_off_cpu,
        is_safe, //
    },
    transition::{
        NoMemory,
        Transition, //
    },
};
use std::cell::{
    Cell,
    RefCell, //
};

/// The fault in one run of a procedure, and what it has put off there.
pub(crate) struct Seeded<'a> {
    machine: &'a Machine<'a>,
    fault: Fault,
    /// What has been announced last.
    event: Cell<Option<Event>>,
    /// Could the patch not be applied?
    canceled: Cell<bool>,
    /// The walk that is under way.
    pass: Cell<Option<Pass>>,
    /// Patch states of tasks.
    late_states: RefCell<Vec<(usize, Option<PatchState>)>>,
    late_target: Cell<Option<PatchState>>,
}

impl<'a> Seeded<'a> {
    pub(crate) fn new(machine: &'a Machine<'a>, fault: Fault) -> Self {
        Seeded {
            machine,
            fault,
            event: Cell::new(None),
            canceled: Cell::new(false),
            pass: Cell::new(None),
            late_states: RefCell::default(),
            late_target: Cell::new(None),
        }
    }

    /// Is this the walk by which a transition that is over clears flags, and is that left out?
    fn leaves_flags(&self) -> bool {
        // Nothing has been announced yet.
        self.fault == Fault::FlagsStay
            && self.event.get().is_none()
            && self.pass.get() == Some(Pass::ClearPending)
    }

    fn wrap<T>(&'a self, honest: T) -> Faulty<'a, T> {
        Faulty {
            honest,
            seeded: self,
        }
    }
}

/// What is honest, with a fault in it.
#[derive(Clone, Copy)]
pub(crate) struct Faulty<'a, T> {
    honest: T,
    seeded: &'a Seeded<'a>,
}

impl<T> Faulty<'_, T> {
    fn is(&self, fault: Fault) -> bool {
        self.seeded.fault == fault
    }

    /// The fault and the event in which it may show.
    fn now(&self) -> (Fault, Option<Event>) {
        (self.seeded.fault, self.seeded.event.get())
    }
}

impl<'a> Implementation for &'a Seeded<'a> {
    type System = Faulty<'a, &'a Machine<'a>>;
    type Transition = Faulty<'a, Transition<'a>>;
    type PatchedModule = Faulty<'a, PatchedModule<'a>>;

    fn system(self) -> Self::System {
        self.wrap(self.machine)
    }

    fn task(self, id: usize) -> Faulty<'a, TaskRef<'a>> {
        self.wrap(self.machine.task(id))
    }

    fn transition(self, patch: u8, fails: bool) -> Self::Transition {
        self.wrap(Implementation::transition(self.machine, patch, fails))
    }

    fn module(self, patch: u8, fails: bool) -> Self::PatchedModule {
        self.wrap(self.machine.module(patch, fails))
    }

    fn inherit(self, parent: usize, child: usize) {
        let machine = self.machine;

        match self.fault {
            Fault::ForkEarlyFlag => {
                let patch_state = machine.task(parent).patch_state();
                machine.task(child).set_patch_state(patch_state);
            }
            _ => protocol::inherit(self.system(), self.task(parent), self.task(child)),
        }
    }

    fn state_in_handler(self) -> Option<PatchState> {
        self.machine.state_in_handler()
    }
}

impl Task for Faulty<'_, TaskRef<'_>> {
    fn patch_state(self) -> Option<PatchState> {
        self.honest.patch_state()
    }

    fn set_patch_state(self, patch_state: Option<PatchState>) {
        match self.now() {
            (Fault::StatesLate, Some(Event::Initializing(_))) => {
                let mut late = self.seeded.late_states.borrow_mut();
                late.push((self.honest.id, patch_state));
            }
            (Fault::NoIdle, Some(Event::Completing(_))) => {}
            _ => self.honest.set_patch_state(patch_state),
        }
    }

    fn is_pending(self) -> bool {
        self.honest.is_pending()
    }

    fn set_pending(self) {
        self.honest.set_pending();
    }

    fn clear_pending(self) {
        match self.now() {
            (Fault::NoUnpendReverse, Some(Event::Reversing(_))) => {}
            _ if self.seeded.leaves_flags() => {}
            _ => self.honest.clear_pending(),
        }
    }

    fn take_pending(self) -> bool {
        self.honest.take_pending()
    }
}

impl<'a> System for Faulty<'a, &'a Machine<'a>> {
    type Task = Faulty<'a, TaskRef<'a>>;

    fn target_state(self) -> Option<PatchState> {
        self.honest.target_state()
    }

    fn set_target_state(self, target: Option<PatchState>) {
        match self.now() {
            (Fault::TargetLate, Some(Event::Initializing(_))) => {
                self.seeded.late_target.set(target);
            }
            _ => self.honest.set_target_state(target),
        }
    }

    fn pass(self) -> Option<Pass> {
        match self.seeded.fault {
            Fault::ForkUnhelped => None,
            _ => self.honest.pass(),
        }
    }

    fn set_pass(self, pass: Option<Pass>) {
        self.seeded.pass.set(pass);
        if !self.seeded.leaves_flags() {
            self.honest.set_pass(pass);
        }
    }

    fn barrier(self, order: Order) {
        self.honest.barrier(order);
    }

    fn preempt_disabled(self, f: impl FnOnce()) {
        self.honest.preempt_disabled(f);
    }

    fn switch_if_safe(self, task: Self::Task) -> bool {
        let (machine, task) = (self.honest, task.honest);
        let id = task.id;

        match (self.seeded.fault, machine.is_current(id)) {
            (Fault::ScheduleUnchecked, true) => machine.switch_in_steps(task, |_| true),
            (Fault::Unpinned, false) => {
                machine.switch_in_steps(task, |state| is_off_cpu(state, id) && is_safe(state, id))
            }
            _ => machine.switch_if_safe(task),
        }
    }
}

impl<'a> TransitionOps for Faulty<'a, Transition<'a>> {
    type System = Faulty<'a, &'a Machine<'a>>;
    type Error = NoMemory;

    fn system(&self) -> Self::System {
        self.seeded.system()
    }

    fn on_event(&mut self, event: Event) {
        self.seeded.event.set(Some(event));
        if event == Event::Canceling {
            self.seeded.canceled.set(true);
        }
        self.honest.on_event(event);
    }

    fn complain_unless(&self, assumption: Assumption, holds: bool) {
        self.honest.complain_unless(assumption, holds);
    }

    fn synchronize_forks(&mut self) {
        self.honest.synchronize_forks();
    }

    fn each_task(&mut self, mut f: impl FnMut(Faulty<'a, TaskRef<'a>>, bool) -> Visit) {
        let (seeded, machine) = (self.seeded, self.seeded.machine);

        if self.is(Fault::ForceUnlisted) && seeded.pass.get() == Some(Pass::Switch) {
            machine.each_listed(|id| {
                f(seeded.task(id), false);
            });
            machine.each_idle(|id, offline| {
                f(seeded.task(id), offline);
            });
            return;
        }
        self.honest
            .each_task(|task, offline| f(seeded.wrap(task), offline));
        if let (Fault::TargetLate, Some(Event::Starting(_))) = self.now() {
            if let Some(target) = seeded.late_target.take() {
                machine.set_target_state(Some(target));
            }
        }
    }

    fn flag(&mut self, in_transition: bool) {
        match self.now() {
            (Fault::FlagsLate, _) if in_transition => {}
            (Fault::StatesLate, _) if in_transition => {
                self.honest.flag(true);
                for (id, patch_state) in self.seeded.late_states.take() {
                    self.seeded.machine.task(id).set_patch_state(patch_state);
                }
            }
            (Fault::RevertLate, Some(Event::Completing(PatchState::Unpatched))) => {
                self.honest.flag(false);
                self.honest.revert();
            }
            _ => self.honest.flag(in_transition),
        }
    }

    fn apply(&mut self) -> Result<(), NoMemory> {
        match self.seeded.fault {
            Fault::JumpsStay | Fault::JumpsLate => self.honest.push_funcs()?,
            _ => self.honest.apply()?,
        }
        match self.seeded.fault {
            Fault::FlagsLate => self.honest.flag(true),
            Fault::JumpsEarly => self
                .seeded
                .machine
                .jump(|state, func| state.top(func).map(|top| top.patch)),
            _ => {}
        }
        Ok(())
    }

    fn leave_jumps(&mut self) -> Result<(), NoMemory> {
        match self.seeded.fault {
            Fault::JumpsStayDisable | Fault::JumpsLate => Ok(()),
            _ => self.honest.leave_jumps(),
        }
    }

    fn jump(&mut self) {
        self.honest.jump();
    }

    fn prepare_to_revert(&mut self) {
        self.honest.prepare_to_revert();
        if self.is(Fault::FlagsLate) {
            self.honest.flag(true);
        }
    }

    fn publish_ranges(&mut self) {
        match self.now() {
            (Fault::StaleRanges, Some(Event::Reversed(_))) => {}
            _ => self.honest.publish_ranges(),
        }
    }

    fn withdraw_ranges(&mut self) {
        self.honest.withdraw_ranges();
    }

    fn hook_scheduler(&mut self, hooked: bool) {
        self.honest.hook_scheduler(hooked);
        if hooked && self.is(Fault::JumpsLate) {
            let _ = self.honest.leave_jumps();
        }
    }

    fn revert(&mut self) {
        if !self.is(Fault::RevertLate) {
            self.honest.revert();
        }
    }

    fn revert_replaced(&mut self) {
        match self.seeded.fault {
            Fault::ReplacedLate => {}
            Fault::NopsFirst => {
                self.honest.revert_nops();
                self.honest.revert_replaced();
            }
            _ => self.honest.revert_replaced(),
        }
    }

    fn synchronize(&mut self) {
        use PatchState::{
            Patched,
            Unpatched, //
        };

        match self.now() {
            (Fault::NoSyncReverse, Some(Event::Reversing(_)))
            | (Fault::NoSyncPatched, Some(Event::Completing(Patched)))
            | (Fault::NoSyncUnpatched, Some(Event::Completing(Unpatched))) => {}
            (Fault::NoSyncCancel, _) if self.seeded.canceled.get() => {}
            (Fault::ReplacedLate, Some(Event::Completing(Patched))) => {
                self.honest.synchronize();
                self.honest.revert_replaced();
            }
            _ => self.honest.synchronize(),
        }
    }

    fn synchronize_tasks(&mut self) {
        self.honest.synchronize_tasks();
    }

    fn discard(&mut self) {
        self.honest.discard();
    }

    fn run_post_callbacks(&mut self, target: PatchState) {
        self.honest.run_post_callbacks(target);
    }

    fn pin_forced(&mut self, target: PatchState) {
        if !self.is(Fault::ForceFrees) {
            self.honest.pin_forced(target);
        }
    }
}

impl ModuleOps for Faulty<'_, PatchedModule<'_>> {
    type Error = NoMemory;

    fn apply(&mut self) -> Result<(), NoMemory> {
        if !self.is(Fault::ComingUnflagged) {
            return self.honest.apply();
        }
        let (patch, func) = (self.honest.patch, self.honest.func());

        self.seeded.machine.replay.change(|state| {
            state.version(patch, func).flag = false;
            state.push(patch, func);
        });
        Ok(())
    }

    fn revert(&mut self) {
        // Only a module that is refused is one that fails, or is not there.
        let stays = match self.seeded.fault {
            Fault::NoRevertComing => self.honest.fails,
            Fault::NoRevertRefused => !self.honest.fails && self.honest.is_coming(),
            _ => false,
        };
        if !stays {
            self.honest.revert();
        }
    }

    fn refresh_ranges(&mut self) -> Result<(), NoMemory> {
        if self.is(Fault::NoRefreshRanges) && !self.honest.fails {
            return Ok(());
        }
        self.honest.refresh_ranges()
    }

    fn synchronize(&mut self) {
        self.honest.synchronize();
    }

    fn synchronize_tasks(&mut self) {
        self.honest.synchronize_tasks();
    }
}
