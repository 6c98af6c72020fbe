// SPDX-License-Identifier: GPL-2.0

//! The tasks of the kernel, as `model/protocol.rs` wants to see them.

use crate::{
    model::{
        phase::PatchState,
        protocol::{
            Order,
            Pass,
            System,
            Task,
            Visit, //
        },
    },
    shim, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*,
    sync::{
        atomic::{
            atomic_load,
            atomic_store,
            Atomic,
            Relaxed, //
        },
        barrier::{
            smp_mb,
            Read,
            Write, //
        },
    }, //
};

const IDLE: i32 = bindings::KLP_TRANSITION_IDLE;

/// The flag of a task that has yet to move.
const PENDING: c_int = bindings::TIF_PATCH_PENDING as c_int;

/// The `patch_state` that tasks move to.
static TARGET_STATE: Atomic<i32> = Atomic::new(IDLE);

/// The number of the walk that is under way.
static PASS: Atomic<usize> = Atomic::new(0);

/// Without reliable stack traces tasks can only be moved when they leave the kernel.
pub(crate) const HAVE_RELIABLE_STACK: bool =
    cfg!(CONFIG_STACKTRACE) && cfg!(CONFIG_HAVE_RELIABLE_STACKTRACE);

fn as_raw(state: Option<PatchState>) -> i32 {
    state.map_or(IDLE, PatchState::as_raw)
}

/// A task that a walk over all tasks has come to, or an idle task, or the current one.
///
/// # Invariants
///
/// The task is valid for as long as this is used: the RCU read lock is held, or it is an idle task,
/// or it is current, or the caller of a hook vouches for it.
#[derive(Clone, Copy)]
pub(super) struct TaskRef(NonNull<bindings::task_struct>);

impl TaskRef {
    /// # Safety
    ///
    /// `task` must be valid for as long as the result is used.
    pub(super) unsafe fn new(task: NonNull<bindings::task_struct>) -> Self {
        // INVARIANT: The caller vouches for the task.
        TaskRef(task)
    }

    /// The task that runs this.
    pub(super) fn current() -> Self {
        // INVARIANT: The current task is valid.
        TaskRef(shim::current())
    }

    pub(super) fn as_ptr(self) -> NonNull<bindings::task_struct> {
        self.0
    }

    /// Is the task running, but for the one that runs this?
    ///
    /// Whoever wants to rely on it keeps it from running, as [`TaskRef::held`] does.
    pub(super) fn is_on_other_cpu(self) -> bool {
        // SAFETY: The task is valid by the type invariants.
        self.0 != shim::current() && unsafe { bindings::task_curr(self.0.as_ptr()) } != 0
    }

    /// Calls `f` while the task cannot run, or if it is current or on its CPU. `f` must not sleep.
    pub(super) fn held(self, mut f: impl FnMut(TaskRef)) {
        // SAFETY: The task is valid by the type invariants.
        unsafe { shim::hold_task(self.0, |_| f(self)) };
    }

    /// What administrators know the task by.
    pub(super) fn info(self) -> bindings::klp_task_info {
        // SAFETY: The task is valid by the type invariants.
        unsafe { shim::task_info(self.0) }
    }

    /// Tells who traces that the task has moved.
    pub(super) fn trace_switched(self) {
        // SAFETY: The task is valid by the type invariants.
        unsafe { shim::trace::switched(self.0) };
    }

    /// Asks the task to pass a point where it can be moved.
    fn signal(self) {
        let task = self.0.as_ptr();

        // SAFETY: The task is valid by the type invariants. Neither call sleeps.
        unsafe {
            if atomic_load(&raw mut (*task).flags, Relaxed) & bindings::PF_KTHREAD != 0 {
                bindings::wake_up_state(task, bindings::TASK_INTERRUPTIBLE);
            } else {
                bindings::set_notify_signal(task);
            }
        }
    }
}

impl Task for TaskRef {
    fn patch_state(self) -> Option<PatchState> {
        // SAFETY: The task is valid by the type invariants, and all accesses to the field are
        // single copies.
        PatchState::from_raw(unsafe {
            atomic_load(&raw mut (*self.0.as_ptr()).patch_state, Relaxed)
        })
    }

    fn set_patch_state(self, state: Option<PatchState>) {
        // SAFETY: The task is valid by the type invariants, and all accesses to the field are
        // single copies.
        unsafe {
            atomic_store(
                &raw mut (*self.0.as_ptr()).patch_state,
                as_raw(state),
                Relaxed,
            )
        };
    }

