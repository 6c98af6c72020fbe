// SPDX-License-Identifier: GPL-2.0

//! What tasks have seen: which sets of patches fit the code that they ran.

use crate::{
    config::Config,
    model::phase::{
        PatchState,
        Phase, //
    },
    terms::{
        Code,
        Life,
        Universes,
        Violation,
        ALL_UNIVERSES, //
    },
    world::{
        State,
        TaskState, //
    },
};

/// The universes for which `fits` is true.
fn universes(fits: impl Fn(u8) -> bool) -> Universes {
    (0..8)
        .filter(|&universe| fits(universe))
        .fold(0, |set, universe| set | 1 << universe)
}

fn has(universe: u8, patch: u8) -> bool {
    universe & (1 << patch) != 0
}

impl State {
    /// What a task runs if `universe` has the patches that it sees.
    fn expected(&self, config: &Config, universe: u8, func: u8) -> Code {
        for &patch in self.order.iter().rev() {
            if !has(universe, patch) {
                continue;
            }
            if config.has(patch, func) {
                return Some(patch);
            }
            if config.patches[usize::from(patch)].replace {
                return None;
            }
        }
        None
    }

    fn universes_of(&self, config: &Config, func: u8, code: Code) -> Universes {
        universes(|universe| self.expected(config, universe, func) == code)
    }

    /// The universes that there may be: with all patches that are enabled, and with or without the
    /// one in transition.
    fn possible(&self) -> Universes {
        universes(|universe| {
            self.order.iter().all(|&patch| match self.transition {
                Some((running, target)) if running == patch => {
                    !self.over || has(universe, patch) == (target == PatchState::Patched)
                }
                _ => has(universe, patch),
            })
        })
    }

    /// Task `id` has got to `code` by calling `func`.
    pub(crate) fn see(&mut self, config: &Config, id: usize, func: u8, code: Code) {
        self.tasks[id].universes &= self.universes_of(config, func, code) & self.possible();
        if self.tasks[id].universes == 0 && !self.forced {
            self.violate(Violation::Mixed);
        }
    }

    /// Task `id` is at a point where it may move: only what it is still in binds it.
    pub(crate) fn may_move(&mut self, config: &Config, id: usize) {
        let universes = self.tasks[id]
            .frames()
            .filter_map(|frame| Some((frame.func, frame.code()?)))
            .fold(ALL_UNIVERSES, |set, (func, code)| {
                set & self.universes_of(config, func, code)
            });

        self.tasks[id].universes = universes;
        if universes == 0 && !self.forced {
            self.violate(Violation::Mixed);
        }
    }

    /// The transition of `patch` is over: all tasks see it, or none does.
    pub(crate) fn settle(&mut self, patch: u8, target: PatchState) {
        self.over = true;
        let fits = universes(|universe| has(universe, patch) == (target == PatchState::Patched));

        for task in &mut self.tasks {
            if task.is_alive() && task.life != Life::Last {
                task.universes &= fits;
            }
        }
        let lost = |task: &TaskState| task.is_alive() && task.universes == 0;
        if !self.forced && self.tasks.iter().any(lost) {
            self.violate(Violation::Divided);
        }
    }

    /// Takes the patches out of `order` that the transition, which is over, has taken out of use.
    pub(crate) fn end_transition(&mut self, config: &Config) {
        let Some((patch, target)) = self.transition.filter(|_| self.over) else {
            return;
        };
        let replace = config.patches[usize::from(patch)].replace;
        let older = self.order.iter().take_while(|&&other| other != patch);
        let older: Vec<_> = older.copied().collect();
        let is_gone = |other: &u8| match target {
            PatchState::Unpatched => *other == patch,
            PatchState::Patched => replace && older.contains(other),
        };

        self.patches[usize::from(patch)].phase = Phase::settled(target);
        let gone: Vec<_> = self.order.iter().copied().filter(is_gone).collect();
        for old in &gone {
            self.patches[usize::from(*old)].phase = Phase::Disabled;
        }
        // Whether a task has seen what is gone says nothing about what it sees from now on.
        for task in &mut self.tasks {
            for patch in &gone {
                let seen = task.universes;
                task.universes |= universes(|universe| has(seen, universe ^ (1 << patch)));
            }
        }
        self.order.retain(|other| !gone.contains(other));
        self.transition = None;
        self.over = false;
    }
}
