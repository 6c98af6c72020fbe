// SPDX-License-Identifier: GPL-2.0

//! What each step of the protocol does to the world.

use crate::{
    config::{
        Config,
        Fault, //
    },
    model::{
        phase::{
            PatchState, //
            Phase,
        },
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
        versions::{
            self,
            OldCode, //
        },
    },
    procedure::{
        blocked,
        later,
        Actor,
        Value, //
    },
    world::{
        Cpu,
        Kind,
        Life,
        OnStack,
        Place,
        Ranges,
        State,
        TaskState,
        Violation, //
    },
};
use std::cell::{
    Cell,
    RefCell, //
};

/// How often a walk in turns starts anew.
const WALKS: usize = 2;

/// One run of a procedure.
pub(crate) struct Machine<'a> {
    pub(crate) config: &'a Config,
    state: RefCell<State>,
    actor: Actor,
    log: &'a [Value],
    /// How many steps this run has got through.
    at: Cell<usize>,
    /// What came of the one that is new.
    fresh: Cell<Option<Value>>,
    /// Set while steps are no steps of their own.
    whole: Cell<bool>,
    /// What a fault has put off.
    put_off: RefCell<Vec<PutOff>>,
    stage: Cell<Option<Event>>,
}

enum PutOff {
    PatchState(usize, Option<PatchState>),
    Flag(u8, bool),
    TargetState(Option<PatchState>),
}

