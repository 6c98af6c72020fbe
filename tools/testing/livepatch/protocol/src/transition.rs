// SPDX-License-Identifier: GPL-2.0

//! What each step of a transition does to the world.

use crate::{
    machine::{
        Machine,
        TaskRef, //
    },
    model::{
        phase::{
            PatchState,
            Phase, //
        },
        protocol::{
            Assumption,
            Event,
            TransitionOps,
            Visit, //
        },
    },
    terms::Violation,
};

/// A transition.
pub(crate) struct Transition<'a> {
    pub(crate) machine: &'a Machine<'a>,
    pub(crate) patch: u8,
    /// Does applying fail after the first function?
    pub(crate) fails: bool,
}

/// A patch cannot be applied.
pub(crate) struct NoMemory;

impl Transition<'_> {
    /// The patches that this one replaces.
    fn replaced(&self) -> Vec<u8> {
        let machine = self.machine;

        if !machine.config.patches[usize::from(self.patch)].replace {
            return Vec::new();
        }
        let state = machine.replay.world();
        let older = state.order.iter().take_while(|&&old| old != self.patch);
        older.copied().collect()
    }

    fn revert_funcs(&self, patch: u8, only: impl Fn(u8) -> bool) {
        for func in self.machine.funcs(patch) {
            if only(func) {
                self.machine
                    .replay
                    .change(|state| state.remove(patch, func));
            }
        }
    }

    /// Puts the versions on their stacks.
    pub(crate) fn push_funcs(&self) -> Result<(), NoMemory> {
        let (machine, patch) = (self.machine, self.patch);

        for func in machine.funcs(patch) {
            let loaded = machine.replay.world().is_loaded(machine.config, func);
            if loaded {
                machine.replay.change(|state| state.push(patch, func));
            }
            if self.fails {
                return Err(NoMemory);
            }
        }
        Ok(())
    }

    /// Takes the nops of the patch off.
    pub(crate) fn revert_nops(&self) {
        let config = self.machine.config;

        self.revert_funcs(self.patch, |func| !config.has(self.patch, func));
    }
}

impl<'a> TransitionOps for Transition<'a> {
    type System = &'a Machine<'a>;
    type Error = NoMemory;

    fn system(&self) -> &'a Machine<'a> {
        self.machine
    }

    fn on_event(&mut self, event: Event) {
        let patch = self.patch;

        self.machine.replay.along(|state| match event {
            Event::Initializing(target) => {
                if target == PatchState::Patched {
                    state.order.push(patch);
                }
                state.transition = Some((patch, target));
                state.patches[usize::from(patch)].phase = Phase::towards(target);
            }
            Event::Reversed(target) => {
                state.transition = Some((patch, target));
                state.patches[usize::from(patch)].phase = Phase::towards(target);
            }
            Event::Canceling => {
                state.transition = Some((patch, PatchState::Unpatched));
            }
            Event::Complete(target) => state.settle(patch, target),
            Event::Starting(_) | Event::Reversing(_) | Event::Completing(_) => {}
        });
    }

    fn complain_unless(&self, assumption: Assumption, holds: bool) {
        if !holds {
            self.machine.replay.along(|state| {
                state.violate(match assumption {
                    Assumption::NoPatchState => Violation::StateBefore,
                    Assumption::AllMoved => Violation::Divided,
                    Assumption::NonePending => Violation::PendingAfter,
                });
            });
        }
    }

    fn synchronize_forks(&mut self) {
        self.machine.synchronize_forks();
    }

    fn each_task(&mut self, mut f: impl FnMut(TaskRef<'a>, bool) -> Visit) {
        let machine = self.machine;

        let exiting = machine.each_listed(|id| {
            f(machine.task(id), false);
        });
        for id in exiting {
            f(machine.task(id), false);
        }
        machine.each_idle(|id, offline| {
            if f(machine.task(id), offline) == Visit::Moved && offline {
                machine.may_move(id);
            }
        });
    }

    fn flag(&mut self, in_transition: bool) {
        let (machine, patch) = (self.machine, self.patch);

        for func in machine.funcs(patch) {
            machine
                .replay
                .change(|state| state.version(patch, func).flag = in_transition);
        }
    }

    fn apply(&mut self) -> Result<(), NoMemory> {
        self.leave_jumps()?;
        self.push_funcs()
    }

    fn leave_jumps(&mut self) -> Result<(), NoMemory> {
        self.machine.leave_jumps(&self.machine.funcs(self.patch));
        Ok(())
    }

    fn jump(&mut self) {
        self.machine.jump_where_settled();
    }

    fn prepare_to_revert(&mut self) {}

    fn publish_ranges(&mut self) {
        self.machine.publish_ranges();
    }

    fn withdraw_ranges(&mut self) {
        self.machine.replay.change(|state| state.ranges = None);
    }

    fn hook_scheduler(&mut self, hooked: bool) {
        self.machine.replay.change(|state| state.hooked = hooked);
    }

    fn revert(&mut self) {
        self.revert_funcs(self.patch, |_| true);
    }

    fn revert_replaced(&mut self) {
        for old in self.replaced() {
            self.revert_funcs(old, |_| true);
        }
        // The nops come last.
        self.revert_nops();
    }

    fn synchronize(&mut self) {
        self.machine.synchronize();
    }

    fn synchronize_tasks(&mut self) {
        self.machine.synchronize_tasks();
    }

    fn discard(&mut self) {
        let (config, patch) = (self.machine.config, self.patch);

        self.machine
            .replay
            .along(|state| state.check_nops(config, patch));
    }

    fn run_post_callbacks(&mut self, _target: PatchState) {}

    fn pin_forced(&mut self, target: PatchState) {
        let pinned = match target {
            PatchState::Unpatched => vec![self.patch],
            PatchState::Patched => self.replaced(),
        };

        self.machine.replay.change(|state| {
            for patch in pinned {
                state.patches[usize::from(patch)].forced = true;
            }
        });
    }
}
