// SPDX-License-Identifier: GPL-2.0

//! What each step of the protocol does to the world.

use crate::{
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
    rules::Rule,
    world::{
        link,
        TaskCell,
        World,
        NEW,
        OLD, //
    },
};
use loom::{
    sync::atomic::Ordering::{
        Acquire,
        Relaxed,
        Release,
        SeqCst, //
    },
    thread,
};

impl World {
    pub(crate) fn task(&self, id: usize) -> TaskRef<'_> {
        TaskRef { world: self, id }
    }

    /// `schedule()` of task `id`. Its stack is empty.
    pub(crate) fn schedule(&self, id: usize) {
        self.in_section(id, || protocol::schedule(self, self.task(id)));
    }

    /// Task `id` leaves the kernel.
    pub(crate) fn leave_kernel(&self, id: usize) {
        let actor = Actor {
            world: self,
            who: Who::ExitToUser(id),
        };
        protocol::update(actor, self.task(id));
    }

    /// The last task of the list forks the next one. The flag is copied long before.
    pub(crate) fn fork(&self, parent: usize) -> usize {
        let child = parent + 1;

        self.tasks[child]
            .pending
            .store(self.task(parent).is_pending(), Relaxed);
        let _lock = self
            .rules
            .has(Rule::ForkLock)
            .then(|| self.tasklist_lock.lock().unwrap());
        protocol::inherit(self, self.task(parent), self.task(child));
        self.listed.store(child + 1, Release);
        child
    }

    /// Each task is where it should be or, if it was not forced, will get there. In the end.
    pub(crate) fn expect_no_task_left(&self) {
        let forced = self.forced.load(Relaxed);

        for id in 0..self.listed.load(Relaxed) {
            let there = self.task(id).patch_state() == System::target_state(self);
            let will_be = self.task(id).is_pending() && !forced;
            assert!(there || will_be, "a task is left behind");
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct TaskRef<'a> {
    world: &'a World,
    id: usize,
}

impl TaskRef<'_> {
    fn cell(&self) -> &TaskCell {
        &self.world.tasks[self.id]
    }
}

impl Task for TaskRef<'_> {
    fn patch_state(self) -> Option<PatchState> {
        self.cell().patch_state.load()
    }

    fn set_patch_state(self, patch_state: Option<PatchState>) {
        self.cell().patch_state.store(patch_state);
    }

    fn is_pending(self) -> bool {
        self.cell().pending.load(Relaxed)
    }

    fn set_pending(self) {
        // set_bit() reads and writes at once.
        self.cell().pending.swap(true, Relaxed);
    }

    fn clear_pending(self) {
        self.cell().pending.swap(false, Relaxed);
    }

    fn take_pending(self) -> bool {
        let taken = self.cell().pending.swap(false, Relaxed);
        if taken {
            self.world.rules.fence(Rule::TakePending, SeqCst);
        }
        taken
    }
}

impl<'a> System for &'a World {
    type Task = TaskRef<'a>;

    fn target_state(self) -> Option<PatchState> {
        self.target.load()
    }

    fn set_target_state(self, target: Option<PatchState>) {
        self.target.store(target);
    }

    fn pass(self) -> Option<Pass> {
        self.pass.load().filter(|_| self.rules.has(Rule::ForkHelps))
    }

    fn set_pass(self, pass: Option<Pass>) {
        self.pass.store(pass);
    }

    fn barrier(self, order: Order) {
        match order {
            Order::StatesThenFlags => self.rules.fence(Rule::StatesThenFlags, Release),
            Order::FlagsThenStacks => self.rules.fence(Rule::FlagsThenStacks, Release),
            Order::TargetThenPending => self.rules.fence(Rule::TargetThenPending, Release),
            Order::SchedPending => self.rules.fence(Rule::SchedPending, Acquire),
            Order::ForkThenMove => self.rules.fence(Rule::ForkThenMove, Release),
            Order::MoveThenList => self.rules.fence(Rule::MoveThenList, Acquire),
            Order::TextThenPending => self.fetch_anew(),
            // The other half is on the CPU that calls: `World::is_module_live`.
            Order::LoadThenCall => self.rules.fence(Rule::LoadThenCall, Release),
        }
    }

