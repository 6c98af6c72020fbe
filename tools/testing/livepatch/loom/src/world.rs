// SPDX-License-Identifier: GPL-2.0

//! One patched function, two patches and a few tasks, in loom's memory.
//!
//! Barriers are fences of the strength that C11 has for them: `smp_wmb()` is a release fence, which
//! orders earlier writes before later ones for a reader with an acquire fence, which is `smp_rmb()`.

use crate::model::{
    choice::{
        self,
        Stacked, //
    },
    phase::PatchState,
    protocol::{
        self,
        Assumption,
        Event,
        ModuleOps,
        Order,
        System,
        Task,
        TransitionOps,
        Visit, //
    },
};
use loom::{
    cell::UnsafeCell,
    sync::{
        atomic::{
            fence,
            AtomicBool,
            AtomicUsize,
            Ordering::{
                self,
                Acquire,
                Relaxed,
                Release,
                SeqCst, //
            }, //
        },
        Mutex, //
    },
    thread,
};

/// What keeps the protocol in order. Each can be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Barriers of `protocol.rs`.
    StatesThenFlags,
    FlagsThenStacks,
    TargetThenPending,
    SchedPending,
    /// That of `test_and_clear_tsk_thread_flag()`.
    TakePending,
    /// Those of the handler.
    VersionThenFlag,
    FlagThenState,
    /// The release stores of `FuncStack::push` and `Published::replace`.
    PushThenRead,
    PublishThenRead,
    /// `TransitionOps::synchronize`.
    Synchronize,
    /// Preemption is disabled in the handler, in `update` and in `schedule`.
    Preemption,
    /// `tasklist_lock` is taken by those who fork.
    ForkLock,
    /// The lock by which a task is held off while another one moves it.
    HeldOff,
    /// Assumptions of the protocol are checked.
    Assumptions,
}

/// Which version a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Original,
    /// That of a patch which was enabled before.
    Old,
    /// That of the patch that the worker works on.
    New,
}

/// A version of the function, which can be put on the stack.
struct VersionCell {
    flag: AtomicBool,
    /// Is it whole, and not yet freed?
    whole: AtomicBool,
    /// The version below, as in `World::top`.
    below: AtomicUsize,
}

/// The versions by their index.
const OLD: usize = 0;
const NEW: usize = 1;

/// No version, or the one with the index, as it is kept in a link.
fn link(version: Option<usize>) -> usize {
    version.map_or(0, |index| 1 + index)
}

struct TaskCell {
    patch_state: AtomicUsize,
    pending: AtomicBool,
    /// Held while the task has preemption disabled. Who synchronizes takes it once: that is what the
    /// work items on each CPU amount to.
    section: Mutex<()>,
    /// The lock of `task_call_func()`; here, a task has it as long as it runs.
    held_off: Mutex<()>,
}

pub(crate) struct World {
    target: AtomicUsize,
    tasks: Vec<TaskCell>,
    /// How many of the tasks are in the list.
    listed: AtomicUsize,
    tasklist_lock: Mutex<()>,
    module_live: AtomicBool,
    /// Has the transition been forced?
    forced: AtomicBool,
    /// A [`link`] to the newest version on the stack.
    top: AtomicUsize,
    versions: [VersionCell; 2],
    /// 0 or the number of the ranges, counted from 1.
    ranges: AtomicUsize,
    /// The direction that the ranges are for, in the order in which they are published.
    ranges_of: [UnsafeCell<Option<PatchState>>; 2],
    without: Vec<Rule>,
}

fn encode(patch_state: Option<PatchState>) -> usize {
    patch_state.map_or(0, |patch_state| 1 + patch_state as usize)
}

fn decode(patch_state: usize) -> Option<PatchState> {
    match patch_state {
        1 => Some(PatchState::Unpatched),
        2 => Some(PatchState::Patched),
        _ => None,
    }
}

/// How a scene begins.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    /// How many tasks there will be.
    tasks: usize,
    /// Whether the patch is enabled.
    patched: bool,
    /// Whether its version is whole long before it is used.
    whole: bool,
    /// Whether there is an older patch, which is enabled.
    old: bool,
}

impl Start {
    pub(crate) const UNPATCHED: Start = Start {
        tasks: 1,
        patched: false,
        whole: false,
        old: false,
    };
    pub(crate) const WHOLE: Start = Start {
        whole: true,
        ..Start::UNPATCHED
    };
    pub(crate) const PATCHED: Start = Start {
        patched: true,
        ..Start::WHOLE
    };
    pub(crate) const OLD: Start = Start {
        old: true,
        ..Start::WHOLE
    };
    pub(crate) const STACKED: Start = Start {
        old: true,
        ..Start::PATCHED
    };
    /// The second task is forked by the first one.
    pub(crate) const PARENT: Start = Start {
        tasks: 2,
        ..Start::WHOLE
    };
}

