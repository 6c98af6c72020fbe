// SPDX-License-Identifier: GPL-2.0

//! What tasks call by themselves in the paths of fork, schedule, idle and the exit to user space.
//!
//! Without `klp_mutex`: they see what a transition publishes in the order of `model/protocol.rs`.

use super::task::{
    Kernel,
    TaskRef, //
};
use crate::{
    model::protocol::{
        self,
        System, //
    },
    stack_check::{
        self,
        StackCheckError, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    ffi::c_void,
    prelude::*, //
};

/// Moves `task` to the target if it has yet to move.
///
/// Called when a task leaves the kernel and in the idle loop, by the task itself. Any context.
///
/// # Safety
///
/// `task` must be valid.
#[export]
pub(crate) unsafe extern "C" fn klp_update_patch_state(task: *mut bindings::task_struct) {
    // SAFETY: The task is valid, as promised, and so not null.
    let task = unsafe { TaskRef::new(NonNull::new_unchecked(task)) };

    // A transition that completes has waited for what is under way without preemption: who traces
    // it is told of the task before.
    Kernel.preempt_disabled(|| {
        if protocol::update(Kernel, task) {
            task.trace_switched();
        }
    });
}

/// Tries to move the current task, which goes to sleep in a state in which it can be frozen: a
/// kthread, most of all, which never leaves the kernel.
///
/// # Safety
///
/// For `__schedule()`: preemption is disabled, and `klp_mutex` cannot be taken.
#[export]
pub(crate) unsafe extern "C" fn __klp_sched_try_switch() {
    protocol::schedule(Kernel, TaskRef::current());
}

/// Gives a new task the patch state of its parent, which is current, and what a walk under way
/// gives to all.
///
/// Under `tasklist_lock` for writing. Nobody else moves the parent meanwhile: it is on its CPU or,
/// where it can be preempted under that lock, held off by it.
///
/// # Safety
///
/// `child` must be valid.
#[export]
pub(crate) unsafe extern "C" fn klp_copy_process(child: *mut bindings::task_struct) {
    // SAFETY: The child is valid, as promised, and so not null.
    let child = unsafe { TaskRef::new(NonNull::new_unchecked(child)) };

    protocol::inherit(Kernel, TaskRef::current(), child);
}

/// Moves `task` to the target if its stack allows.
///
/// Called by `klp_try_switch_task()`. Returns -EBUSY if the task is running, -EINVAL if its stack
/// is not reliable, and -EADDRINUSE, with the name of the function in `old_name`, if it is in a
/// function that is being patched or unpatched.
///
/// # Safety
///
/// `task` must be current or pinned by `task_call_func()`, and preemption disabled. `old_name` must
/// point to a `const char *`.
#[export]
pub(crate) unsafe extern "C" fn klp_check_and_switch_task(
    task: *mut bindings::task_struct,
    old_name: *mut c_void,
) -> c_int {
    // SAFETY: The task is valid, as it is current or pinned, and so not null.
    let task = unsafe { TaskRef::new(NonNull::new_unchecked(task)) };

    if task.is_on_other_cpu() {
        return EBUSY.to_errno();
    }

    // SAFETY: The task is current, or `task_call_func()` keeps it from running as it is on no CPU;
    // preemption is disabled, as promised.
    match unsafe { stack_check::check(task.as_ptr()) } {
        Ok(()) => {
            protocol::switch(Kernel, task);
            0
        }
        Err(StackCheckError::Unreliable) => EINVAL.to_errno(),
        Err(StackCheckError::InFunction { name, .. }) => {
            // SAFETY: `old_name` points to a `const char *`, as promised.
            unsafe { old_name.cast::<*const c_char>().write(name) };
            EADDRINUSE.to_errno()
        }
    }
}
