// SPDX-License-Identifier: GPL-2.0

//! Which tasks have yet to move, and why: for administrators. Moves nobody.

use super::task::TaskRef;
use crate::{
    model::{
        phase::PatchState,
        protocol::Task, //
    },
    shim,
    stack_check::{
        self,
        StackCheckError, //
    },
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Why a task has yet to move.
#[derive(Clone, Copy)]
pub(crate) enum Reason {
    /// It is on a CPU, so its stack changes.
    Running,
    /// The unwinder cannot vouch for its stack.
    Unreliable,
    /// It has an address on its stack, in code that is in the way.
    InFunction {
        /// As in [`StackCheckError::InFunction`]: says which function it is.
        name: *const c_char,
        addr: usize,
    },
    /// Nothing is in the way: it moves at the next try, or by itself.
    Nothing,
}

/// A task that had yet to move when it was looked at.
pub(crate) struct Straggler {
    pub(crate) info: bindings::klp_task_info,
    pub(crate) reason: Reason,
}

/// The tasks that had yet to move.
pub(crate) struct Stragglers {
    /// How many tasks there are.
    pub(crate) tasks: usize,
    /// How many of them have yet to move.
    pub(crate) left: usize,
    /// The first of these.
    pub(crate) listed: KVVec<Straggler>,
}

impl Stragglers {
    /// Looks at all tasks, and more closely at the first `most` that are not at `target`. May
    /// sleep.
    pub(super) fn find(target: PatchState, most: usize) -> Result<Self> {
        let mut found = Stragglers {
            tasks: 0,
            left: 0,
            listed: KVVec::with_capacity(most, GFP_KERNEL)?,
        };

        shim::each_task(|task| match task {
            // SAFETY: The walk keeps the task valid during the call of this closure.
            Some(task) => found.meet(unsafe { TaskRef::new(task) }, target),
            // All are met once more.
            None => found.clear(),
        });
        // SAFETY: Idle tasks are always there.
        shim::each_idle_task(|task, _| found.meet(unsafe { TaskRef::new(task) }, target));
        Ok(found)
    }

    fn clear(&mut self) {
        self.tasks = 0;
        self.left = 0;
        self.listed.clear();
    }

    fn meet(&mut self, task: TaskRef, target: PatchState) {
        self.tasks += 1;
        if task.patch_state() == Some(target) {
            return;
        }
        self.left += 1;
        if self.listed.len() < self.listed.capacity() {
            // There is room.
            let _ = self.listed.push_within_capacity(Straggler {
                info: task.info(),
                reason: reason(task),
            });
        }
    }
}

/// Looks at the stack of a task, to its end if nothing is in the way. Takes the locks that keep the
/// task from running.
fn reason(task: TaskRef) -> Reason {
    let mut reason = Reason::Running;

    task.held(|task| {
        if task.is_on_other_cpu() {
            return;
        }
        // SAFETY: The task is current, or held off from running as it is on no CPU; preemption is
        // disabled in `held`.
        reason = match unsafe { stack_check::check(task.as_ptr()) } {
            Ok(()) => Reason::Nothing,
            Err(StackCheckError::Unreliable) => Reason::Unreliable,
            Err(StackCheckError::InFunction { name, addr }) => Reason::InFunction { name, addr },
        };
    });
    reason
}
