// SPDX-License-Identifier: GPL-2.0

//! What each step does to the world by which a module comes and goes.

use crate::{
    machine::Machine,
    model::protocol::ModuleOps,
    terms::Procedure,
    transition::NoMemory, //
};

/// A patch of the module.
pub(crate) struct PatchedModule<'a> {
    pub(crate) machine: &'a Machine<'a>,
    pub(crate) patch: u8,
    /// Is there no memory for new ranges?
    pub(crate) fails: bool,
}

impl PatchedModule<'_> {
    pub(crate) fn func(&self) -> u8 {
        self.machine.config.module_func.unwrap_or_default()
    }

    /// Is the module on its way in? One that goes is not live any more, either.
    pub(crate) fn is_coming(&self) -> bool {
        let procedure = self.machine.replay.world().worker.procedure;

        matches!(procedure, Some(Procedure::Coming | Procedure::ComingFails))
    }

    fn is_in_transition(&self) -> bool {
        let transition = self.machine.replay.world().transition;
        transition.is_some_and(|(patch, _)| patch == self.patch)
    }
}

impl ModuleOps for PatchedModule<'_> {
    type Error = NoMemory;

    fn apply(&mut self) -> Result<(), NoMemory> {
        let (patch, func) = (self.patch, self.func());

        self.machine.replay.change(|state| state.push(patch, func));
        Ok(())
    }

    fn revert(&mut self) {
        let (patch, func) = (self.patch, self.func());

        self.machine.leave_jumps(&[func]);
        self.machine
            .replay
            .change(|state| state.remove(patch, func));
    }

    fn refresh_ranges(&mut self) -> Result<(), NoMemory> {
        if self.fails {
            return Err(NoMemory);
        }
        if self.is_in_transition() {
            self.machine.publish_ranges();
        }
        Ok(())
    }

    fn synchronize(&mut self) {
        self.machine.synchronize();
    }

    fn synchronize_tasks(&mut self) {
        self.machine.synchronize_tasks();
    }
}
