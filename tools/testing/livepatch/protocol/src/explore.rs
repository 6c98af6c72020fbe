// SPDX-License-Identifier: GPL-2.0

//! What may happen next: all that the worker and the tasks can do in a state.

use crate::{
    config::{
        Config,
        Fault,
        BEHIND,
        ENDS,
        FREED,
        HOOKED,
        LEFT,
        MIXED,
        NO_STATE,
        PENDING,
        STATE_BEFORE,
        TWICE, //
    },
    model::{
        operation::{
            self,
            Decision, //
            Known,
            Operation,
            Registration,
        },
        phase::{
            PatchState, //
            Phase,
        },
    },
    procedure::{
        self,
        Actor,
        Procedure, //
    },
    world::{
        Cpu,
        Frame,
        Kind,
        Life,
        Place,
        State,
        TaskState,
        Violation,
        ALL_UNIVERSES,
        DEPTH, //
    },
};
use stateright::{
    Model,
    Property, //
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
}

/// What a task does by itself, in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    EnterKernel,
    LeaveKernel,
    Call(u8),
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

/// How many turns everybody gets at most until a transition must have ended.
const ROUNDS: usize = 6;

impl Config {
    /// What the rules of the four operations allow. This is the kernel's own decision.
    fn operations(&self, state: &State, actions: &mut Vec<Action>) {
        let begin = |procedure| Action::Begin(Actor::Worker, procedure);

        for (patch, at) in (0..self.patches.len() as u8).zip(&state.patches) {
            if at.forced && at.phase == Phase::Disabled {
                // Its module cannot be loaded again.
                continue;
            }
            let known = Known {
                registration: self.registration,
                phase: at.phase,
                other_running: state.transition.is_some_and(|(other, _)| other != patch),
                covered: state.order.last().is_some_and(|&last| last != patch),
            };
            let gone = at.phase == Phase::Disabled && self.registration == Registration::OneShot;

            for operation in [Operation::Enable, Operation::Disable] {
                match operation::decide(operation, Some(known).filter(|_| !gone)) {
                    Ok(Decision::Admit(_) | Decision::Start(PatchState::Patched))
                        if state.transition.is_none() =>
                    {
                        actions.push(begin(Procedure::Enable(patch)));
                        if self.failures {
                            actions.push(begin(Procedure::EnableFails(patch)));
                        }
                    }
                    Ok(Decision::Start(PatchState::Unpatched)) => {
                        actions.push(begin(Procedure::Disable(patch)));
                    }
                    Ok(Decision::Reverse) => actions.push(begin(Procedure::Reverse)),
                    Ok(_) | Err(_) => {}
                }
            }
        }
        if state.transition.is_some() {
            actions.push(begin(Procedure::Advance));
            if self.force {
                actions.push(begin(Procedure::Force));
            }
        }
        if let Some(func) = self.module_func {
            let in_use = state
                .tasks
                .iter()
                .any(|task| task.frames().any(|frame| frame.func == func));

            if !state.module_live {
                actions.push(begin(Procedure::Coming));
                if self.failures {
                    actions.push(begin(Procedure::ComingFails));
                }
            } else if !in_use {
                actions.push(begin(Procedure::Going));
            }
        }
    }