    fn preempt_disabled(self, f: impl FnOnce()) {
        f();
    }

    fn switch_if_safe(self, task: TaskRef<'a>) -> bool {
        // `Published::read`: an address dependency, of which loom knows nothing.
        let ranges = self.ranges.load(Acquire);
        if ranges == 0 {
            // After a forced transition they may be gone: as `stack_check::check`.
            return false;
        }
        // SAFETY: loom has made sure of that: it is what this is about.
        let of = self.ranges_of[ranges - 1].with(|ranges| unsafe { *ranges });
        assert_eq!(
            of,
            System::target_state(self),
            "the ranges are not for the target"
        );

        protocol::switch(self, task);
        true
    }
}

/// The world for somebody for whom it is not just that of a task in the kernel.
#[derive(Clone, Copy)]
pub(crate) struct Actor<'a> {
    world: &'a World,
    who: Who,
}

#[derive(Clone, Copy)]
enum Who {
    /// This task, which returns to user space.
    ExitToUser(usize),
    /// The worker; `asleep` says whether tasks are, so that they can be moved.
    Worker { asleep: bool },
}

impl<'a> System for Actor<'a> {
    type Task = TaskRef<'a>;

    fn target_state(self) -> Option<PatchState> {
        let target = System::target_state(self.world);

        if let Who::ExitToUser(_) = self.who {
            assert!(target.is_some(), "a task moves to no state");
        }
        target
    }

    fn set_target_state(self, target: Option<PatchState>) {
        System::set_target_state(self.world, target);
    }

    fn pass(self) -> Option<Pass> {
        System::pass(self.world)
    }

    fn set_pass(self, pass: Option<Pass>) {
        System::set_pass(self.world, pass);
    }

    fn barrier(self, order: Order) {
        self.world.barrier(order);
    }

    fn preempt_disabled(self, f: impl FnOnce()) {
        match self.who {
            Who::ExitToUser(id) => self.world.in_section(id, f),
            Who::Worker { .. } => f(),
        }
    }

    fn switch_if_safe(self, task: TaskRef<'a>) -> bool {
        match self.who {
            Who::ExitToUser(_) => self.world.switch_if_safe(task),
            Who::Worker { asleep } => asleep && self.world.switch_if_safe(task),
        }
    }
}

/// A transition.
pub(crate) struct Transition<'a> {
    pub(crate) world: &'a World,
    /// The step before which the task is let go first, counted from 1.
    pause: usize,
    step: usize,
    /// Where the transition goes.
    target: Option<PatchState>,
    /// Ranges that were published so far.
    published: usize,
    /// Whether a pass may move tasks that are asleep: here, all of them.
    pub(crate) asleep: bool,
    /// Whether the patch replaces the older one.
    pub(crate) replaces: bool,
}

impl<'a> Transition<'a> {
    pub(crate) fn new(world: &'a World, pause: usize) -> Self {
        Transition {
            world,
            pause,
            step: 0,
            target: None,
            published: 0,
            asleep: false,
            replaces: false,
        }
    }

    /// The patch of this version goes, or what it is for.
    fn free(&self, version: usize) {
        self.world.versions[version].whole.store(false, Relaxed);
    }

    /// A module has gone, with the version for it.
    pub(crate) fn free_module(&mut self) {
        self.step();
        self.free(NEW);
    }

    /// Frees the ranges that are not published any more: the protocol has waited for their readers.
    pub(crate) fn free_ranges(&mut self) {
        let current = self.world.ranges.load(Relaxed);

        for ranges in (0..self.published).filter(|ranges| ranges + 1 != current) {
            // SAFETY: loom makes sure of that: it is what this is about.
            self.world.ranges_of[ranges].with_mut(|ranges| unsafe { *ranges = None });
        }
    }

    /// Comes before each step.
    fn step(&mut self) {
        self.step += 1;
        if self.step == self.pause {
            thread::yield_now();
        }
    }
}

impl<'a> TransitionOps for Transition<'a> {
    type System = Actor<'a>;
    type Error = ();

