// SPDX-License-Identifier: GPL-2.0

//! What may happen next: all that the worker and the tasks can do in a state.

use crate::{
    config::Config,
    faulty::environment::environment_of,
    model::{
        operation::{
            self,
            Decision,
            Known,
            Operation,
            Registration, //
        },
        phase::{
            PatchState,
            Phase, //
        },
    },
    procedure,
    terms::{
        Actor,
        Cpu,
        Frame,
        Kind,
        Life,
        Place,
        Procedure,
        ALL_UNIVERSES, //
    },
    world::{
        State,
        TaskState,
        WalkPlace,
        DEPTH, //
    },
};

/// One step of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Begins a procedure.
    Begin(Actor, Procedure),
    /// Goes on with the procedure that it is in.
    Go(Actor),
    /// A task does something of its own.
    Task(usize, Own),
    /// A walk loses its place, as it let others run and the task is gone that it stands on. No task
    /// has to be gone for that here.
    LosePlace,
}

/// What a task does by itself, in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    EnterKernel,
    LeaveKernel,
    Call(u8),
    /// Gets to what the call jumps to.
    Jump,
    /// Gets to the first instruction of what the handler has chosen.
    Arrive,
    Return,
    /// Gives its CPU up, or loses it. An idle task halts its CPU.
    Sleep,
    Wake,
    /// The CPU of an idle task runs another one.
    Busy,
    /// It goes.
    Offline,
    /// It comes.
    Online,
    StartExit,
    Unhash,
    FinishExit,
    Die,
    /// Its parent takes it off the list.
    Reap,
}

impl Config {
    /// All that may happen next.
    pub(crate) fn all_actions(&self, state: &State, actions: &mut Vec<Action>) {
        match state.worker.procedure {
            Some(_) => actions.push(Action::Go(Actor::Worker)),
            None => self.worker_actions(state, actions),
        }
        if self.restart && state.worker.procedure.is_some() && state.place == WalkPlace::Kept {
            actions.push(Action::LosePlace);
        }
        for id in 0..state.tasks.len() {
            self.task_actions(state, id, actions);
        }
    }

    /// What comes of `action`, if it is possible.
    pub(crate) fn after(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();

        match action {
            Action::Begin(actor, procedure) => procedure::begin(self, next, actor, procedure),
            Action::Go(actor) => procedure::step(self, next, actor),
            Action::Task(id, own) => {
                act(self, &mut next, id, own);
                Some(next)
            }
            Action::LosePlace => {
                next.place = WalkPlace::Lost;
                Some(next)
            }
        }
    }

    /// What the worker may begin.
    fn worker_actions(&self, state: &State, actions: &mut Vec<Action>) {
        let mut begin = |procedure| actions.push(Action::Begin(Actor::Worker, procedure));

        for patch in 0..self.patches.len() as u8 {
            self.operations(state, patch, &mut begin);
        }
        if state.transition.is_some() {
            begin(Procedure::Advance);
            if self.force {
                begin(Procedure::Force);
            }
        }
        if self.switch {
            begin(Procedure::Switch(!state.may_jump));
        }
        let Some(func) = self.module_func else {
            return;
        };
        let in_use = state
            .tasks
            .iter()
            .any(|task| task.frames().any(|frame| frame.func == func));

        if !state.module_live {
            begin(Procedure::Coming);
            if self.failures {
                begin(Procedure::ComingFails);
            }
        } else if !in_use {
            begin(Procedure::Going);
        }
    }

