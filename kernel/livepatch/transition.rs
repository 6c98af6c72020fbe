// SPDX-License-Identifier: GPL-2.0

//! Moving every task from one side of a patch to the other.
//!
//! A task has a side, `patch_state`, and a flag, `TIF_PATCH_PENDING`, which says that it has yet to
//! move. It moves when it leaves the kernel, in the idle loop, in `schedule()` if it is a kthread
//! that can be frozen, or when this file finds it asleep with a stack that is free of the code in
//! question. The target that tasks move to is global.
//!
//! What is done in which order is said in `model/protocol.rs`; here is what each step does to the
//! kernel.
//!
//! The functions that start, reverse and complete a transition run under `klp_mutex`; the hooks at
//! the end run without it.

use crate::{
    fault::{
        self,
        Point, //
    },
    model::{
        pacing::{
            Pacing,
            Signal, //
        },
        phase::{
            Phase,
            PatchState, //
        },
        protocol::{
            self,
            Assumption,
            TransitionOps,
            Order,
            ModuleOps,
            Event,
            System,
            Task,
            Visit, //
        },
    },
    ops::Ops,
    patch::{
        Patch,
        PatchId, //
    },
    publish::{
        self,
        Retired, //
    },
    report,
    stack::{
        self,
        Ranges, //
    },
    state::{
        self,
        Declared, //
    },
};
use kernel::{
    bindings,
    ffi::c_void,
    prelude::*,
    sync::{
        atomic::{
            atomic_load,
            atomic_store,
            Atomic,
            AtomicFlag,
            Relaxed, //
        },
        barrier::{
            smp_mb,
            Read,
            Write, //
        },
    },
    time::{
        Instant,
        Monotonic, //
    },
    warn_on,
};

const IDLE: i32 = bindings::KLP_TRANSITION_IDLE;

/// The `patch_state` that tasks move to.
static TARGET_STATE: Atomic<i32> = Atomic::new(IDLE);

/// Without reliable stack traces tasks can only be moved when they leave the kernel.
pub(crate) const HAVE_RELIABLE_STACK: bool =
    cfg!(CONFIG_STACKTRACE) && cfg!(CONFIG_HAVE_RELIABLE_STACKTRACE);

/// The `patch_state` of a task on this side.
fn raw_state(state: Option<PatchState>) -> i32 {
    state.map_or(IDLE, PatchState::as_raw)
}

/// A task that a walk over all tasks has come to, or an idle task, or the current one.
///
/// # Invariants
///
/// The task is valid: `tasklist_lock` or, for an exiting task, the RCU read lock is held, or it is
/// an idle task, or it is current, or the caller of a hook vouches for it.
#[derive(Clone, Copy)]
struct TaskRef(*mut bindings::task_struct);

impl TaskRef {
    /// The task that runs this.
    fn current() -> Self {
        // INVARIANT: The current task is valid.
        // SAFETY: Asking for current is always possible.
        TaskRef(unsafe { bindings::get_current() })
    }

    /// Asks the task to pass a point where it can be moved.
    fn prod(self) {
        // SAFETY: The task is valid. Both calls are fine under `tasklist_lock`.
        unsafe {
            if atomic_load(&raw mut (*self.0).flags, Relaxed) & bindings::PF_KTHREAD != 0 {
                bindings::wake_up_state(self.0, bindings::TASK_INTERRUPTIBLE);
            } else {
                bindings::set_notify_signal(self.0);
            }
        }
    }
}

impl Task for TaskRef {
    fn patch_state(self) -> Option<PatchState> {
        // SAFETY: The task is valid, and all accesses to the field are single copies.
        PatchState::from_raw(unsafe { atomic_load(&raw mut (*self.0).patch_state, Relaxed) })
    }

    fn set_patch_state(self, patch_state: Option<PatchState>) {
        // SAFETY: As above.
        unsafe { atomic_store(&raw mut (*self.0).patch_state, raw_state(patch_state), Relaxed) };
    }

    fn is_exiting(self) -> bool {
        // SAFETY: The task is valid, and the flag is never taken back.
        unsafe { atomic_load(&raw mut (*self.0).flags, Relaxed) & bindings::PF_EXITING != 0 }
    }

    fn is_pending(self) -> bool {
        // SAFETY: The task is valid.
        unsafe { bindings::test_tsk_thread_flag(self.0, bindings::TIF_PATCH_PENDING as c_int) != 0 }
    }