    fn system(&self) -> Actor<'a> {
        Actor {
            world: self.world,
            who: Who::Worker {
                asleep: self.asleep,
            },
        }
    }

    fn on_event(&mut self, event: Event) {
        self.step();
        match event {
            Event::Initializing(target) => self.target = Some(target),
            Event::Reversed(target) => {
                self.target = Some(target);
                self.free_ranges();
            }
            _ => {}
        }
    }

    fn complain_unless(&self, assumption: Assumption, holds: bool) {
        assert!(
            holds || !self.world.rules.has(Rule::Assumptions),
            "{assumption:?} does not hold"
        );
    }

    fn synchronize_forks(&mut self) {
        self.step();
        if self.world.rules.has(Rule::SynchronizeForks) {
            drop(self.world.tasklist_lock.lock().unwrap());
        }
    }

    fn each_task(&mut self, mut f: impl FnMut(TaskRef<'a>, bool) -> Visit) {
        self.step();
        // A task comes behind its parent in the list. What it consists of is found by an address
        // dependency, of which loom knows nothing.
        let mut id = 0;
        while id < self.world.listed.load(Acquire) {
            let held_off = self.world.rules.has(Rule::HeldOff) && self.asleep;
            let _held_off = held_off.then(|| self.world.tasks[id].held_off.lock().unwrap());

            f(self.world.task(id), false);
            id += 1;
        }
    }

    fn flag(&mut self, in_transition: bool) {
        self.step();
        self.world.versions[NEW].flag.store(in_transition, Relaxed);
    }

    fn apply(&mut self) -> Result<(), ()> {
        self.step();
        let new = &self.world.versions[NEW];

        new.below.store(self.world.top.load(Relaxed), Relaxed);
        new.whole.store(true, Relaxed);
        self.world.top.store(
            link(Some(NEW)),
            self.world.rules.store_order(Rule::PushThenRead),
        );
        Ok(())
    }

    // What is written to text takes no part in the order of data.
    fn leave_jumps(&mut self) -> Result<(), ()> {
        Ok(())
    }

    fn jump(&mut self) {}

    fn prepare_to_revert(&mut self) {}

    fn publish_ranges(&mut self) {
        self.step();
        let (ranges, target) = (self.published, self.target);

        self.published += 1;
        // SAFETY: As above.
        self.world.ranges_of[ranges].with_mut(|ranges| unsafe { *ranges = target });
        self.world.ranges.store(
            self.published,
            self.world.rules.store_order(Rule::PublishThenRead),
        );
    }

    fn withdraw_ranges(&mut self) {
        self.step();
        self.world.ranges.store(0, Relaxed);
    }

    fn hook_scheduler(&mut self, _hooked: bool) {}

    fn revert(&mut self) {
        self.step();
        // As `FuncStack::remove`: with release.
        let below = self.world.versions[NEW].below.load(Relaxed);
        self.world.top.store(below, Release);
    }

    fn revert_replaced(&mut self) {
        self.step();
        if self.replaces {
            self.world.versions[NEW].below.store(0, Release);
        }
    }

    fn synchronize(&mut self) {
        self.step();
        if self.world.rules.has(Rule::Synchronize) {
            for task in &self.world.tasks {
                drop(task.section.lock().unwrap());
            }
        }
    }

    fn synchronize_tasks(&mut self) {}

    fn discard(&mut self) {
        self.free_ranges();
    }

    fn run_post_callbacks(&mut self, target: PatchState) {
        self.step();
        match target {
            PatchState::Unpatched => self.free(NEW),
            PatchState::Patched if self.replaces => self.free(OLD),
            PatchState::Patched => {}
        }
    }

    fn pin_forced(&mut self, _target: PatchState) {
        // Nobody may have been left out: there may be tasks that never move by themselves.
        self.world.forced.store(true, Relaxed);
    }
}

impl ModuleOps for Transition<'_> {
    type Error = ();

    fn apply(&mut self) -> Result<(), ()> {
        TransitionOps::apply(self)
    }

    fn revert(&mut self) {
        TransitionOps::revert(self);
    }

    fn refresh_ranges(&mut self) -> Result<(), ()> {
        self.target = System::target_state(self.world);
        if self.target.is_some() {
            self.publish_ranges();
        }
        Ok(())
    }

    fn synchronize(&mut self) {
        TransitionOps::synchronize(self);
    }

    fn synchronize_tasks(&mut self) {}
}
