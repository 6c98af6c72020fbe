// SPDX-License-Identifier: GPL-2.0

//! The environment with a fault in it.

use crate::{
    config::Config,
    environment::{
        Environment,
        Honest, //
    },
    fault::Fault,
    terms::{
        Kind,
        Life,
        Procedure, //
    },
    world::{
        Ranges,
        State,
        TaskState, //
    },
};

/// The environment of a scenario.
pub(crate) fn environment_of(config: &Config) -> &dyn Environment {
    match &config.fault {
        None => &Honest,
        Some(fault) => fault,
    }
}

impl Environment for Fault {
    fn wait_for_writer(&self, state: &State) {
        if *self != Fault::NoSyncForks {
            Honest.wait_for_writer(state);
        }
    }

    fn lock_forks(&self, config: &Config, state: &State) {
        if *self != Fault::SwitchUnlocked {
            Honest.lock_forks(config, state);
        }
    }

    fn exiting(&self, state: &State) -> Vec<u8> {
        match self {
            Fault::ExitUnlisted => Vec::new(),
            _ => Honest.exiting(state),
        }
    }

    fn lock_cpus(&self, state: &mut State) {
        if *self != Fault::HotplugUnlocked {
            Honest.lock_cpus(state);
        }
    }

    fn is_in_section(&self, task: &TaskState) -> bool {
        match self {
            Fault::LastPreempted if task.life == Life::Last => false,
            Fault::UpdateDisturbed if task.thread.procedure == Some(Procedure::Update) => false,
            _ => Honest.is_in_section(task),
        }
    }

    fn ranges(&self, config: &Config, state: &State) -> Ranges {
        let mut ranges = Honest.ranges(config, state);

        match self {
            Fault::NoCallWindow => ranges.calls.clear(),
            // What the new patch lies on is the first one of each function.
            Fault::ReplaceShallow => ranges.codes.dedup_by_key(|(func, _)| *func),
            _ => {}
        }
        ranges
    }

    fn is_woken(&self, task: &TaskState) -> bool {
        match self {
            Fault::NoKick => task.kind != Kind::Idle,
            Fault::NoSignal => task.kind == Kind::Idle,
            _ => Honest.is_woken(task),
        }
    }
}