/// A task, for one run of a procedure.
#[derive(Clone, Copy)]
pub(crate) struct TaskRef<'a> {
    machine: &'a Machine<'a>,
    id: usize,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(config: &'a Config, state: State, actor: Actor, log: &'a [Value]) -> Self {
        Machine {
            config,
            state: RefCell::new(state),
            actor,
            log,
            at: Cell::new(0),
            fresh: Cell::new(None),
            whole: Cell::new(false),
            put_off: RefCell::default(),
            stage: Cell::new(None),
        }
    }

    /// What is left of the run: the world, and what came of the new step.
    pub(crate) fn end(self) -> (State, Option<Value>) {
        (self.state.into_inner(), self.fresh.get())
    }

    /// Makes a step, which others see as one.
    fn step(&self, step: impl FnOnce(&mut State) -> Value) -> Value {
        if self.whole.get() {
            return step(&mut self.state.borrow_mut());
        }
        let at = self.at.replace(self.at.get() + 1);

        if let Some(&value) = self.log.get(at) {
            return value;
        }
        if self.fresh.get().is_some() {
            later();
        }
        let value = step(&mut self.state.borrow_mut());
        self.fresh.set(Some(value));
        value
    }

    fn do_step(&self, step: impl FnOnce(&mut State)) {
        self.step(|state| {
            step(state);
            Value::Done
        });
    }

    fn ask(&self, step: impl FnOnce(&mut State) -> bool) -> bool {
        self.step(|state| Value::Bool(step(state))) == Value::Bool(true)
    }

    /// Does what nobody else sees, as a part of the step before.
    fn along(&self, f: impl FnOnce(&mut State)) {
        if self.fresh.get().is_some() || self.log.is_empty() {
            f(&mut self.state.borrow_mut());
        }
    }

    fn task(&self, id: usize) -> TaskRef<'_> {
        TaskRef { machine: self, id }
    }

    /// The task that runs the procedure.
    pub(crate) fn current(&self) -> TaskRef<'_> {
        match self.actor {
            Actor::Task(id) => self.task(id),
            Actor::Worker => panic!("the worker is no task"),
        }
    }

    /// The transition that is under way. It changes only by what the worker does itself.
    pub(crate) fn transition(&self) -> (u8, PatchState) {
        let value = self.step(|state| match state.transition {
            Some((patch, target)) => {
                Value::Tasks(u32::from(patch) << 1 | u32::from(target == PatchState::Patched))
            }
            None => blocked(),
        });
        match value {
            Value::Tasks(packed) if packed & 1 == 1 => ((packed >> 1) as u8, PatchState::Patched),
            Value::Tasks(packed) => ((packed >> 1) as u8, PatchState::Unpatched),
            _ => unreachable!(),
        }
    }

    /// From here on, tasks may see anything: that is the administrator's risk.
    pub(crate) fn permit_anything(&self) {
        self.along(|state| state.forced = true);
    }

    fn apply_put_off(&self) {
        for what in self.put_off.take() {
            match what {
                PutOff::PatchState(id, patch_state) => {
                    self.do_step(|state| state.tasks[id].patch_state = patch_state)
                }
                PutOff::Flag(patch, on) => self.flag(patch, on),
                PutOff::TargetState(target) => self.do_step(|state| state.target = target),
            }
        }
    }

    fn flag(&self, patch: u8, on: bool) {
        for func in self.funcs(patch) {
            self.do_step(|state| state.version(patch, func).flag = on);
        }
    }

    /// What a patch consists of changes only by what the worker does itself.
    fn funcs(&self, patch: u8) -> Vec<u8> {
        self.state.borrow().funcs(self.config, patch)
    }

    // What the handler reads.

    pub(crate) fn top(&self, func: u8) -> Option<u8> {
        match self.step(|state| Value::Version(state.tops[usize::from(func)])) {
            Value::Version(patch) => patch,
            _ => unreachable!(),
        }
    }

    pub(crate) fn below(&self, patch: u8, func: u8) -> Option<u8> {
        match self.step(|state| Value::Version(state.version(patch, func).below)) {
            Value::Version(patch) => patch,
            _ => unreachable!(),
        }
    }

    pub(crate) fn is_flagged(&self, patch: u8, func: u8) -> bool {
        self.ask(|state| state.version(patch, func).flag)
    }

    /// The handler has met a version in transition, and the task has no state.
    pub(crate) fn state_in_handler(&self) -> Option<PatchState> {
        if self.config.is(Fault::WalkUnlocked) {
            return System::target_state(self);
        }
        self.along(|state| state.violate(Violation::NoStateInHandler));
        None
    }

    /// What a version has the task run.
    pub(crate) fn replacement(&self, patch: u8, func: u8) -> Option<u8> {
        self.config.has(patch, func).then_some(patch)
    }

    // Locks.

    fn read_lock(&self, list: impl FnOnce(&State) -> Vec<u8>) -> Vec<usize> {
        let unlocked = self.config.is(Fault::WalkUnlocked);
        let value = self.step(|state| {
            if !unlocked {
                if state.writer.is_some() {
                    blocked();
                }
                state.readers += 1;
            }
            Value::Tasks(pack(&list(state)))
        });
        unpack(value)
    }

    fn read_unlock(&self, and_then: impl FnOnce(&State) -> Vec<u8>) -> Vec<usize> {
        let unlocked = self.config.is(Fault::WalkUnlocked);
        let value = self.step(|state| {
            if !unlocked {
                state.readers -= 1;
            }
            Value::Tasks(pack(&and_then(state)))
        });
        unpack(value)
    }

    fn exiting(&self) -> impl Fn(&State) -> Vec<u8> {
        let unlisted = self.config.is(Fault::ExitUnlisted);

        move |state| {
            let in_list =
                |task: &TaskState| matches!(task.life, Life::Exiting | Life::Unhashed) && !unlisted;
            ids(state, in_list)
        }
    }

    /// Calls `f` for each idle task, with whether its CPU is offline.
    fn each_idle(&'a self, mut f: impl FnMut(TaskRef<'a>, bool)) {
        let idle = (0..self.config.tasks.len()).filter(|&id| self.config.tasks[id].0 == Kind::Idle);
        let mut offline = Vec::new();

        if self.config.cpus {
            offline = unpack(self.step(|state| {
                state.cpus_locked = !self.config.is(Fault::HotplugUnlocked);
                Value::Tasks(pack(&ids(state, |task| task.cpu == Cpu::Offline)))
            }));
        }
        for id in idle {
            f(self.task(id), offline.contains(&id));
        }
        if self.config.cpus {
            self.do_step(|state| state.cpus_locked = false);
        }
    }

    fn synchronize(&self) {
        self.do_step(|state| {
            for task in &mut state.tasks {
                task.awaited = task.is_in_section(self.config);
            }
        });
        self.do_step(|state| {
            if state.tasks.iter().any(|task| task.awaited) {
                blocked();
            }
        });
    }

    fn synchronize_tasks(&self) {
        self.do_step(|state| {
            for task in &mut state.tasks {
                task.awaited_call = task.is_in_call();
            }
        });
        self.do_step(|state| {
            if state.tasks.iter().any(|task| task.awaited_call) {
                blocked();
            }
        });
    }

    fn publish_ranges(&self) {
        self.do_step(|state| state.ranges = Some(collect(self.config, state)));
    }

    // What tasks do that changes the world.

    /// Forks `child`.
    pub(crate) fn fork(&self, child: usize, front: bool) {
        let Actor::Task(parent) = self.actor else {
            return;
        };
        // dup_task_struct(), long before the lock is taken.
        self.do_step(|state| {
            state.tasks[child].pending = state.tasks[parent].pending;
            state.tasks[child].patch_state = state.tasks[parent].patch_state;
        });
        self.do_step(|state| {
            if state.readers > 0 || state.writer.is_some() {
                blocked();
            }
            state.writer = Some(parent as u8);
        });
        if self.config.is(Fault::ForkEarlyFlag) {
            let patch_state = self.task(parent).patch_state();
            self.task(child).set_patch_state(patch_state);
        } else if !self.config.is(Fault::WalkUnlocked) {
            protocol::inherit(self.task(parent), self.task(child));
        }
        self.do_step(|state| {
            state.writer = None;
            let at = if front { 0 } else { state.list.len() };
            state.list.insert(at, child as u8);
            state.tasks[child].life = Life::Kernel;
            state.tasks[child].asleep = false;
        });
    }

    /// The patches in use that have a function in the module.
    fn module_patches(&self) -> Vec<u8> {
        let Some(func) = self.config.module_func else {
            return Vec::new();
        };
        let state = self.state.borrow();
        let of_module = |&patch: &u8| state.funcs(self.config, patch).contains(&func);

        state.order.iter().copied().filter(of_module).collect()
    }

    pub(crate) fn coming(&self, fails: bool) {
        for patch in self.module_patches() {
            let part = &mut ModulePart {
                machine: self,
                patch,
                fails,
            };
            if protocol::coming(part).is_err() {
                // It is the first one: there is nothing else to take off.
                return;
            }
        }
        self.do_step(|state| state.module_live = !fails);
    }

    pub(crate) fn going(&self) {
        let patches = self.module_patches();

        self.do_step(|state| state.module_live = false);
        for patch in patches {
            protocol::going(&mut ModulePart {
                machine: self,
                patch,
                fails: false,
            });
        }
    }
}

