// SPDX-License-Identifier: GPL-2.0

//! Which tasks have yet to move, and why: for administrators. Moves nobody.

use super::task::{
    self,
    TaskRef, //
};
use crate::{
    model::{
        phase::PatchState,
        protocol::{
            Task,
            Visit, //
        },
    },
    stack_check::{
        self,
        StackCheckError, //
    },
};
use kernel::bindings;

/// Why a task has yet to move.
#[derive(Clone, Copy)]
pub(crate) enum Reason {
    /// It is on a CPU, so its stack changes.
    Running,
    /// The unwinder cannot vouch for its stack.
    Unreliable,
    /// It has this address on its stack, in code that is in the way.
    At(usize),
    /// Nothing is in the way: it moves at the next try, or by itself.
    Nothing,
}

/// A task that has yet to move.
///
/// It is looked at while it may move: what is said of it was true a moment ago.
pub(crate) struct Straggler(TaskRef);

impl Straggler {
    pub(crate) fn info(&self) -> bindings::klp_task_info {
        self.0.info()
    }

    /// Looks at the task's stack, to its end if nothing is in the way. Any context.
    pub(crate) fn reason(&self) -> Reason {
        let mut reason = Reason::Running;

        self.0.held(|task| {
            if task.is_on_other_cpu() {
                return;
            }
            // SAFETY: The task is current, or held off from running as it is on no CPU; preemption
            // is disabled in `held`.
            reason = match unsafe { stack_check::check(task.as_ptr()) } {
                Ok(()) => Reason::Nothing,
                Err(StackCheckError::Unreliable) => Reason::Unreliable,
                Err(StackCheckError::InFunction { addr, .. }) => Reason::At(addr),
            };
        });
        reason
    }
}

/// As [`Running::each_straggler`](super::Running::each_straggler).
pub(super) fn each_straggler(target: PatchState, mut f: impl FnMut(Straggler)) -> usize {
    let mut tasks = 0;

    task::each_task(|task, _| {
        tasks += 1;
        if task.patch_state() != Some(target) {
            f(Straggler(task));
        }
        Visit::Passed
    });
    tasks
}