    fn task_actions(&self, state: &State, id: usize, actions: &mut Vec<Action>) {
        let task = &state.tasks[id];
        let own = |own| Action::Task(id, own);

        if task.life == Life::Zombie && state.readers == 0 && state.writer.is_none() {
            actions.push(own(Own::Reap));
        }
        if !task.is_alive() {
            return;
        }
        match task.cpu {
            Cpu::Idle => {}
            Cpu::Busy => {
                actions.push(own(Own::Wake));
                return;
            }
            Cpu::Offline => {
                if !state.cpus_locked {
                    actions.push(own(Own::Online));
                }
                return;
            }
        }
        if task.asleep {
            actions.push(own(Own::Wake));
            return;
        }
        if let Some(procedure) = task.thread.procedure {
            actions.push(Action::Go(Actor::Task(id)));
            // A fork may sleep before it takes the lock.
            if matches!(procedure, Procedure::Fork(..)) && state.writer != Some(id as u8) {
                actions.push(own(Own::Sleep));
            }
            return;
        }
        if task.life == Life::User {
            actions.extend([own(Own::EnterKernel), own(Own::Sleep)]);
            return;
        }
        if task.life == Life::Last {
            actions.push(own(Own::Die));
            if self.is(Fault::LastPreempted) {
                actions.push(own(Own::Sleep));
            }
            return;
        }
        self.call_actions(state, id, actions);

        if task.depth() == 0 && task.life == Life::Kernel {
            match task.kind {
                Kind::User if task.pending => {
                    actions.push(Action::Begin(Actor::Task(id), Procedure::Update));
                }
                Kind::User => actions.push(own(Own::LeaveKernel)),
                Kind::Idle if task.pending => {
                    actions.push(Action::Begin(Actor::Task(id), Procedure::Update));
                }
                Kind::Idle | Kind::Kthread => {}
            }
        }
        if !task.is_idle() || !task.is_in_call() {
            actions.push(own(Own::Sleep));
        }
        if task.is_idle() && self.cpus && !task.is_in_call() {
            actions.push(own(Own::Busy));
            if !state.cpus_locked {
                actions.push(own(Own::Offline));
            }
        }
        // Any task that sleeps where it may be frozen, and one that is preempted there. None that
        // exits does.
        let freezable =
            matches!(task.kind, Kind::User | Kind::Kthread) && task.life == Life::Kernel;
        if freezable && state.hooked {
            actions.push(Action::Begin(Actor::Task(id), Procedure::Schedule));
        }
        if self.fork && task.life == Life::Kernel && !task.is_in_call() {
            let child = state
                .tasks
                .iter()
                .position(|task| task.life == Life::Unborn);
            if let Some(child) = child {
                for front in [false, true]
                    .into_iter()
                    .take(if self.quiet { 1 } else { 2 })
                {
                    let fork = Procedure::Fork(child as u8, front);
                    actions.push(Action::Begin(Actor::Task(id), fork));
                }
            }
        }
        if self.exit && task.kind == Kind::User && !task.is_in_call() {
            match task.life {
                Life::Kernel => actions.push(own(Own::StartExit)),
                Life::Exiting => {
                    if state.readers == 0 && state.writer.is_none() {
                        actions.push(own(Own::Unhash));
                    }
                    actions.push(own(Own::FinishExit));
                }
                Life::Unhashed => actions.push(own(Own::FinishExit)),
                _ => {}
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
                actions.push(Action::Begin(Actor::Task(id), Procedure::Handle(func)));
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

    fn act(&self, state: &mut State, id: usize, own: Own) {
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
            Own::Unhash => {
                task.life = Life::Unhashed;
                state.list.retain(|&other| usize::from(other) != id);
            }
            Own::FinishExit => task.life = Life::Last,
            Own::Reap => {
                task.life = Life::Gone;
                state.list.retain(|&other| usize::from(other) != id);
            }
            Own::Die => {
                // What it was in, it does not return to.
                task.frames = [None; DEPTH];
                task.life = if state.list.iter().any(|&other| usize::from(other) == id) {
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
        }
    }

    /// Does the transition end if each task gets its turn, and nobody stays where he is?
    fn ends(&self, state: &State) -> bool {
        let mut state = state.clone();

        for _ in 0..ROUNDS {
            if state.transition.is_none() && state.worker.procedure.is_none() {
                return true;
            }
            for id in 0..state.tasks.len() {
                state = self.take_turn(state, id);
                // A busy kthread is never found asleep.
                if state.tasks[id].kind == Kind::Kthread {
                    state.tasks[id].asleep = false;
                }
            }
            if state.worker.procedure.is_some() {
                state = self.finish_procedure(state);
                self.prod(&mut state);
                continue;
            }
            let advance = Procedure::Advance;
            if let Some(next) = procedure::begin(self, state.clone(), Actor::Worker, advance) {
                state = self.finish_procedure(next);
                self.prod(&mut state);
            }
        }
        false
    }

    fn finish_procedure(&self, mut state: State) -> State {
        while let Some(next) = procedure::step(self, state.clone(), Actor::Worker) {
            state = next;
        }
        state
    }

    /// What happens to tasks that a pass has left behind.
    fn prod(&self, state: &mut State) {
        for task in state.tasks.iter_mut().filter(|task| task.is_alive()) {
            let woken = match task.kind {
                Kind::Idle => !self.is(Fault::NoKick),
                _ => !self.is(Fault::NoSignal),
            };
            // A CPU is idle again at some time. If nothing is in the way, that does not matter.
            if task.cpu == Cpu::Busy && task.depth() > 0 {
                task.cpu = Cpu::Idle;
            }
            // What a task waits for does not happen, unless it is prodded: it may sleep for ever,
            // and one in user space need not call the kernel.
            if task.is_in_call() {
                // It does not sleep, it was preempted.
                task.asleep = false;
            } else if woken && task.pending {
                task.asleep = false;
                if task.life == Life::User {
                    task.life = Life::Kernel;
                }
            }
        }
    }

    /// A task that is awake gets out of all functions, and to where it moves itself or sleeps.
    fn take_turn(&self, mut state: State, id: usize) -> State {
        let mut actions = Vec::new();

        // Each step gets it nearer to its end: it makes no calls and does not fork.
        for _ in 0..100 {
            let task = &state.tasks[id];
            let waits = task.asleep || task.cpu != Cpu::Idle || task.life == Life::User;
            if waits || !task.is_alive() {
                break;
            }
            actions.clear();
            self.task_actions(&state, id, &mut actions);
            let wanted = |action: &&Action| match action {
                Action::Go(_) => true,
                Action::Begin(_, procedure) => !matches!(procedure, Procedure::Fork(..)),
                Action::Task(_, own) => !matches!(
                    own,
                    Own::Call(_) | Own::Sleep | Own::Busy | Own::Offline | Own::StartExit
                ),
            };
            let next = actions
                .iter()
                .filter(wanted)
                .find_map(|&action| self.next_state(&state, action));
            match next {
                Some(next) => state = next,
                None => break,
            }
        }
        state
    }
}

/// A task that is asleep while the others go on.
fn sleeps_somewhere(task: &TaskState) -> bool {
    task.asleep && task.depth() > 0
}

macro_rules! never {
    ($name:expr, $violation:ident) => {
        Property::always($name, |_, state: &State| {
            state.violation != Some(Violation::$violation)
        })
    };
}

impl Model for Config {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.violation.is_some() {
            return;
        }
        match state.worker.procedure {
            Some(_) => actions.push(Action::Go(Actor::Worker)),
            None => self.operations(state, actions),
        }
        for id in 0..state.tasks.len() {
            self.task_actions(state, id, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();

        match action {
            Action::Begin(actor, procedure) => procedure::begin(self, next, actor, procedure),
            Action::Go(actor) => procedure::step(self, next, actor),
            Action::Task(id, own) => {
                self.act(&mut next, id, own);
                Some(next)
            }
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            never!(MIXED, Mixed),
            never!(LEFT, Left),
            never!(FREED, Freed),
            never!(NO_STATE, NoStateInHandler),
            never!(STATE_BEFORE, StateBefore),
            never!(PENDING, PendingAfter),
            never!(TWICE, Twice),
            never!(BEHIND, Behind),
            Property::always(HOOKED, |_, state: &State| {
                state.transition.is_some() || !state.hooked
            }),
            Property::always(ENDS, |config: &Config, state: &State| {
                let asked = state.transition.is_some()
                    && (config.thorough || state.worker.procedure.is_none());
                !asked || config.ends(state)
            }),
            Property::sometimes("a patch is enabled", |_, state: &State| {
                state.patches.iter().any(|at| at.phase == Phase::Enabled)
            }),
            Property::sometimes("a patch is disabled", |_, state: &State| {
                state.transition == Some((0, PatchState::Unpatched)) && state.over
            }),
        ];
        if self
            .tasks
            .iter()
            .any(|&(kind, _)| matches!(kind, Kind::User | Kind::Kthread))
        {
            properties.push(Property::sometimes(
                "a task sleeps in mid-transition",
                |_, state: &State| {
                    state.transition.is_some() && state.tasks.iter().any(sleeps_somewhere)
                },
            ));
        }
        properties
    }
}