    fn set_pending(self) {
        // SAFETY: The task is valid.
        unsafe { bindings::set_tsk_thread_flag(self.0, bindings::TIF_PATCH_PENDING as c_int) };
    }

    fn clear_pending(self) {
        // SAFETY: The task is valid.
        unsafe { bindings::clear_tsk_thread_flag(self.0, bindings::TIF_PATCH_PENDING as c_int) };
    }

    fn take_pending(self) -> bool {
        // ORDERING: `TakePending`: a read-modify-write that returns a value is a full barrier.
        // Pairs with `TargetThenPending`, below.
        // SAFETY: The task is valid.
        unsafe {
            bindings::test_and_clear_tsk_thread_flag(self.0, bindings::TIF_PATCH_PENDING as c_int)
                != 0
        }
    }
}

/// The kernel that this runs in.
#[derive(Clone, Copy)]
struct Kernel;

impl System for Kernel {
    type Task = TaskRef;

    fn target_state(self) -> Option<PatchState> {
        PatchState::from_raw(TARGET_STATE.load(Relaxed))
    }

    fn set_target_state(self, target: Option<PatchState>) {
        TARGET_STATE.store(raw_state(target), Relaxed);
    }

    fn barrier(self, order: Order) {
        match order {
            // ORDERING: `StatesThenFlags` pairs with `FlagThenState` in klp_ftrace_handler(), and
            // `FlagsThenStacks` with `VersionThenFlag` there. `TargetThenPending` pairs with
            // `SchedPending`, below, and with `TakePending`, above.
            Order::StatesThenFlags | Order::FlagsThenStacks | Order::TargetThenPending => {
                smp_mb(Write)
            }
            // ORDERING: Pairs with `TargetThenPending`, above.
            Order::SchedPending => smp_mb(Read),
        }
    }

    fn preempt_disabled(self, f: impl FnOnce()) {
        // SAFETY: Enabled again below.
        unsafe { bindings::preempt_disable_notrace() };
        f();
        // SAFETY: Disabled above.
        unsafe { bindings::preempt_enable_notrace() };
    }

    fn switch_if_safe(self, task: TaskRef) -> bool {
        // SAFETY: The task is valid.
        HAVE_RELIABLE_STACK && unsafe { bindings::klp_try_switch_task(task.0) == 0 }
    }
}

/// A transition that is under way.
pub(crate) struct Running {
    pub(crate) patch: PatchId,
    target: PatchState,
    since: Instant<Monotonic>,
    pacing: Pacing,
    /// Ranges of the other direction, which were replaced when the transition was reversed.
    retired: Option<Retired<Ranges>>,
}

/// The steps of a transition, in the kernel.
struct Steps<'a> {
    running: &'a mut Running,
    patch: &'a mut Patch,
    /// The patches that were enabled before; all of them are replaced if `patch` does that.
    older: &'a mut [Patch],
    ops: &'a mut Ops,
    /// To be published.
    ranges: Option<KBox<Ranges>>,
    /// Were published.
    withdrawn: Option<Retired<Ranges>>,
}