fn ids(state: &State, f: impl Fn(&TaskState) -> bool) -> Vec<u8> {
    (0..)
        .zip(&state.tasks)
        .filter(|(_, task)| f(task))
        .map(|(id, _)| id)
        .collect()
}

fn pack(tasks: &[u8]) -> u32 {
    tasks
        .iter()
        .rev()
        .fold(u32::MAX, |packed, &id| packed << 4 | u32::from(id))
}

fn unpack(value: Value) -> Vec<usize> {
    let Value::Tasks(mut packed) = value else {
        unreachable!()
    };
    let mut tasks = Vec::new();

    while packed & 15 != 15 {
        tasks.push((packed & 15) as usize);
        packed >>= 4;
    }
    tasks
}

/// `Ranges::collect()`: what is in the way of the transition.
fn collect(config: &Config, state: &State) -> Ranges {
    let mut ranges = Ranges {
        codes: Vec::new(),
        calls: Vec::new(),
    };
    let Some((patch, target)) = state.transition else {
        return ranges;
    };
    let code = |patch: u8, func: u8| config.has(patch, func).then_some(patch);

    for func in state.funcs(config, patch) {
        let (top, version) = (state.top(func), OnStack::new(state, patch, func));

        if !versions::versions(top).any(|other| other == version) {
            continue;
        }
        ranges
            .codes
            .push(match versions::old_code(top, version, target) {
                OldCode::Nothing => continue,
                OldCode::Version(version) => (func, code(version.patch, func)),
                OldCode::Original => (func, None),
            });
        if !config.is(Fault::NoCallWindow) {
            ranges.calls.push(func);
        }
        if target == PatchState::Patched
            && config.patches[usize::from(patch)].replace
            && !config.is(Fault::ReplaceShallow)
        {
            let below = versions::older(top, version).filter_map(|below| code(below.patch, func));
            ranges.codes.extend(below.map(|code| (func, Some(code))));
        }
    }
    ranges
}

/// Is the stack of the task free of what is in the way?
fn is_safe(state: &State, id: usize) -> bool {
    state.ranges.as_ref().is_some_and(|ranges| {
        state.tasks[id].frames().all(|frame| match frame.place {
            Place::Called | Place::Bound(_) => !ranges.calls.contains(&frame.func),
            Place::In(code) => !ranges.codes.contains(&(frame.func, code)),
        })
    })
}

