// SPDX-License-Identifier: GPL-2.0

//! Running the protocol one step at a time.
//!
//! The protocol is plain code, which a model checker cannot stop in the middle of and copy. So what
//! came of each step is logged, and to go on means to run the code again from its start, with the
//! results from the log, until one more step is made; the next one after that unwinds. What the
//! code does to the world between two steps is only done the first time it gets there.

use crate::{
    config::Config,
    machine::{
        Machine,
        Steps, //
    },
    model::{
        choice::{
            self,
            Stacked, //
        },
        phase::PatchState,
        protocol::{
            self,
            Task, //
        },
    },
    world::{
        Code,
        Frame,
        Life,
        Place,
        State,
        Thread, //
    },
};
use std::panic::{
    self,
    AssertUnwindSafe, //
};

/// Who takes a step: the thread under `klp_mutex`, or a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Actor {
    Worker,
    Task(usize),
}

/// A piece of code that is run step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Procedure {
    /// By the worker.
    Enable(u8),
    /// There is not enough memory to apply the patch.
    EnableFails(u8),
    Disable(u8),
    Reverse,
    /// One pass over the tasks, and the end of the transition if none is left.
    Advance,
    Force,
    Coming,
    /// There is not enough memory for that.
    ComingFails,
    Going,
    /// By a task.
    Handle(u8),
    Update,
    Schedule,
    /// Forks this task, and puts it at the end of the list or, as a thread of one at its front, at
    /// the front.
    Fork(u8, bool),
}

impl Procedure {
    /// Is a task in this with preemption disabled?
    pub(crate) fn is_section(self, config: &Config) -> bool {
        match self {
            Procedure::Handle(_) | Procedure::Schedule => true,
            Procedure::Update => !config.is(crate::config::Fault::UpdateDisturbed),
            _ => false,
        }
    }
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Done,
    Bool(bool),
    PatchState(Option<PatchState>),
    Version(Option<u8>),
    /// Tasks, one in each four bits, the first one lowest; 15 ends the list.
    Tasks(u32),
}

/// Why a procedure did not get further.
enum Stop {
    /// It has made its step.
    Later,
    /// Its step is not possible now.
    Blocked,
}

/// Ends this run of a procedure.
pub(crate) fn later() -> ! {
    panic::resume_unwind(Box::new(Stop::Later))
}

/// Ends this run of a procedure, which has not got any further.
pub(crate) fn blocked() -> ! {
    panic::resume_unwind(Box::new(Stop::Blocked))
}

fn thread(state: &mut State, actor: Actor) -> &mut Thread {
    match actor {
        Actor::Worker => &mut state.worker,
        Actor::Task(id) => &mut state.tasks[id].thread,
    }
}

/// Begins `procedure` and makes its first step.
pub(crate) fn begin(
    config: &Config,
    mut state: State,
    actor: Actor,
    procedure: Procedure,
) -> Option<State> {
    thread(&mut state, actor).procedure = Some(procedure);
    step(config, state, actor)
}

/// Makes the next step of the procedure that `actor` is in, if that is possible.
pub(crate) fn step(config: &Config, mut state: State, actor: Actor) -> Option<State> {
    let procedure = thread(&mut state, actor).procedure?;
    // A copy: the log tells others what the task has seen so far.
    let mut log = thread(&mut state, actor).log.clone();
    let machine = Machine::new(config, state, actor, &log);

    let ended = panic::catch_unwind(AssertUnwindSafe(|| run(procedure, &machine)));
    let (mut state, fresh) = machine.end();

    match ended {
        Ok(result) => {
            *thread(&mut state, actor) = Thread::default();
            end(config, &mut state, actor, procedure, result);
            Some(state)
        }
        Err(stop) => match stop.downcast::<Stop>().map(|stop| *stop) {
            Ok(Stop::Later) => {
                log.extend(fresh);
                thread(&mut state, actor).log = log;
                // The handler may just have met what is free.
                if matches!(actor, Actor::Task(_)) {
                    state.check_freed();
                }
                Some(state)
            }
            Ok(Stop::Blocked) => None,
            Err(other) => panic::resume_unwind(other),
        },
    }
}