impl TransitionOps for Steps<'_> {
    type System = Kernel;
    type Error = Error;

    fn system(&self) -> Kernel {
        Kernel
    }

    fn on_event(&mut self, stage: Event) {
        match stage {
            Event::Initializing(target) => {
                self.patch.set_phase(Phase::towards(target));
                report::initializing(&self.patch.name, target);
            }
            Event::Starting(target) => {
                self.running.since = Instant::now();
                self.running.pacing = Pacing::new();
                report::starting(&self.patch.name, target);
            }
            Event::Reversing(target) => report::reversing(&self.patch.name, target),
            Event::Reversed(target) => {
                self.running.target = target;
                self.patch.set_phase(Phase::towards(target));
                self.patch.show_enabled();
            }
            Event::Canceling => {
                pr_warn!("failed to enable patch '{}'\n", &*self.patch.name);
                report::canceling(&self.patch.name);
            }
            Event::Completing(target) => report::completing(&self.patch.name, target),
            Event::Complete(target) => {
                report::complete(&self.patch.name, target);
                state::set_previous(None);
                self.patch.set_phase(Phase::settled(target));
            }
        }
    }

    fn expect(&self, assumption: Assumption, holds: bool) {
        static WARNED: AtomicFlag = AtomicFlag::new(false);

        // Once, and not in each transition from then on.
        if !holds && !WARNED.xchg(true, Relaxed) {
            pr_warn!(
                "'{}': assumption {:?} is wrong\n",
                &*self.patch.name,
                assumption
            );
            warn_on!(!holds);
        }
    }

    fn each_task(&mut self, mut f: impl FnMut(TaskRef)) {
        each_task(&mut f);
    }

    fn each_task_in_batches(&mut self, mut f: impl FnMut(TaskRef, bool) -> Visit) -> bool {
        each_task_in_batches(&mut f)
    }

    fn flag(&mut self, in_transition: bool) {
        for func in self.patch.funcs() {
            func.version().set_transition(in_transition);
        }
    }

    fn apply(&mut self) -> Result {
        self.patch.apply(self.ops)?;
        fault::check(Point::CollectRanges)?;
        self.ranges = Some(Ranges::collect(self.patch, self.ops, self.running.target)?);
        Ok(())
    }

    fn prepare_to_revert(&mut self) {
        self.patch.pre_unpatch();
    }

    fn publish_ranges(&mut self) {
        self.running.retired = Some(stack::publish(self.ranges.take()));
    }

    fn withdraw_ranges(&mut self) {
        self.withdrawn = Some(stack::publish(None));
    }

    fn hook_scheduler(&mut self, hooked: bool) {
        // SAFETY: May sleep.
        unsafe { bindings::klp_shim_sched_hook(hooked) };
    }

    fn revert(&mut self) {
        self.patch.revert(self.ops);
    }

    fn revert_replaced(&mut self) {
        if self.patch.replace {
            self.patch.revert_replaced(self.older, self.ops);
        }
    }

    fn synchronize(&mut self) {
        let retired = [self.withdrawn.take(), self.running.retired.take()];

        synchronize(retired.into_iter().flatten(), self.ops);
    }

    fn synchronize_tasks(&mut self) {
        synchronize_tasks();
    }

    fn discard(&mut self) {
        self.patch.discard_nops();
    }

    fn run_post_callbacks(&mut self, target: PatchState) {
        match target {
            PatchState::Patched => self.patch.post_patch(),
            PatchState::Unpatched => self.patch.post_unpatch(),
        }
    }

    fn pin_forced(&mut self, target: PatchState) {
        match target {
            PatchState::Unpatched => self.patch.forced = true,
            PatchState::Patched if self.patch.replace => {
                for old in &mut *self.older {
                    old.forced = true;
                }
            }
            PatchState::Patched => {}
        }
    }
}

/// Calls `f` for each task, then for the idle task of each possible CPU.
///
/// Holds a lock meanwhile: `f` must not sleep. A task that exits may be met twice.
fn each_task<F: FnMut(TaskRef)>(f: &mut F) {
    /// # Safety
    ///
    /// For the walk below only: `task` is valid, and `data` is what is passed there.
    unsafe extern "C" fn task<F: FnMut(TaskRef)>(
        task: *mut bindings::task_struct,
        data: *mut c_void,
    ) {
        // INVARIANT: One of the locks is held.
        // SAFETY: `data` is the closure that is passed below.
        unsafe { (*data.cast::<F>())(TaskRef(task)) };
    }
    /// # Safety
    ///
    /// For the walk below only: `task` is valid, and `data` is what is passed there.
    unsafe extern "C" fn idle<F: FnMut(TaskRef)>(
        task: *mut bindings::task_struct,
        _online: bool,
        _cpu: c_uint,
        data: *mut c_void,
    ) {
        // INVARIANT: It is an idle task.
        // SAFETY: `data` is the closure that is passed below.
        unsafe { (*data.cast::<F>())(TaskRef(task)) };
    }
    let data = core::ptr::from_mut(f).cast();

    // SAFETY: The callbacks get the closure that they expect, for the time of the calls.
    unsafe {
        bindings::klp_shim_each_task(Some(task::<F>), data);
        bindings::klp_shim_each_idle_task(Some(idle::<F>), data);
    }
}

