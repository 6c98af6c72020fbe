// SPDX-License-Identifier: GPL-2.0

//! What each step of tasks does to the world, and how the worker walks over them.

use crate::{
    config::Config,
    environment::Environment,
    model::{
        phase::PatchState,
        protocol::{
            self,
            Order,
            Pass,
            System,
            Task, //
        },
    },
    ranges::{
        is_off_cpu,
        is_safe, //
    },
    replay::{
        blocked,
        Replay, //
    },
    terms::{
        Actor,
        Cpu,
        Kind,
        Life,
        Value,
        Violation, //
    },
    world::{
        State,
        WalkPlace, //
    },
};

/// What one run of a procedure works on.
pub(crate) struct Machine<'a> {
    pub(crate) config: &'a Config,
    environment: &'a dyn Environment,
    pub(crate) replay: Replay<'a, State>,
    actor: Actor,
}

/// A task, for one run of a procedure.
#[derive(Clone, Copy)]
pub(crate) struct TaskRef<'a> {
    machine: &'a Machine<'a>,
    pub(crate) id: usize,
}

impl<'a> Machine<'a> {
    pub(crate) fn new(
        config: &'a Config,
        environment: &'a dyn Environment,
        actor: Actor,
        replay: Replay<'a, State>,
    ) -> Self {
        Machine {
            config,
            environment,
            replay,
            actor,
        }
    }

    pub(crate) fn task(&self, id: usize) -> TaskRef<'_> {
        TaskRef { machine: self, id }
    }

    /// The task that runs the procedure.
    pub(crate) fn current(&self) -> usize {
        match self.actor {
            Actor::Task(id) => id,
            Actor::Worker => panic!("the worker is no task"),
        }
    }

    pub(crate) fn is_current(&self, id: usize) -> bool {
        self.actor == Actor::Task(id)
    }

    /// The transition that is under way. It changes only by what the worker does itself.
    pub(crate) fn under_way(&self) -> (u8, PatchState) {
        let read = |state: &mut State| match state.transition {
            Some((patch, target)) => Value::Transition(patch, target),
            None => blocked(),
        };
        self.replay.step(read).transition()
    }

    /// From here on, tasks may see anything: that is the administrator's risk.
    pub(crate) fn permit_anything(&self) {
        self.replay.along(|state| state.forced = true);
    }

    /// What a patch consists of changes only by what the worker does itself.
    pub(crate) fn funcs(&self, patch: u8) -> Vec<u8> {
        self.replay.world().funcs(self.config, patch)
    }

    // What the handler reads.

    pub(crate) fn top(&self, func: u8) -> Option<u8> {
        self.replay
            .step(|state| Value::Version(state.tops[usize::from(func)]))
            .version()
    }

    pub(crate) fn below(&self, patch: u8, func: u8) -> Option<u8> {
        self.replay
            .step(|state| Value::Version(state.version(patch, func).below))
            .version()
    }

    pub(crate) fn is_flagged(&self, patch: u8, func: u8) -> bool {
        self.replay.ask(|state| state.version(patch, func).flag)
    }

    /// What a version has the task run.
    pub(crate) fn replacement(&self, patch: u8, func: u8) -> Option<u8> {
        self.config.has(patch, func).then_some(patch)
    }

    // Walks over the tasks.

    /// Takes `tasklist_lock` for reading and drops it.
    pub(crate) fn synchronize_forks(&self) {
        self.replay
            .change(|state| self.environment.wait_for_writer(state));
    }

    /// Calls `f` for each task in the list, under RCU, and returns the exiting tasks.
    pub(crate) fn each_listed(&self, mut f: impl FnMut(usize)) -> Vec<usize> {
        let first = |state: &mut State| Value::of_tasks(state.list.get(..1).unwrap_or(&[]));
        let mut next = self.replay.step(first).tasks();

        while let Some(&id) = next.first() {
            f(id);
            let after = |state: &mut State| {
                if state.place == WalkPlace::Lost {
                    state.place = WalkPlace::Found;
                    return first(state);
                }
                Value::of_tasks(state.after(id).as_slice())
            };
            next = self.replay.step(after).tasks();
        }
        self.synchronize_forks();
        let exiting = |state: &mut State| Value::of_tasks(&self.environment.exiting(state));
        self.replay.step(exiting).tasks()
    }

    /// Calls `f` for each idle task, with whether its CPU is offline.
    pub(crate) fn each_idle(&self, mut f: impl FnMut(usize, bool)) {
        let idle = (0..self.config.tasks.len()).filter(|&id| self.config.tasks[id].0 == Kind::Idle);
        let mut offline = Vec::new();

        if self.config.cpus {
            let lock = |state: &mut State| {
                self.environment.lock_cpus(state);
                Value::of_tasks(&state.ids(|task| task.cpu == Cpu::Offline))
            };
            offline = self.replay.step(lock).tasks();
        }
        for id in idle {
            f(id, offline.contains(&id));
        }
        if self.config.cpus {
            self.replay.change(|state| state.cpus_locked = false);
        }
    }

    // What the worker does for a patch as a whole, and for a module.

    pub(crate) fn synchronize(&self) {
        self.replay.change(|state| {
            for task in &mut state.tasks {
                task.awaited = self.environment.is_in_section(task);
            }
        });
        self.replay.change(|state| {
            if state.tasks.iter().any(|task| task.awaited) {
                blocked();
            }
        });
    }

    pub(crate) fn synchronize_tasks(&self) {
        self.replay.change(|state| {
            for task in &mut state.tasks {
                task.awaited_call = task.is_in_call();
            }
        });
        self.replay.change(|state| {
            if state.tasks.iter().any(|task| task.awaited_call) {
                blocked();
            }
        });
    }

    /// Has the calls of `funcs` come to the handler, if it was not so. As long as both lead to the
    /// same code, nobody can tell which of them went first.
    pub(crate) fn leave_jumps(&self, funcs: &[u8]) {
        self.replay.change(|state| {
            for &func in funcs {
                state.jumps[usize::from(func)] = None;
            }
        });
    }

    /// Lets calls jump to what `target` says, unless they jump already. The same goes for these.
    pub(crate) fn jump(&self, target: impl Fn(&State, u8) -> Option<u8>) {
        self.replay.change(|state| {
            for func in (0..self.config.funcs).filter(|_| state.may_jump) {
                let to = state.jumps[usize::from(func)].or_else(|| target(state, func));
                state.jumps[usize::from(func)] = to;
            }
        });
    }

    /// The administrator wants calls to jump, or not.
    pub(crate) fn permit_jumps(&self, permitted: bool) {
        self.replay.change(|state| state.may_jump = permitted);
    }

    /// Lets calls jump where all tasks run the same replacement.
    pub(crate) fn jump_where_settled(&self) {
        self.jump(|state, func| state.settled(self.config, func));
    }

    pub(crate) fn publish_ranges(&self) {
        self.replay.change(|state| {
            state.ranges = Some(self.environment.ranges(self.config, state));
        });
    }

    /// The patches in use that have a function in the module.
    pub(crate) fn module_patches(&self) -> Vec<u8> {
        let Some(func) = self.config.module_func else {
            return Vec::new();
        };
        let state = self.replay.world();
        let of_module = |&patch: &u8| state.funcs(self.config, patch).contains(&func);

        state.order.iter().copied().filter(of_module).collect()
    }

    pub(crate) fn set_module_live(&self, live: bool) {
        self.replay.change(|state| state.module_live = live);
    }

    // A fork, in its steps.

    /// `dup_task_struct()`, long before the lock is taken.
    pub(crate) fn copy_task(&self, parent: usize, child: usize) {
        self.replay.change(|state| {
            state.tasks[child].pending = state.tasks[parent].pending;
            state.tasks[child].patch_state = state.tasks[parent].patch_state;
        });
    }

    /// Takes `tasklist_lock` for writing.
    pub(crate) fn write_lock(&self, parent: usize) {
        self.replay.change(|state| {
            if state.writer.is_some() {
                blocked();
            }
            state.writer = Some(parent as u8);
        });
    }

    /// Puts `child` into the list, and drops the lock.
    pub(crate) fn add_task(&self, parent: usize, child: usize, thread: bool) {
        self.replay.change(|state| {
            state.writer = None;
            let mut places = state.list.iter();
            let behind = places.position(|&other| usize::from(other) == parent);
            let at = behind
                .filter(|_| thread)
                .map_or(state.list.len(), |at| at + 1);
            state.list.insert(at, child as u8);
            state.tasks[child].next = None;
            state.tasks[child].life = Life::Kernel;
            state.tasks[child].asleep = false;
        });
    }

    // Switching a task.

    /// Switches the task if `allowed`, in steps that others may see one by one.
    pub(crate) fn switch_in_steps(
        &'a self,
        task: TaskRef<'a>,
        allowed: impl FnOnce(&State) -> bool,
    ) -> bool {
        if !self.replay.ask(|state| allowed(state)) {
            return false;
        }
        protocol::switch(self, task);
        self.may_move(task.id);
        true
    }

    /// The task is where it may move.
    pub(crate) fn may_move(&self, id: usize) {
        self.replay.along(|state| state.may_move(self.config, id));
    }

    /// The handler has met a version in transition, and the task has no state.
    pub(crate) fn complain_about_no_state(&self) {
        self.replay
            .along(|state| state.violate(Violation::NoStateInHandler));
    }
}