impl Task for TaskRef<'_> {
    fn patch_state(self) -> Option<PatchState> {
        match self
            .machine
            .step(|state| Value::PatchState(state.tasks[self.id].patch_state))
        {
            Value::PatchState(patch_state) => patch_state,
            _ => unreachable!(),
        }
    }

    fn set_patch_state(self, patch_state: Option<PatchState>) {
        let machine = self.machine;
        let beginning = matches!(machine.stage.get(), Some(Event::Initializing(_)));
        let ending = matches!(machine.stage.get(), Some(Event::Completing(_)));

        if beginning && machine.config.is(Fault::StatesLate) {
            machine
                .put_off
                .borrow_mut()
                .push(PutOff::PatchState(self.id, patch_state));
        } else if !(ending && machine.config.is(Fault::NoIdle)) {
            machine.do_step(|state| state.tasks[self.id].patch_state = patch_state);
        }
    }

    fn is_exiting(self) -> bool {
        self.machine
            .ask(|state| state.tasks[self.id].life >= Life::Exiting)
    }

    fn is_pending(self) -> bool {
        self.machine.ask(|state| state.tasks[self.id].pending)
    }

    fn set_pending(self) {
        self.machine
            .do_step(|state| state.tasks[self.id].pending = true);
    }

    fn clear_pending(self) {
        let reversing = matches!(self.machine.stage.get(), Some(Event::Reversing(_)));

        if !(reversing && self.machine.config.is(Fault::NoUnpendReverse)) {
            self.machine
                .do_step(|state| state.tasks[self.id].pending = false);
        }
    }

    fn take_pending(self) -> bool {
        self.machine
            .ask(|state| std::mem::take(&mut state.tasks[self.id].pending))
    }
}

impl<'a> System for &'a Machine<'a> {
    type Task = TaskRef<'a>;

    fn target_state(self) -> Option<PatchState> {
        match self.step(|state| Value::PatchState(state.target)) {
            Value::PatchState(target) => target,
            _ => unreachable!(),
        }
    }

    fn set_target_state(self, target: Option<PatchState>) {
        let late = matches!(self.stage.get(), Some(Event::Initializing(_)))
            && self.config.is(Fault::TargetLate);

        if late {
            self.put_off.borrow_mut().push(PutOff::TargetState(target));
        } else {
            self.do_step(|state| state.target = target);
        }
    }

    fn barrier(self, _order: Order) {
        // All steps are seen in their order here; what the barriers are for is shown under loom.
    }

    fn preempt_disabled(self, f: impl FnOnce()) {
        // A task is in the section as long as it is in the procedure.
        f();
    }

    fn switch_if_safe(self, task: TaskRef<'a>) -> bool {
        let id = task.id;

        if self.actor == Actor::Task(id) {
            let unchecked = self.config.is(Fault::ScheduleUnchecked);

            if !self.ask(|state| unchecked || is_safe(state, id)) {
                return false;
            }
            protocol::switch(self, task);
            self.along(|state| state.may_move(self.config, id));
            return true;
        }
        if self.config.is(Fault::Unpinned) {
            if !self.ask(|state| is_off_cpu(state, id) && is_safe(state, id)) {
                return false;
            }
            protocol::switch(self, task);
            self.along(|state| state.may_move(self.config, id));
            return true;
        }
        let new = self.fresh.get().is_none() && self.at.get() >= self.log.len();

        if !self.ask(|state| is_off_cpu(state, id) && is_safe(state, id)) {
            return false;
        }
        if new {
            // The task is held off from running, so nobody can tell these steps apart.
            self.whole.set(true);
            protocol::switch(self, task);
            self.whole.set(false);
            self.along(|state| state.may_move(self.config, id));
        }
        true
    }
}

/// An idle task that sleeps is still the one on its CPU.
fn is_off_cpu(state: &State, id: usize) -> bool {
    let task = &state.tasks[id];

    if task.is_idle() {
        task.cpu != Cpu::Idle
    } else {
        task.asleep
    }
}

/// A transition.
pub(crate) struct Steps<'a> {
    pub(crate) machine: &'a Machine<'a>,
    pub(crate) patch: u8,
    /// Does applying fail after the first function?
    pub(crate) fails: bool,
}

/// A patch cannot be applied.
pub(crate) struct NoMemory;