/// Calls `f` for each task, and gives up the locks now and then. As
/// [`TransitionOps::each_task_in_batches`].
fn each_task_in_batches<F: FnMut(TaskRef, bool) -> Visit>(f: &mut F) -> bool {
    /// # Safety
    ///
    /// For the walk below only: `task` is valid, and `data` is what is passed there.
    unsafe extern "C" fn task<F: FnMut(TaskRef, bool) -> Visit>(
        task: *mut bindings::task_struct,
        data: *mut c_void,
    ) -> bool {
        // INVARIANT: One of the locks is held.
        // SAFETY: `data` is the closure that is passed below.
        unsafe { (*data.cast::<F>())(TaskRef(task), false) != Visit::Passed }
    }
    /// # Safety
    ///
    /// For the walk below only: `task` is valid, and `data` is what is passed there.
    unsafe extern "C" fn idle<F: FnMut(TaskRef, bool) -> Visit>(
        task: *mut bindings::task_struct,
        online: bool,
        cpu: c_uint,
        data: *mut c_void,
    ) {
        // INVARIANT: It is an idle task.
        // SAFETY: `data` is the closure that is passed below.
        let visit = unsafe { (*data.cast::<F>())(TaskRef(task), !online) };

        if online && visit == Visit::Stays {
            // Make the idle task pass through its main loop, where it is moved.
            // SAFETY: The CPU is online.
            unsafe { bindings::wake_up_if_idle(cpu as c_int) };
        }
    }
    let data = core::ptr::from_mut(f).cast();

    // SAFETY: The callbacks get the closure that they expect, for the time of the calls.
    unsafe {
        let all_met = bindings::klp_shim_each_task_in_batches(Some(task::<F>), data);
        bindings::klp_shim_each_idle_task(Some(idle::<F>), data);
        all_met
    }
}

/// Prods all tasks that have yet to move.
fn signal() {
    /// # Safety
    ///
    /// For the walk below only: `task` is valid, and `data` is what is passed there.
    unsafe extern "C" fn task(task: *mut bindings::task_struct, _data: *mut c_void) {
        // INVARIANT: One of the locks is held.
        let task = TaskRef(task);

        // The task may move at this very moment; then it is prodded in vain.
        if task.is_pending() {
            task.prod();
        }
    }

    // SAFETY: The callback does not use its data.
    unsafe { bindings::klp_shim_each_task(Some(task), core::ptr::null_mut()) };
}

/// Starts to move all tasks to `patch`.
///
/// `older` are the patches that were enabled before, and `previous` their states, for callbacks.
pub(crate) fn enable(
    patch: &mut Patch,
    older: &mut [Patch],
    ops: &mut Ops,
    previous: KVec<Declared>,
) -> Result<Running> {
    let mut running = Running::new(patch, PatchState::Patched, previous);

    protocol::enable(&mut running.steps(patch, older, ops, None))?;
    Ok(running)
}

/// Starts to move all tasks away from `patch`. If there is no memory for that, nothing has changed.
///
/// `older` and `previous` as for [`enable`].
pub(crate) fn disable(
    patch: &mut Patch,
    older: &mut [Patch],
    ops: &mut Ops,
    previous: KVec<Declared>,
) -> Result<Running> {
    let ranges = Ranges::collect(patch, ops, PatchState::Unpatched)?;
    let mut running = Running::new(patch, PatchState::Unpatched, previous);

    protocol::disable(&mut running.steps(patch, older, ops, Some(ranges)));
    Ok(running)
}

impl Running {
    fn new(patch: &Patch, target: PatchState, previous: KVec<Declared>) -> Self {
        state::set_previous(Some(previous));

        Running {
            patch: patch.id,
            target,
            since: Instant::now(),
            pacing: Pacing::new(),
            retired: None,
        }
    }

    fn steps<'a>(
        &'a mut self,
        patch: &'a mut Patch,
        older: &'a mut [Patch],
        ops: &'a mut Ops,
        ranges: Option<KBox<Ranges>>,
    ) -> Steps<'a> {
        Steps {
            running: self,
            patch,
            older,
            ops,
            ranges,
            withdrawn: None,
        }
    }

    /// Tries to move the tasks that are left. Returns whether all are on the target side and the
    /// transition is over; otherwise the next try is arranged.
    pub(crate) fn try_complete(
        &mut self,
        patch: &mut Patch,
        older: &mut [Patch],
        ops: &mut Ops,
    ) -> bool {
        let target = self.target;
        let mut steps = self.steps(patch, older, ops, None);

        if protocol::advance(&mut steps, target) {
            protocol::finish(&mut steps, target);
            return true;
        }

        let elapsed_ms = self.since.elapsed().as_millis().max(0) as u64;
        let retry = self.pacing.retry(elapsed_ms);

        if retry.signal == Signal::First {
            pr_notice!("signaling remaining tasks\n");
        }
        if retry.signal != Signal::No {
            signal();
        }
        retry_in(retry.pause_ms);
        false
    }

    /// Turns the transition round. If there is no memory for that, nothing has changed.
    pub(crate) fn reverse(
        &mut self,
        patch: &mut Patch,
        older: &mut [Patch],
        ops: &mut Ops,
    ) -> Result {
        let target = self.target;
        let ranges = Ranges::collect(patch, ops, target.opposite())?;

        protocol::reverse(&mut self.steps(patch, older, ops, Some(ranges)), target);
        Ok(())
    }

    /// Moves all tasks at once, wherever they are, at the administrator's risk.
    pub(crate) fn force(&mut self, patch: &mut Patch, older: &mut [Patch], ops: &mut Ops) {
        let target = self.target;

        pr_warn!("forcing remaining tasks to the patched state\n");
        protocol::force(&mut self.steps(patch, older, ops, None), target);
        retry_in(0);
    }
}