    fn is_pending(self) -> bool {
        // SAFETY: The task is valid by the type invariants; its flags are accessed atomically.
        unsafe { bindings::test_tsk_thread_flag(self.0.as_ptr(), PENDING) != 0 }
    }

    fn set_pending(self) {
        // SAFETY: The task is valid by the type invariants; its flags are accessed atomically.
        unsafe { bindings::set_tsk_thread_flag(self.0.as_ptr(), PENDING) };
    }

    fn clear_pending(self) {
        // SAFETY: The task is valid by the type invariants; its flags are accessed atomically.
        unsafe { bindings::clear_tsk_thread_flag(self.0.as_ptr(), PENDING) };
    }

    fn take_pending(self) -> bool {
        // ORDERING: `TakePending`: a read-modify-write that returns a value is a full barrier.
        // Pairs with `TargetThenPending`, below.
        // SAFETY: The task is valid by the type invariants; its flags are accessed atomically.
        unsafe { bindings::test_and_clear_tsk_thread_flag(self.0.as_ptr(), PENDING) != 0 }
    }
}

/// The kernel that this runs in.
#[derive(Clone, Copy)]
pub(super) struct Kernel;

impl System for Kernel {
    type Task = TaskRef;

    fn target_state(self) -> Option<PatchState> {
        PatchState::from_raw(TARGET_STATE.load(Relaxed))
    }

    fn set_target_state(self, target: Option<PatchState>) {
        TARGET_STATE.store(as_raw(target), Relaxed);
    }

    fn pass(self) -> Option<Pass> {
        Pass::from_number(PASS.load(Relaxed))
    }

    fn set_pass(self, pass: Option<Pass>) {
        // ORDERING: `synchronize_forks` comes next, whose lock forks take before they look. When a
        // walk is over, they may do what it did for a while: it does what they inherit anyway.
        PASS.store(Pass::number(pass), Relaxed);
    }

    fn barrier(self, order: Order) {
        match order {
            // ORDERING: `StatesThenFlags` pairs with `FlagThenState` in klp_ftrace_handler(), and
            // `FlagsThenStacks` with `VersionThenFlag` there. `TargetThenPending` pairs with
            // `SchedPending`, below, and with `TakePending`, above. `ForkThenMove` pairs with
            // `MoveThenList`, below.
            Order::StatesThenFlags
            | Order::FlagsThenStacks
            | Order::TargetThenPending
            | Order::ForkThenMove => smp_mb(Write),
            // ORDERING: `SchedPending` pairs with `TargetThenPending`, above, and `MoveThenList`
            // with `ForkThenMove` and `TakePending`, above.
            Order::SchedPending | Order::MoveThenList => smp_mb(Read),
            // ORDERING: `LoadThenCall` pairs with whatever leads other CPUs to the code of the
            // module, and `TextThenPending` with how they fetch instructions.
            Order::LoadThenCall | Order::TextThenPending => shim::order_calls(),
        }
    }

    fn preempt_disabled(self, f: impl FnOnce()) {
        shim::preempt_disabled(f);
    }

    fn switch_if_safe(self, task: TaskRef) -> bool {
        // SAFETY: The task is valid by the type invariants of `TaskRef`.
        HAVE_RELIABLE_STACK && unsafe { shim::try_switch_task(task.0) }
    }
}

/// Calls `f` for each task, and has idle CPUs pass their loop whose task stays. As
/// [`each_task`](crate::model::protocol::TransitionOps::each_task) of the protocol.
pub(super) fn each_task(mut f: impl FnMut(TaskRef, bool) -> Visit) {
    shim::each_task(|task| {
        // What is done to a task that is met twice is done once.
        let Some(task) = task else { return };

        // SAFETY: The walk keeps the task valid during the call of the closure.
        f(unsafe { TaskRef::new(task) }, false);
    });

    shim::each_idle_task(|task, online| {
        // SAFETY: Idle tasks are always there.
        let task = unsafe { TaskRef::new(task) };

        match (online, f(task, online.is_none())) {
            // Make the idle task pass through its main loop, where it is moved.
            // SAFETY: The CPU exists, and stays online during the call of this closure.
            (Some(cpu), Visit::Stays) => unsafe { bindings::wake_up_if_idle(cpu as c_int) },
            (None, Visit::Moved) => task.trace_switched(),
            _ => {}
        }
    });
}

/// Signals all tasks that have yet to move. One that moves meanwhile is signalled in vain.
pub(super) fn signal() {
    shim::each_task(|task| {
        let Some(task) = task else { return };
        // SAFETY: The walk keeps the task valid during the call of this closure.
        let task = unsafe { TaskRef::new(task) };

        if task.is_pending() {
            task.signal();
        }
    });
}