/// Returns what a call of a patched function leads to, if that is what is run.
fn run(procedure: Procedure, machine: &Machine<'_>) -> Code {
    let steps = |patch| Steps {
        machine,
        patch,
        fails: matches!(procedure, Procedure::EnableFails(_)),
    };

    match procedure {
        Procedure::Enable(patch) | Procedure::EnableFails(patch) => {
            // The caller has nothing more to do when this fails.
            let _ = protocol::enable(&mut steps(patch));
        }
        Procedure::Disable(patch) => protocol::disable(&mut steps(patch)),
        Procedure::Reverse => {
            let (patch, target) = machine.transition();
            protocol::reverse(&mut steps(patch), target);
        }
        Procedure::Advance => {
            let (patch, target) = machine.transition();
            let mut steps = steps(patch);

            if protocol::advance(&mut steps, target) {
                protocol::finish(&mut steps, target);
            }
        }
        Procedure::Force => {
            let (patch, target) = machine.transition();
            machine.permit_anything();
            protocol::force(&mut steps(patch), target);
        }
        Procedure::Coming => machine.coming(false),
        Procedure::ComingFails => machine.coming(true),
        Procedure::Going => machine.going(),
        Procedure::Handle(func) => return handle(machine, func),
        Procedure::Update => protocol::update(machine, machine.current()),
        Procedure::Schedule => protocol::schedule(machine, machine.current()),
        Procedure::Fork(child, front) => machine.fork(child.into(), front),
    }
    None
}

/// A version that the handler has met.
#[derive(Clone, Copy)]
struct Met<'a> {
    machine: &'a Machine<'a>,
    patch: u8,
    func: u8,
}

impl Stacked for Met<'_> {
    fn in_transition(self) -> bool {
        self.machine.is_flagged(self.patch, self.func)
    }

    fn below(self) -> Option<Self> {
        let patch = self.machine.below(self.patch, self.func)?;

        Some(Met { patch, ..self })
    }
}

/// `klp_ftrace_handler()`, whose shell is C; the choice is the kernel's own.
fn handle<'a>(machine: &'a Machine<'a>, func: u8) -> Code {
    let patch = machine.top(func)?;
    let mut chosen = Met {
        machine,
        patch,
        func,
    };

    if chosen.in_transition() {
        let mut patch_state = machine.current().patch_state();

        if patch_state.is_none() {
            patch_state = machine.state_in_handler();
        }
        chosen = choice::choose(chosen, patch_state)?;
    }
    machine.replacement(chosen.patch, func)
}

/// What follows from a procedure that has come to its end.
fn end(config: &Config, state: &mut State, actor: Actor, procedure: Procedure, code: Code) {
    match (actor, procedure) {
        (Actor::Worker, _) => {
            if procedure == Procedure::Force {
                state.check_forced();
            }
            state.retire(config);
            state.check_freed();
            // No walk has a pointer any more.
            for task in &mut state.tasks {
                if task.life == Life::Gone {
                    task.life = Life::Unborn;
                }
            }
        }
        (Actor::Task(id), Procedure::Handle(func)) => {
            if let Some(frame) = state.tasks[id].top() {
                *frame = Frame {
                    func,
                    place: Place::Bound(code),
                };
            }
            state.tasks[id].awaited = false;
            state.see(config, id, func, code);
            state.check_freed();
        }
        (Actor::Task(id), Procedure::Update) => {
            state.tasks[id].awaited = false;
            state.may_move(config, id);
        }
        (Actor::Task(id), Procedure::Schedule) => {
            state.tasks[id].awaited = false;
            state.tasks[id].asleep = true;
        }
        (Actor::Task(_), _) => {}
    }
}
