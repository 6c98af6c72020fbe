// SPDX-License-Identifier: GPL-2.0

//! What the kernel does around the protocol, and what the protocol depends on.

use crate::{
    config::Config,
    ranges,
    replay::blocked,
    terms::{
        Life,
        Procedure, //
    },
    world::{
        Ranges,
        State,
        TaskState, //
    },
};

/// The provided functions say what is so.
pub(crate) trait Environment {
    /// What [`synchronize_forks`](crate::model::protocol::TransitionOps::synchronize_forks) does.
    fn wait_for_writer(&self, state: &State) {
        if state.writer.is_some() {
            blocked();
        }
    }

    /// Takes `tasklist_lock` for reading while a task is moved, where that is needed.
    fn lock_forks(&self, config: &Config, state: &State) {
        if config.preempt_rt && state.writer.is_some() {
            blocked();
        }
    }

    /// The list of exiting tasks.
    fn exiting(&self, state: &State) -> Vec<u8> {
        state.ids(|task| matches!(task.life, Life::Exiting | Life::Unhashed))
    }

    /// `cpus_read_lock()`
    fn lock_cpus(&self, state: &mut State) {
        state.cpus_locked = true;
    }

    /// Does the task run with preemption disabled, so that a synchronization has to wait for it?
    fn is_in_section(&self, task: &TaskState) -> bool {
        task.life == Life::Last
            || matches!(
                task.thread.procedure,
                Some(Procedure::Handle(_) | Procedure::Update | Procedure::Schedule)
            )
    }

    /// What is to be looked for on stacks.
    fn ranges(&self, config: &Config, state: &State) -> Ranges {
        ranges::collect(config, state)
    }

    /// Is the task woken, or its CPU made to pass its idle loop, by a pass that it stays behind in?
    fn is_woken(&self, _task: &TaskState) -> bool {
        true
    }
}

/// Everything is as it should be.
pub(crate) struct Honest;

impl Environment for Honest {}