    /// What the rules of the four operations allow. This is the kernel's own decision.
    fn operations(&self, state: &State, patch: u8, begin: &mut impl FnMut(Procedure)) {
        let known_patch = &state.patches[usize::from(patch)];
        let disabled = known_patch.phase == Phase::Disabled;

        if known_patch.forced && disabled {
            // Its module cannot be loaded again.
            return;
        }
        let known = Known {
            registration: self.registration,
            phase: known_patch.phase,
            other_running: state.transition.is_some_and(|(other, _)| other != patch),
            covered: state.order.last().is_some_and(|&last| last != patch),
        };
        let gone = disabled && self.registration == Registration::OneShot;

        for operation in [Operation::Enable, Operation::Disable] {
            match operation::decide(operation, Some(known).filter(|_| !gone)) {
                Ok(Decision::Admit(_) | Decision::Start(PatchState::Patched))
                    if state.transition.is_none() =>
                {
                    begin(Procedure::Enable(patch));
                    if self.failures {
                        begin(Procedure::EnableFails(patch));
                    }
                }
                Ok(Decision::Start(PatchState::Unpatched)) => begin(Procedure::Disable(patch)),
                Ok(Decision::Reverse) => begin(Procedure::Reverse),
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// What task `id` may do.
    pub(crate) fn task_actions(&self, state: &State, id: usize, actions: &mut Vec<Action>) {
        let task = &state.tasks[id];
        let unlocked = state.writer.is_none();
        let mut own = |own| actions.push(Action::Task(id, own));

        if task.life == Life::Zombie && unlocked {
            own(Own::Reap);
        }
        if !task.is_alive() {
            return;
        }
        match task.cpu {
            Cpu::Offline if state.cpus_locked => {}
            Cpu::Offline => own(Own::Online),
            Cpu::Busy => own(Own::Wake),
            Cpu::Idle if task.asleep => own(Own::Wake),
            Cpu::Idle => self.running_actions(state, id, actions),
        }
    }

    /// What a task may do that is on its CPU.
    fn running_actions(&self, state: &State, id: usize, actions: &mut Vec<Action>) {
        let task = &state.tasks[id];
        let own = |own| Action::Task(id, own);

        if let Some(procedure) = task.thread.procedure {
            actions.push(Action::Go(Actor::Task(id)));
            // A fork may sleep; under the lock, it may be preempted at most.
            let locked = state.writer == Some(id as u8);
            if matches!(procedure, Procedure::Fork(..)) && (!locked || self.preempt_rt) {
                actions.push(own(Own::Sleep));
            }
            return;
        }
        match task.life {
            Life::User => actions.extend([own(Own::EnterKernel), own(Own::Sleep)]),
            Life::Last => {
                actions.push(own(Own::Die));
                // It is preempted where that is possible.
                if !environment_of(self).is_in_section(task) {
                    actions.push(own(Own::Sleep));
                }
            }
            _ => {
                self.call_actions(state, id, actions);
                self.move_actions(state, id, actions);
                self.cpu_actions(state, id, actions);
                self.fork_actions(state, id, actions);
                self.exit_actions(state, id, actions);
            }
        }
    }

    /// What a task can do with patched functions.
    fn call_actions(&self, state: &State, id: usize, actions: &mut Vec<Action>) {
        let task = &state.tasks[id];
        let own = |own| Action::Task(id, own);

        match task.frames().last() {
            Some(Frame {
                place: Place::Called,
                func,
            }) => {
                actions.push(match state.jumps[usize::from(func)] {
                    Some(_) => own(Own::Jump),
                    None => Action::Begin(Actor::Task(id), Procedure::Handle(func)),
                });
                return;
            }
            Some(Frame {
                place: Place::Bound(_),
                ..
            }) => {
                actions.push(own(Own::Arrive));
                return;
            }
            Some(Frame {
                place: Place::In(_),
                ..
            }) => actions.push(own(Own::Return)),
            None => {}
        }
        let quiet = self.quiet && matches!(state.worker.procedure, Some(Procedure::Enable(_)));

        if task.depth() < self.depth && !quiet {
            for func in (0..self.funcs).filter(|&func| state.is_loaded(self, func)) {
                actions.push(own(Own::Call(func)));
            }
        }
    }

    /// What a task does when it leaves the kernel or is in the idle loop.
    fn move_actions(&self, state: &State, id: usize, actions: &mut Vec<Action>) {
        let task = &state.tasks[id];

        if task.depth() > 0 || task.life != Life::Kernel {
            return;
        }
        match task.kind {
            Kind::User | Kind::Idle if task.pending => {
                actions.push(Action::Begin(Actor::Task(id), Procedure::Update));
            }
            Kind::User => actions.push(Action::Task(id, Own::LeaveKernel)),
            Kind::Idle | Kind::Kthread => {}
        }
    }

    /// How a task gives its CPU up, and what becomes of that of an idle task.
    fn cpu_actions(&self, state: &State, id: usize, actions: &mut Vec<Action>) {
        let task = &state.tasks[id];
        let mut own = |own| actions.push(Action::Task(id, own));

        if !task.is_idle() || !task.is_in_call() {
            own(Own::Sleep);
        }
        if task.is_idle() && self.cpus && !task.is_in_call() {
            own(Own::Busy);
            if !state.cpus_locked {
                own(Own::Offline);
            }
        }
        // Any task that sleeps where it may be frozen, and one that is preempted there.
        let freezable = matches!(task.kind, Kind::User | Kind::Kthread);
        if freezable && state.hooked {
            actions.push(Action::Begin(Actor::Task(id), Procedure::Schedule));
        }
    }

    fn fork_actions(&self, state: &State, id: usize, actions: &mut Vec<Action>) {
        let task = &state.tasks[id];
        let unborn = |task: &TaskState| task.life == Life::Unborn;

        if !self.fork || task.life != Life::Kernel || task.is_in_call() {
            return;
        }
        if let Some(child) = state.tasks.iter().position(unborn) {
            let places = if self.quiet {
                &[false][..]
            } else {
                &[false, true]
            };
            for &thread in places {
                let fork = Procedure::Fork(child as u8, thread);
                actions.push(Action::Begin(Actor::Task(id), fork));
            }
        }
    }

    fn exit_actions(&self, state: &State, id: usize, actions: &mut Vec<Action>) {
        let task = &state.tasks[id];
        let mut own = |own| actions.push(Action::Task(id, own));

        if !self.exit || task.kind != Kind::User || task.is_in_call() {
            return;
        }
        match task.life {
            Life::Kernel => own(Own::StartExit),
            Life::Exiting => {
                if state.writer.is_none() {
                    own(Own::Unhash);
                }
                own(Own::FinishExit);
            }
            Life::Unhashed => own(Own::FinishExit),
            _ => {}
        }
    }
}

/// Task `id` does what it does by itself.
fn act(config: &Config, state: &mut State, id: usize, own: Own) {
    let task = &mut state.tasks[id];

    match own {
        Own::EnterKernel => task.life = Life::Kernel,
        Own::LeaveKernel => {
            task.life = Life::User;
            task.universes = ALL_UNIVERSES;
        }
        Own::Call(func) => {
            let at = task.depth();
            task.frames[at] = Some(Frame {
                func,
                place: Place::Called,
            });
        }
        Own::Jump => jump(config, state, id),
        Own::Arrive => {
            task.awaited_call = false;
            if let Some(frame) = task.top() {
                if let Place::Bound(code) = frame.place {
                    frame.place = Place::In(code);
                }
            }
        }
        Own::Return => {
            let at = task.depth() - 1;
            task.frames[at] = None;
        }
        Own::Sleep => task.asleep = true,
        Own::Wake => {
            task.asleep = false;
            task.cpu = Cpu::Idle;
        }
        Own::Busy => task.cpu = Cpu::Busy,
        Own::Offline => {
            // It does not return to what it is in, but begins anew.
            task.cpu = Cpu::Offline;
            task.frames = [None; DEPTH];
            task.universes = ALL_UNIVERSES;
        }
        Own::Online => task.cpu = Cpu::Idle,
        Own::StartExit => task.life = Life::Exiting,
        Own::Unhash | Own::FinishExit | Own::Die | Own::Reap => end_life(state, id, own),
    }
}

/// Task `id` goes where its call jumps to.
fn jump(config: &Config, state: &mut State, id: usize) {
    let jumps = state.jumps;
    let task = &mut state.tasks[id];

    task.awaited_call = false;
    let Some(frame) = task.top() else {
        return;
    };
    let func = frame.func;
    let code = jumps[usize::from(func)];

    frame.place = Place::In(code);
    state.see(config, id, func, code);
    state.check_freed();
}

/// The last steps of task `id`, in which it goes off the lists.
fn end_life(state: &mut State, id: usize, own: Own) {
    let task = &mut state.tasks[id];
    let listed = |&other: &u8| usize::from(other) == id;

    match own {
        Own::Unhash => {
            task.life = Life::Unhashed;
            state.unlist(id);
        }
        Own::FinishExit => task.life = Life::Last,
        Own::Reap => {
            task.life = Life::Gone;
            state.unlist(id);
        }
        Own::Die => {
            // What it was in, it does not return to.
            task.frames = [None; DEPTH];
            task.life = if state.list.iter().any(listed) {
                Life::Zombie
            } else {
                Life::Gone
            };
            // A stack check finds nothing on its stack.
            task.asleep = true;
            task.awaited = false;
            task.awaited_call = false;
            task.universes = ALL_UNIVERSES;
        }
        _ => unreachable!(),
    }
}
