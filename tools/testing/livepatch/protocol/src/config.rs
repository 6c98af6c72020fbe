// SPDX-License-Identifier: GPL-2.0

//! What a scenario is.

use crate::{
    fault::Fault,
    model::operation::Registration,
    terms::{
        Kind,
        Life, //
    },
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct PatchConfig {
    /// Bit set of functions.
    pub(crate) funcs: u8,
    pub(crate) replace: bool,
}

/// What takes part, and what may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) name: &'static str,
    pub(crate) tasks: &'static [(Kind, Life)],
    pub(crate) funcs: u8,
    /// The function that belongs to a module that comes and goes.
    pub(crate) module_func: Option<u8>,
    pub(crate) patches: &'static [PatchConfig],
    pub(crate) registration: Registration,
    pub(crate) depth: usize,
    pub(crate) fork: bool,
    /// Who holds `tasklist_lock` may be preempted, so it is held around stack checks, too.
    pub(crate) preempt_rt: bool,
    pub(crate) exit: bool,
    /// One walk loses its place and begins anew, whoever it has met.
    pub(crate) restart: bool,
    pub(crate) force: bool,
    /// Calls may jump or not, as the administrator wants.
    pub(crate) switch: bool,
    /// CPUs go offline and come back, and run other tasks than the idle ones.
    pub(crate) cpus: bool,
    /// Applying a patch may fail.
    pub(crate) failures: bool,
    /// No task calls a patched function while a patch is being applied, and new tasks come last.
    pub(crate) quiet: bool,
    /// It is checked that the transition ends in each step, not only between operations.
    pub(crate) thorough: bool,
    /// Takes minutes.
    pub(crate) large: bool,
    /// What is not as it should be. The world is the same: who runs a procedure in it wraps it.
    pub(crate) fault: Option<Fault>,
}

impl Config {
    /// Does the patch have a replacement of this function?
    pub(crate) fn has(&self, patch: u8, func: u8) -> bool {
        self.patches
            .get(usize::from(patch))
            .is_some_and(|patch| patch.funcs & (1 << func) != 0)
    }
}