impl Steps<'_> {
    /// The patches that this one replaces.
    fn replaced(&self) -> Vec<u8> {
        let machine = self.machine;

        if !machine.config.patches[usize::from(self.patch)].replace {
            return Vec::new();
        }
        let state = machine.state.borrow();
        let older = state.order.iter().take_while(|&&old| old != self.patch);
        older.copied().collect()
    }

    fn revert_all(&self, patch: u8, only: impl Fn(u8) -> bool) {
        for func in self.machine.funcs(patch) {
            if only(func) {
                self.machine.do_step(|state| state.remove(patch, func));
            }
        }
    }

    fn take_replaced_off(&self) {
        let config = self.machine.config;
        let replaced = self.replaced();
        let nop = |func| !config.has(self.patch, func);

        if replaced.is_empty() {
            return;
        }
        if config.is(Fault::NopsFirst) {
            self.revert_all(self.patch, nop);
        }
        for old in replaced {
            self.revert_all(old, |_| true);
        }
        // The nops come last.
        self.revert_all(self.patch, nop);
    }
}

impl<'a> TransitionOps for Steps<'a> {
    type System = &'a Machine<'a>;
    type Error = NoMemory;

    fn system(&self) -> &'a Machine<'a> {
        self.machine
    }

    fn on_event(&mut self, stage: Event) {
        let patch = self.patch;

        self.machine.stage.set(Some(stage));
        self.machine.along(|state| match stage {
            Event::Initializing(target) => {
                if target == PatchState::Patched {
                    state.order.push(patch);
                }
                state.transition = Some((patch, target));
                state.patches[usize::from(patch)].phase = Phase::towards(target);
            }
            Event::Reversed(target) => {
                state.transition = Some((patch, target));
                state.patches[usize::from(patch)].phase = Phase::towards(target);
            }
            Event::Canceling => {
                state.transition = Some((patch, PatchState::Unpatched));
            }
            Event::Complete(target) => state.settle(patch, target),
            Event::Starting(_) | Event::Reversing(_) | Event::Completing(_) => {}
        });
    }

    fn expect(&self, assumption: Assumption, holds: bool) {
        if !holds {
            self.machine.along(|state| {
                state.violate(match assumption {
                    Assumption::NoPatchState => Violation::StateBefore,
                    Assumption::NonePending => Violation::PendingAfter,
                });
            });
        }
    }

