// SPDX-License-Identifier: GPL-2.0

//! Walking over tasks, and over the stack of one task: `shim/tasks.c`.

use core::ptr::NonNull;
use kernel::{
    bindings,
    ffi::c_void,
    prelude::*, //
};

/// A task that one of the walks below has come to. It is valid during the call.
pub(crate) type Task = NonNull<bindings::task_struct>;

/// Waits for all forks that have looked at what a walk does before it was changed: their tasks can
/// be met. May sleep.
pub(crate) fn synchronize_forks() {
    // SAFETY: Takes no pointer, and no lock that a caller holds: nobody calls this under
    // `tasklist_lock`.
    unsafe { bindings::klp_shim_synchronize_forks() };
}

/// Calls `f` for each task that there is, then for those that exit. One may be met twice; one that
/// is forked meanwhile may not be met, if its parent was. May sleep between two calls.
///
/// Calls it with `None` when the walk begins once more, and meets all tasks again.
///
/// The task is valid during the call: RCU is held, so `f` must not sleep.
pub(crate) fn each_task<F: FnMut(Option<Task>)>(mut f: F) {
    /// # Safety
    ///
    /// For the walk below only: `data` must point to an `F` that nobody else uses.
    unsafe extern "C" fn visit<F: FnMut(Option<Task>)>(
        task: *mut bindings::task_struct,
        data: *mut c_void,
    ) {
        // SAFETY: `data` is a pointer to an `F` that nobody else uses, by the contract above.
        unsafe { (*data.cast::<F>())(NonNull::new(task)) }
    }

    // SAFETY: The callback gets a pointer to `f`, which it expects, for the time of the call.
    unsafe { bindings::klp_shim_each_task(Some(visit::<F>), (&raw mut f).cast()) };
}

/// Calls `f` for the idle task of each possible CPU, with the number of the CPU if it is online; it
/// stays online or offline during the call. May sleep.
pub(crate) fn each_idle_task<F: FnMut(Task, Option<c_uint>)>(mut f: F) {
    /// # Safety
    ///
    /// For the walk below only: `data` must point to an `F` that nobody else uses.
    unsafe extern "C" fn visit<F: FnMut(Task, Option<c_uint>)>(
        task: *mut bindings::task_struct,
        online: bool,
        cpu: c_uint,
        data: *mut c_void,
    ) {
        // SAFETY: `data` is a pointer to an `F` that nobody else uses, by the contract above. Each
        // possible CPU has an idle task.
        unsafe { (*data.cast::<F>())(NonNull::new_unchecked(task), online.then_some(cpu)) };
    }

    // SAFETY: The callback gets a pointer to `f`, which it expects, for the time of the call.
    unsafe { bindings::klp_shim_each_idle_task(Some(visit::<F>), (&raw mut f).cast()) };
}

/// Calls `f` for each entry of the stack of `task` until it returns false. Returns whether the
/// stack was walked to its end, all of it being reliable.
///
/// # Safety
///
/// `task` must be current or unable to run.
pub(crate) unsafe fn walk_stack<F: FnMut(usize) -> bool>(
    task: NonNull<bindings::task_struct>,
    mut f: F,
) -> bool {
    /// # Safety
    ///
    /// For the walk below only: `data` must point to an `F` that nobody else uses.
    unsafe extern "C" fn entry<F: FnMut(usize) -> bool>(data: *mut c_void, addr: usize) -> bool {
        // SAFETY: `data` is a pointer to an `F` that nobody else uses, by the contract above.
        unsafe { (*data.cast::<F>())(addr) }
    }

    // SAFETY: The unwinder needs a task that does not run meanwhile or is current, which the caller
    // promises. The callback gets a pointer to `f`, which it expects, for the time of the call.
    let ret = unsafe {
        bindings::klp_shim_walk_stack(task.as_ptr(), Some(entry::<F>), (&raw mut f).cast())
    };
    ret == 0
}

/// Calls `klp_check_and_switch_task()` while `task` cannot run. Returns whether it was moved.
///
/// # Safety
///
/// `task` must stay valid during the call.
pub(crate) unsafe fn try_switch_task(task: NonNull<bindings::task_struct>) -> bool {
    // SAFETY: `task_call_func()` needs a task that stays, which the caller promises.
    unsafe { bindings::klp_try_switch_task(task.as_ptr()) == 0 }
}

/// Calls `f` with preemption disabled, while `task` cannot run, or if it is current or on its CPU.
///
/// # Safety
///
/// `task` must stay valid during the call. `f` must not sleep.
pub(crate) unsafe fn hold_task<F: FnMut(Task)>(task: Task, mut f: F) {
    /// # Safety
    ///
    /// For the call below only: `data` must point to an `F` that nobody else uses, and `task` must
    /// be valid.
    unsafe extern "C" fn hold<F: FnMut(Task)>(
        task: *mut bindings::task_struct,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: `data` is a pointer to an `F` that nobody else uses, and the task is valid, so
        // that its address is not null, by the contract above.
        unsafe { (*data.cast::<F>())(NonNull::new_unchecked(task)) };
        0
    }

    // SAFETY: `task_call_func()` needs a task that stays, which the caller promises. The callback
    // gets a pointer to `f`, which it expects, for the time of the call.
    unsafe { bindings::klp_shim_hold_task(task.as_ptr(), Some(hold::<F>), (&raw mut f).cast()) };
}

/// What administrators know a task by. Any context.
///
/// # Safety
///
/// `task` must be valid.
pub(crate) unsafe fn task_info(task: Task) -> bindings::klp_task_info {
    let mut info = pin_init::zeroed();

    // SAFETY: The task is valid, as the caller promises; `info` is only written to.
    unsafe { bindings::klp_shim_task_info(task.as_ptr(), &raw mut info) };
    info
}
