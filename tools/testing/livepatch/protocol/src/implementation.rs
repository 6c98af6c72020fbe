// SPDX-License-Identifier: GPL-2.0

//! What procedures are written for: an implementation of the protocol's traits.

use crate::{
    machine::Machine,
    model::{
        phase::PatchState,
        protocol::{
            self,
            ModuleOps,
            System,
            TransitionOps, //
        },
    },
    module::PatchedModule,
    transition::{
        NoMemory,
        Transition, //
    },
};

type TaskOf<I> = <<I as Implementation>::System as System>::Task;

/// The traits of the protocol for one run, and the two steps of tasks that are in none of them.
pub(crate) trait Implementation: Copy {
    type System: System;
    type Transition: TransitionOps<System = Self::System, Error = NoMemory>;
    type PatchedModule: ModuleOps<Error = NoMemory>;

    fn system(self) -> Self::System;

    fn task(self, id: usize) -> TaskOf<Self>;

    /// The transition of `patch`; `fails` says that there is not enough memory to apply it.
    fn transition(self, patch: u8, fails: bool) -> Self::Transition;

    /// What `patch` has for the module; `fails` says that there is no memory for new ranges.
    fn module(self, patch: u8, fails: bool) -> Self::PatchedModule;

    /// What a fork does for the new task.
    fn inherit(self, parent: usize, child: usize);

    /// The handler has met a version in transition, and the task has no state.
    fn state_in_handler(self) -> Option<PatchState>;
}

impl<'a> Implementation for &'a Machine<'a> {
    type System = Self;
    type Transition = Transition<'a>;
    type PatchedModule = PatchedModule<'a>;

    fn system(self) -> Self {
        self
    }

    fn task(self, id: usize) -> TaskOf<Self> {
        Machine::task(self, id)
    }

    fn transition(self, patch: u8, fails: bool) -> Transition<'a> {
        Transition {
            machine: self,
            patch,
            fails,
        }
    }

    fn module(self, patch: u8, fails: bool) -> PatchedModule<'a> {
        PatchedModule {
            machine: self,
            patch,
            fails,
        }
    }

    fn inherit(self, parent: usize, child: usize) {
        protocol::inherit(
            self,
            Machine::task(self, parent),
            Machine::task(self, child),
        );
    }

    fn state_in_handler(self) -> Option<PatchState> {
        self.complain_about_no_state();
        None
    }
}