    fn each_task(&mut self, mut f: impl FnMut(TaskRef<'a>)) {
        let machine = self.machine;

        for id in machine.read_lock(|state| state.list.clone()) {
            f(machine.task(id));
        }
        // Only forcing announces nothing.
        let forces = machine.stage.get().is_none();
        let exiting = machine.read_unlock(machine.exiting());
        if !(forces && machine.config.is(Fault::ForceUnlisted)) {
            for id in exiting {
                f(machine.task(id));
            }
        }
        machine.each_idle(|task, _| f(task));
        if machine.config.is(Fault::TargetLate)
            && matches!(machine.stage.get(), Some(Event::Starting(_)))
        {
            machine.apply_put_off();
        }
    }

    fn each_task_in_batches(&mut self, mut f: impl FnMut(TaskRef<'a>, bool) -> Visit) -> bool {
        let machine = self.machine;
        let mut met = false;

        for _ in 0..WALKS {
            let mut rest = machine.read_lock(|state| state.list.clone());
            met = true;
            while let Some(&id) = rest.first() {
                rest.remove(0);
                if f(machine.task(id), false) == Visit::Passed {
                    continue;
                }
                machine.read_unlock(|_| Vec::new());
                // The first one says whether the task is still there.
                rest = machine.read_lock(|state| {
                    let from = state
                        .list
                        .iter()
                        .position(|&other| usize::from(other) == id);
                    from.map_or(Vec::new(), |from| state.list[from..].to_vec())
                });
                if rest.is_empty() {
                    met = false;
                    break;
                }
                rest.remove(0);
            }
            let exiting = machine.read_unlock(machine.exiting());
            if met {
                for id in exiting {
                    f(machine.task(id), false);
                }
                break;
            }
        }
        machine.each_idle(|task, offline| {
            if f(task, offline) == Visit::Moved && offline {
                machine.along(|state| state.may_move(machine.config, task.id));
            }
        });
        met
    }

    fn flag(&mut self, in_transition: bool) {
        let (machine, patch) = (self.machine, self.patch);
        let config = machine.config;

        if in_transition && config.is(Fault::FlagsLate) {
            machine
                .put_off
                .borrow_mut()
                .push(PutOff::Flag(patch, in_transition));
            return;
        }
        machine.flag(patch, in_transition);
        if in_transition && config.is(Fault::StatesLate) {
            machine.apply_put_off();
        }
        if !in_transition && config.is(Fault::RevertLate) {
            self.revert_all(patch, |_| true);
        }
    }

    fn apply(&mut self) -> Result<(), NoMemory> {
        let (machine, patch) = (self.machine, self.patch);

        for func in machine.funcs(patch) {
            let loaded = machine.state.borrow().is_loaded(machine.config, func);
            if loaded {
                machine.do_step(|state| state.push(patch, func));
            }
            if self.fails {
                return Err(NoMemory);
            }
        }
        if machine.config.is(Fault::FlagsLate) {
            machine.apply_put_off();
        }
        Ok(())
    }

    fn prepare_to_revert(&mut self) {
        if self.machine.config.is(Fault::FlagsLate) {
            self.machine.apply_put_off();
        }
    }

    fn publish_ranges(&mut self) {
        let reversed = matches!(self.machine.stage.get(), Some(Event::Reversed(_)));

        if !(reversed && self.machine.config.is(Fault::StaleRanges)) {
            self.machine.publish_ranges();
        }
    }

    fn withdraw_ranges(&mut self) {
        self.machine.do_step(|state| state.ranges = None);
    }

    fn hook_scheduler(&mut self, hooked: bool) {
        self.machine.do_step(|state| state.hooked = hooked);
    }

    fn revert(&mut self) {
        if !self.machine.config.is(Fault::RevertLate) {
            self.revert_all(self.patch, |_| true);
        }
    }

    fn revert_replaced(&mut self) {
        if !self.machine.config.is(Fault::ReplacedLate) {
            self.take_replaced_off();
        }
    }

    fn synchronize(&mut self) {
        let stage = self.machine.stage.get();
        let fault = match stage {
            Some(Event::Reversing(_)) => Fault::NoSyncReverse,
            Some(Event::Completing(PatchState::Patched)) => Fault::NoSyncPatched,
            _ => Fault::NoSyncUnpatched,
        };
        if !self.machine.config.is(fault) {
            self.machine.synchronize();
        }
        let patched = stage == Some(Event::Completing(PatchState::Patched));
        if patched && self.machine.config.is(Fault::ReplacedLate) {
            self.take_replaced_off();
        }
    }

    fn synchronize_tasks(&mut self) {
        self.machine.synchronize_tasks();
    }

    fn discard(&mut self) {
        let (config, patch) = (self.machine.config, self.patch);

        self.machine.along(|state| state.check_nops(config, patch));
    }

    fn run_post_callbacks(&mut self, _target: PatchState) {}

    fn pin_forced(&mut self, target: PatchState) {
        let replaced = self.replaced();
        let kept = match target {
            PatchState::Unpatched => vec![self.patch],
            PatchState::Patched => replaced,
        };
        let frees = self.machine.config.is(Fault::ForceFrees);

        self.machine.do_step(|state| {
            for patch in kept {
                state.patches[usize::from(patch)].forced = !frees;
            }
        });
    }
}

/// One patch of the module.
struct ModulePart<'a> {
    machine: &'a Machine<'a>,
    patch: u8,
    /// Is there no memory for new ranges?
    fails: bool,
}

impl ModulePart<'_> {
    fn func(&self) -> u8 {
        self.machine.config.module_func.unwrap_or_default()
    }

    fn is_running(&self) -> bool {
        let transition = self.machine.state.borrow().transition;
        transition.is_some_and(|(patch, _)| patch == self.patch)
    }
}

impl ModuleOps for ModulePart<'_> {
    type Error = NoMemory;

    fn apply(&mut self) -> Result<(), NoMemory> {
        let (patch, func) = (self.patch, self.func());
        let unflagged = self.machine.config.is(Fault::ComingUnflagged);

        self.machine.do_step(|state| {
            if unflagged {
                state.version(patch, func).flag = false;
            }
            state.push(patch, func);
        });
        Ok(())
    }

    fn revert(&mut self) {
        let (patch, func) = (self.patch, self.func());

        if !(self.fails && self.machine.config.is(Fault::NoRevertComing)) {
            self.machine.do_step(|state| state.remove(patch, func));
        }
    }

    fn refresh_ranges(&mut self) -> Result<(), NoMemory> {
        if self.fails {
            return Err(NoMemory);
        }
        if self.is_running() && !self.machine.config.is(Fault::NoRefreshRanges) {
            self.machine.publish_ranges();
        }
        Ok(())
    }

    fn synchronize(&mut self) {
        self.machine.synchronize();
    }

    fn synchronize_tasks(&mut self) {
        self.machine.synchronize_tasks();
    }
}
