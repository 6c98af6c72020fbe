// SPDX-License-Identifier: GPL-2.0

//! What must hold in each state, for the model checker.

use crate::{
    actions::Action,
    config::Config,
    model::phase::{
        PatchState,
        Phase, //
    },
    terms::{
        Kind,
        Violation, //
    },
    world::{
        State,
        TaskState, //
    },
};
use stateright::{
    Model,
    Property, //
};

/// A task that is asleep while the others go on.
fn sleeps_somewhere(task: &TaskState) -> bool {
    task.asleep && task.depth() > 0
}

macro_rules! never {
    ($violation:ident) => {
        Property::always(Violation::$violation.property(), |_, state: &State| {
            state.violation != Some(Violation::$violation)
        })
    };
}

/// What must never be.
fn safety() -> Vec<Property<Config>> {
    vec![
        never!(Mixed),
        never!(Divided),
        never!(Freed),
        never!(NoStateInHandler),
        never!(StateBefore),
        never!(PendingAfter),
        never!(Twice),
        never!(Behind),
        Property::always(Violation::Hooked.property(), |_, state: &State| {
            state.transition.is_some() || !state.hooked
        }),
        Property::always(
            Violation::Endless.property(),
            |config: &Config, state: &State| {
                let asked = state.transition.is_some()
                    && (config.thorough || state.worker.procedure.is_none());
                !asked || config.ends(state)
            },
        ),
    ]
}

/// What must happen, or the scenario shows nothing.
fn coverage(config: &Config) -> Vec<Property<Config>> {
    let mut properties = vec![
        Property::sometimes("a patch is enabled", |_, state: &State| {
            state
                .patches
                .iter()
                .any(|patch| patch.phase == Phase::Enabled)
        }),
        Property::sometimes("a patch is disabled", |_, state: &State| {
            state.transition == Some((0, PatchState::Unpatched)) && state.over
        }),
    ];

    if config.tasks.iter().any(|&(kind, _)| kind != Kind::Idle) {
        properties.push(Property::sometimes(
            "a task sleeps in mid-transition",
            |_, state: &State| {
                state.transition.is_some() && state.tasks.iter().any(sleeps_somewhere)
            },
        ));
    }
    properties
}

impl Model for Config {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.violation.is_none() {
            self.all_actions(state, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.after(state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = safety();

        properties.extend(coverage(self));
        properties
    }
}