impl Task for TaskRef<'_> {
    fn patch_state(self) -> Option<PatchState> {
        self.machine
            .replay
            .step(|state| Value::PatchState(state.tasks[self.id].patch_state))
            .patch_state()
    }

    fn set_patch_state(self, patch_state: Option<PatchState>) {
        self.machine
            .replay
            .change(|state| state.tasks[self.id].patch_state = patch_state);
    }

    fn is_pending(self) -> bool {
        self.machine
            .replay
            .ask(|state| state.tasks[self.id].pending)
    }

    fn set_pending(self) {
        self.machine
            .replay
            .change(|state| state.tasks[self.id].pending = true);
    }

    fn clear_pending(self) {
        self.machine
            .replay
            .change(|state| state.tasks[self.id].pending = false);
    }

    fn take_pending(self) -> bool {
        self.machine
            .replay
            .ask(|state| std::mem::take(&mut state.tasks[self.id].pending))
    }
}

impl<'a> System for &'a Machine<'a> {
    type Task = TaskRef<'a>;

    fn target_state(self) -> Option<PatchState> {
        self.replay
            .step(|state| Value::PatchState(state.target))
            .patch_state()
    }

    fn set_target_state(self, target: Option<PatchState>) {
        self.replay.change(|state| state.target = target);
    }

    fn pass(self) -> Option<Pass> {
        self.replay.step(|state| Value::Pass(state.pass)).pass()
    }

    fn set_pass(self, pass: Option<Pass>) {
        self.replay.change(|state| state.pass = pass);
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

        if self.is_current(id) {
            return self.switch_in_steps(task, |state| is_safe(state, id));
        }
        let new = self.replay.is_at_new_step();
        let safe = self.replay.ask(|state| {
            self.environment.lock_forks(self.config, state);
            is_off_cpu(state, id) && is_safe(state, id)
        });
        if safe && new {
            // The task is held off from running, so nobody can tell these steps apart.
            self.replay.as_one(|| protocol::switch(self, task));
            self.may_move(id);
        }
        safe
    }
}
