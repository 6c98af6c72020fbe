// SPDX-License-Identifier: GPL-2.0

//! What the worker and the tasks run step by step.

use crate::{
    config::Config,
    faulty::{
        environment::environment_of,
        Seeded, //
    },
    implementation::Implementation,
    machine::Machine,
    model::{
        choice::{
            self,
            Stacked, //
        },
        protocol::{
            self,
            Task, //
        },
    },
    replay::{
        self,
        Outcome,
        Replay, //
    },
    terms::{
        Actor,
        Code,
        Frame,
        Life,
        Place,
        Procedure, //
    },
    world::{
        State,
        Thread, //
    },
};

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
    let replay = Replay::new(state, &log);
    let machine = Machine::new(config, environment_of(config), actor, replay);

    let outcome = replay::run(|| match config.fault {
        None => run(procedure, &machine, &machine),
        Some(fault) => run(procedure, &machine, &Seeded::new(&machine, fault)),
    });
    let (mut state, fresh) = machine.replay.end();

    match outcome {
        Outcome::Ended(code) => {
            *thread(&mut state, actor) = Thread::default();
            end(config, &mut state, actor, procedure, code);
            Some(state)
        }
        Outcome::Stepped => {
            log.extend(fresh);
            thread(&mut state, actor).log = log;
            // The handler may just have met what is free.
            if matches!(actor, Actor::Task(_)) {
                state.check_freed();
            }
            Some(state)
        }
        Outcome::Blocked => None,
    }
}

/// Returns what a call of a patched function leads to, if that is what is run.
fn run(procedure: Procedure, machine: &Machine<'_>, implementation: impl Implementation) -> Code {
    let current = || implementation.task(machine.current());

    match procedure {
        Procedure::Enable(patch) | Procedure::EnableFails(patch) => {
            let fails = matches!(procedure, Procedure::EnableFails(_));
            // The caller has nothing more to do when this fails.
            let _ = protocol::enable(&mut implementation.transition(patch, fails));
        }
        Procedure::Disable(patch) => {
            // It fails only when ftrace does.
            let _ = protocol::disable(&mut implementation.transition(patch, false));
        }
        Procedure::Reverse => {
            let (patch, target) = machine.under_way();
            protocol::reverse(&mut implementation.transition(patch, false), target);
        }
        Procedure::Advance => {
            let (patch, target) = machine.under_way();
            let mut transition = implementation.transition(patch, false);

            if protocol::advance(&mut transition, target) {
                protocol::finish(&mut transition, target);
            }
        }
        Procedure::Force => {
            let (patch, target) = machine.under_way();
            machine.permit_anything();
            protocol::force(&mut implementation.transition(patch, false), target);
        }
        Procedure::Coming => coming(machine, implementation, false),
        Procedure::ComingFails => coming(machine, implementation, true),
        Procedure::Going => going(machine, implementation),
        Procedure::Switch(permitted) => {
            machine.permit_jumps(permitted);
            if permitted {
                machine.jump_where_settled();
            } else {
                let all: Vec<_> = (0..machine.config.funcs).collect();
                machine.leave_jumps(&all);
            }
        }
        Procedure::Handle(func) => return handle(machine, implementation, func),
        Procedure::Update => {
            protocol::update(implementation.system(), current());
        }
        Procedure::Schedule => protocol::schedule(implementation.system(), current()),
        Procedure::Fork(child, thread) => {
            fork(machine, implementation, child.into(), thread);
        }
    }
    None
}

/// `fails` says that there is no memory for the last of the patches.
fn coming(machine: &Machine<'_>, implementation: impl Implementation, fails: bool) {
    let patches = machine.module_patches();
    let (last, others) = match patches.split_last() {
        Some((&last, others)) => (Some(last), others),
        None => (None, &[][..]),
    };

    for &patch in others {
        let _ = protocol::coming(&mut implementation.module(patch, false));
    }
    let applied =
        last.is_none_or(|patch| protocol::coming(&mut implementation.module(patch, fails)).is_ok());
    if !applied {
        for &patch in others {
            protocol::refused(&mut implementation.module(patch, false));
        }
    }
    machine.jump_where_settled();
    protocol::loaded(implementation.system());
    machine.set_module_live(!fails);
}

fn going(machine: &Machine<'_>, implementation: impl Implementation) {
    let patches = machine.module_patches();

    machine.set_module_live(false);
    for patch in patches {
        protocol::going(&mut implementation.module(patch, false));
    }
}

fn fork(machine: &Machine<'_>, implementation: impl Implementation, child: usize, thread: bool) {
    let parent = machine.current();

    machine.copy_task(parent, child);
    machine.write_lock(parent);
    implementation.inherit(parent, child);
    machine.add_task(parent, child, thread);
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
fn handle(machine: &Machine<'_>, implementation: impl Implementation, func: u8) -> Code {
    let patch = machine.top(func)?;
    let mut chosen = Met {
        machine,
        patch,
        func,
    };

    if chosen.in_transition() {
        let mut patch_state = implementation.task(machine.current()).patch_state();

        if patch_state.is_none() {
            patch_state = implementation.state_in_handler();
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
            state.end_transition(config);
            state.check_freed();
            // No walk has a pointer any more.
            for task in &mut state.tasks {
                task.next = None;
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