/// The functions of one module, of a patch that may be in transition.
pub(crate) struct ModulePart<'a> {
    patch: &'a mut Patch,
    module: &'a CStr,
    ops: &'a mut Ops,
    /// The transition of the patch.
    running: Option<&'a Running>,
    retired: Option<Retired<Ranges>>,
}

impl<'a> ModulePart<'a> {
    pub(crate) fn new(
        patch: &'a mut Patch,
        module: &'a CStr,
        ops: &'a mut Ops,
        running: Option<&'a Running>,
    ) -> Self {
        ModulePart {
            patch,
            module,
            ops,
            running,
            retired: None,
        }
    }
}

impl ModuleOps for ModulePart<'_> {
    type Error = Error;

    fn apply(&mut self) -> Result {
        self.patch.apply_module(self.module, self.ops)
    }

    fn revert(&mut self) {
        if let Some(object) = self.patch.object_for(self.module) {
            object.revert(self.ops);
        }
    }

    fn refresh_ranges(&mut self) -> Result {
        if let Some(running) = self.running {
            let ranges = Ranges::collect(self.patch, self.ops, running.target)?;

            self.retired = Some(stack::publish(Some(ranges)));
        }
        Ok(())
    }

    fn synchronize(&mut self) {
        synchronize(self.retired.take(), self.ops);
    }

    fn synchronize_tasks(&mut self) {
        synchronize_tasks();
    }
}

/// Waits for all readers, and frees what they may have used. May sleep.
fn synchronize(retired: impl IntoIterator<Item = Retired<Ranges>>, ops: &mut Ops) {
    let synchronized = publish::synchronize();

    for ranges in retired {
        ranges.free(&synchronized);
    }
    ops.collect(&synchronized);
}

/// Waits until no task is preempted in an ftrace trampoline. May sleep.
fn synchronize_tasks() {
    // SAFETY: May sleep.
    unsafe { bindings::klp_shim_synchronize_tasks() };
}

fn retry_in(msecs: u32) {
    // SAFETY: Possible in any context.
    unsafe { bindings::klp_shim_retry_in(msecs) };
}

/// Moves `task` to the target if it has yet to move.
///
/// Called when a task leaves the kernel and in the idle loop, by the task itself. Any context.
///
/// # Safety
///
/// `task` must be valid.
#[export]
pub(crate) unsafe extern "C" fn klp_update_patch_state(task: *mut bindings::task_struct) {
    // INVARIANT: By the contract of this function.
    protocol::update(Kernel, TaskRef(task));
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

/// Gives a new task the side of its parent, which is current.
///
/// Under `tasklist_lock` for writing, which keeps all passes and switches away, except those that
/// current does itself.
///
/// # Safety
///
/// `child` must be valid.
#[export]
pub(crate) unsafe extern "C" fn klp_copy_process(child: *mut bindings::task_struct) {
    // INVARIANT: By the contract of this function.
    protocol::inherit(TaskRef::current(), TaskRef(child));
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
    // SAFETY: The task is valid; asking for current is always possible.
    if unsafe { task != bindings::get_current() && bindings::task_curr(task) != 0 } {
        return EBUSY.to_errno();
    }

    // SAFETY: The task is current or cannot run, and preemption is disabled.
    match unsafe { stack::check(task) } {
        Ok(()) => {
            // INVARIANT: By the contract of this function.
            protocol::switch(Kernel, TaskRef(task));
            0
        }
        Err(stack::Unsafe::Unreliable) => EINVAL.to_errno(),
        Err(stack::Unsafe::InFunction(name)) => {
            // SAFETY: By the contract of this function.
            unsafe { old_name.cast::<*const c_char>().write(name) };
            EADDRINUSE.to_errno()
        }
    }
}