impl World {
    pub(crate) fn new(start: Start, without: &[Rule]) -> Self {
        let old = link(start.old.then_some(OLD));
        let new = link(start.patched.then_some(NEW));

        World {
            target: AtomicUsize::new(0),
            tasks: (0..start.tasks)
                .map(|_| TaskCell {
                    patch_state: AtomicUsize::new(0),
                    pending: AtomicBool::new(false),
                    section: Mutex::new(()),
                    held_off: Mutex::new(()),
                })
                .collect(),
            listed: AtomicUsize::new(1),
            tasklist_lock: Mutex::new(()),
            module_live: AtomicBool::new(false),
            forced: AtomicBool::new(false),
            top: AtomicUsize::new(if new == 0 { old } else { new }),
            versions: [
                (start.old, 0),
                (start.whole, if new == 0 { 0 } else { old }),
            ]
            .map(|(whole, below)| VersionCell {
                flag: AtomicBool::new(false),
                whole: AtomicBool::new(whole),
                below: AtomicUsize::new(below),
            }),
            ranges: AtomicUsize::new(0),
            ranges_of: [UnsafeCell::new(None), UnsafeCell::new(None)],
            without: without.to_vec(),
        }
    }

    fn has(&self, rule: Rule) -> bool {
        !self.without.contains(&rule)
    }

    fn fence(&self, rule: Rule, ordering: Ordering) {
        if self.has(rule) {
            fence(ordering);
        }
    }

    fn store_order(&self, rule: Rule) -> Ordering {
        if self.has(rule) {
            Release
        } else {
            Relaxed
        }
    }

    pub(crate) fn task(&self, id: usize) -> TaskRef<'_> {
        TaskRef { world: self, id }
    }

    fn in_section<R>(&self, id: usize, f: impl FnOnce() -> R) -> R {
        let _section = self
            .has(Rule::Preemption)
            .then(|| self.tasks[id].section.lock().unwrap());
        f()
    }

    /// A call of the function by task `id`.
    pub(crate) fn call(&self, id: usize) -> Code {
        self.in_section(id, || self.handle(id))
    }

    /// `klp_ftrace_handler()`, whose shell is C; the choice is the kernel's own.
    fn handle(&self, id: usize) -> Code {
        let Some(top) = self.version(&self.top) else {
            return Code::Original;
        };
        self.fence(Rule::VersionThenFlag, Acquire);

        let mut chosen = Some(top);
        if top.in_transition() {
            self.fence(Rule::FlagThenState, Acquire);
            let patch_state = self.task(id).patch_state();
            assert!(
                patch_state.is_some(),
                "the handler meets a flag, and the task has no state"
            );
            chosen = choice::choose(top, patch_state);
        }
        let Some(chosen) = chosen else {
            return Code::Original;
        };
        let whole = chosen.cell().whole.load(Relaxed);
        assert!(whole, "the handler uses a version that is not there");
        if chosen.index == NEW {
            Code::New
        } else {
            Code::Old
        }
    }

    /// What a link leads to.
    fn version(&self, from: &AtomicUsize) -> Option<Version<'_>> {
        let index = from.load(Relaxed).checked_sub(1)?;
        Some(Version { world: self, index })
    }

    /// `schedule()` of task `id`. Its stack is empty.
    pub(crate) fn schedule(&self, id: usize) {
        self.in_section(id, || protocol::schedule(self, self.task(id)));
    }

    /// Task `id` leaves the kernel.
    pub(crate) fn leave_kernel(&self, id: usize) {
        protocol::update(Leaving { world: self, id }, self.task(id));
    }

    /// The module of the function may be called. What calls it depends on this, and no more.
    pub(crate) fn set_module_live(&self) {
        self.module_live.store(true, Release);
    }

    pub(crate) fn is_module_live(&self) -> bool {
        self.module_live.load(Relaxed)
    }

    /// Task `id` runs: whoever has moved it is done.
    pub(crate) fn run(&self, id: usize, f: impl FnOnce()) {
        let _running = self
            .has(Rule::HeldOff)
            .then(|| self.tasks[id].held_off.lock().unwrap());
        f();
    }

    /// The last task of the list forks the next one. The flag is copied long before.
    pub(crate) fn fork(&self, parent: usize) -> usize {
        let child = parent + 1;

        self.tasks[child]
            .pending
            .store(self.task(parent).is_pending(), Relaxed);
        let _lock = self
            .has(Rule::ForkLock)
            .then(|| self.tasklist_lock.lock().unwrap());
        protocol::inherit(self.task(parent), self.task(child));
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

/// A version that the handler has come to.
#[derive(Clone, Copy)]
struct Version<'a> {
    world: &'a World,
    index: usize,
}

impl Version<'_> {
    fn cell(&self) -> &VersionCell {
        &self.world.versions[self.index]
    }
}

