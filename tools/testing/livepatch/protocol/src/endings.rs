// SPDX-License-Identifier: GPL-2.0

//! Does a transition end if everybody does what can be expected?

use crate::{
    actions::{
        Action,
        Own, //
    },
    config::Config,
    faulty::environment::environment_of,
    procedure,
    terms::{
        Actor,
        Cpu,
        Kind,
        Life,
        Procedure, //
    },
    world::State,
};

/// How many turns everybody gets at most until a transition must have ended.
const ROUNDS: usize = 6;

impl Config {
    /// Does the transition end if each task gets its turn, and nobody stays where he is?
    pub(crate) fn ends(&self, state: &State) -> bool {
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
                self.wake(&mut state);
                continue;
            }
            let advance = Procedure::Advance;
            if let Some(next) = procedure::begin(self, state.clone(), Actor::Worker, advance) {
                state = self.finish_procedure(next);
                self.wake(&mut state);
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

    /// What happens to tasks that have yet to move after a pass.
    fn wake(&self, state: &mut State) {
        // Who has been preempted under the lock runs on.
        if let Some(writer) = state.writer {
            state.tasks[usize::from(writer)].asleep = false;
        }
        for task in state.tasks.iter_mut().filter(|task| task.is_alive()) {
            let woken = environment_of(self).is_woken(task);

            // A CPU is idle again at some time. If nothing is in the way, that does not matter.
            if task.cpu == Cpu::Busy && task.depth() > 0 {
                task.cpu = Cpu::Idle;
            }
            // What a task waits for does not happen, unless it is woken: it may sleep for ever,
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
                Action::LosePlace => false,
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
                .find_map(|&action| self.after(&state, action));
            match next {
                Some(next) => state = next,
                None => break,
            }
        }
        state
    }
}