impl Stacked for Version<'_> {
    fn in_transition(self) -> bool {
        self.cell().flag.load(Relaxed)
    }

    fn below(self) -> Option<Self> {
        self.world.version(&self.world.versions[self.index].below)
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
        decode(self.cell().patch_state.load(Relaxed))
    }

    fn set_patch_state(self, patch_state: Option<PatchState>) {
        self.cell().patch_state.store(encode(patch_state), Relaxed);
    }

    fn is_exiting(self) -> bool {
        false
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
            self.world.fence(Rule::TakePending, SeqCst);
        }
        taken
    }
}

impl<'a> System for &'a World {
    type Task = TaskRef<'a>;

    fn target_state(self) -> Option<PatchState> {
        decode(self.target.load(Relaxed))
    }

    fn set_target_state(self, target: Option<PatchState>) {
        self.target.store(encode(target), Relaxed);
    }

    fn barrier(self, order: Order) {
        match order {
            Order::StatesThenFlags => self.fence(Rule::StatesThenFlags, Release),
            Order::FlagsThenStacks => self.fence(Rule::FlagsThenStacks, Release),
            Order::TargetThenPending => self.fence(Rule::TargetThenPending, Release),
            Order::SchedPending => self.fence(Rule::SchedPending, Acquire),
        }
    }

    fn preempt_disabled(self, f: impl FnOnce()) {
        f();
    }

    fn switch_if_safe(self, task: TaskRef<'a>) -> bool {
        // `Published::read`: an address dependency, of which loom knows nothing.
        let ranges = self.ranges.load(Acquire);
        if ranges == 0 {
            // After a forced transition they may be gone: as `stack::check`.
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

/// The world for a task that leaves the kernel.
#[derive(Clone, Copy)]
struct Leaving<'a> {
    world: &'a World,
    id: usize,
}

impl<'a> System for Leaving<'a> {
    type Task = TaskRef<'a>;

    fn target_state(self) -> Option<PatchState> {
        let target = System::target_state(self.world);
        assert!(target.is_some(), "a task moves to no state");
        target
    }

    fn set_target_state(self, target: Option<PatchState>) {
        System::set_target_state(self.world, target);
    }

    fn barrier(self, order: Order) {
        self.world.barrier(order);
    }

    fn preempt_disabled(self, f: impl FnOnce()) {
        self.world.in_section(self.id, f);
    }

    fn switch_if_safe(self, task: TaskRef<'a>) -> bool {
        self.world.switch_if_safe(task)
    }
}

/// A transition.
pub(crate) struct Steps<'a> {
    pub(crate) world: &'a World,
    /// The step before which the task is let go first, counted from 1.
    pause: usize,
    steps: usize,
    /// Where the transition goes.
    target: Option<PatchState>,
    /// Ranges that were published so far.
    published: usize,
    /// Whether a pass may move tasks that are asleep: here, all of them.
    pub(crate) asleep: bool,
    /// Whether the patch replaces the older one.
    pub(crate) replaces: bool,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(world: &'a World, pause: usize) -> Self {
        Steps {
            world,
            pause,
            steps: 0,
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
        self.steps += 1;
        if self.steps == self.pause {
            thread::yield_now();
        }
    }
}

impl<'a> TransitionOps for Steps<'a> {
    type System = &'a World;
    type Error = ();

    fn system(&self) -> &'a World {
        self.world
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

    fn expect(&self, assumption: Assumption, holds: bool) {
        assert!(
            holds || !self.world.has(Rule::Assumptions),
            "{assumption:?} does not hold"
        );
    }

    fn each_task(&mut self, mut f: impl FnMut(TaskRef<'a>)) {
        self.step();
        let _lock = self.world.tasklist_lock.lock().unwrap();

        for id in 0..self.world.listed.load(Acquire) {
            f(self.world.task(id));
        }
    }

    fn each_task_in_batches(&mut self, mut f: impl FnMut(TaskRef<'a>, bool) -> Visit) -> bool {
        self.step();
        let _lock = self.world.tasklist_lock.lock().unwrap();

        for id in 0..self.world.listed.load(Acquire) {
            let held_off = self.world.has(Rule::HeldOff) && self.asleep;
            let _held_off = held_off.then(|| self.world.tasks[id].held_off.lock().unwrap());

            if self.asleep || self.world.task(id).patch_state() == System::target_state(self.world)
            {
                f(self.world.task(id), false);
            } else {
                // It is running.
                return false;
            }
        }
        true
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
        self.world
            .top
            .store(link(Some(NEW)), self.world.store_order(Rule::PushThenRead));
        Ok(())
    }

    fn prepare_to_revert(&mut self) {}

    fn publish_ranges(&mut self) {
        self.step();
        let (ranges, target) = (self.published, self.target);

        self.published += 1;
        // SAFETY: As above.
        self.world.ranges_of[ranges].with_mut(|ranges| unsafe { *ranges = target });
        self.world.ranges.store(
            self.published,
            self.world.store_order(Rule::PublishThenRead),
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
        if self.world.has(Rule::Synchronize) {
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

impl ModuleOps for Steps<'_> {
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
