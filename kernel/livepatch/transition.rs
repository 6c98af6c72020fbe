// SPDX-License-Identifier: GPL-2.0

//! Moving every task from one side of a patch to the other.
//!
//! A task has a side, `patch_state`, and a flag, `TIF_PATCH_PENDING`, which says that it has yet to
//! move. It moves when it leaves the kernel, in the idle loop, in `schedule()` if it is a kthread
//! that can be frozen, or when this file finds it asleep with a stack that is free of the code in
//! question. The target that tasks move to is global.
//!
//! The functions that start, reverse and complete a transition run under `klp_mutex`; the hooks at
//! the end run without it.

use crate::{
    model::{
        pacing::{
            Pacing,
            Signal, //
        },
        phase::{
            Phase,
            Target, //
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

/// A transition that is under way.
pub(crate) struct Running {
    pub(crate) patch: PatchId,
    target: Target,
    since: Instant<Monotonic>,
    pacing: Pacing,
    /// Ranges of the other direction, which were replaced when the transition was reversed.
    retired: Option<Retired<Ranges>>,
}

/// A task that the walk over all tasks has come to, or an idle task.
///
/// # Invariants
///
/// The task is valid: `tasklist_lock` or, for an exiting task, the RCU read lock is held, or it is
/// an idle task, or it is current.
#[derive(Clone, Copy)]
struct TaskRef(*mut bindings::task_struct);

impl TaskRef {
    fn state(self) -> i32 {
        // SAFETY: The task is valid, and all accesses to the field are single copies.
        unsafe { atomic_load(&raw mut (*self.0).patch_state, Relaxed) }
    }

    fn set_state(self, state: i32) {
        // SAFETY: As above.
        unsafe { atomic_store(&raw mut (*self.0).patch_state, state, Relaxed) };
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

    /// Clears the flag; a full barrier if it was set.
    fn take_pending(self) -> bool {
        // SAFETY: The task is valid.
        unsafe {
            bindings::test_and_clear_tsk_thread_flag(self.0, bindings::TIF_PATCH_PENDING as c_int)
                != 0
        }
    }

    fn is_current(self) -> bool {
        // SAFETY: Asking for current is always possible.
        self.0 == unsafe { bindings::get_current() }
    }

    /// Moves the task to the target if its stack allows. Returns whether it is there.
    fn try_switch(self) -> bool {
        if self.state() == TARGET_STATE.load(Relaxed) {
            return true;
        }
        if !HAVE_RELIABLE_STACK {
            return false;
        }

        // SAFETY: The task is valid.
        unsafe { bindings::klp_try_switch_task(self.0) == 0 }
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

/// Warns about tasks that are not in the state that they should be in, but not in each transition
/// from then on.
fn warn_once(wrong: bool) {
    static WARNED: AtomicFlag = AtomicFlag::new(false);

    if wrong && !WARNED.xchg(true, Relaxed) {
        warn_on!(wrong);
    }
}

/// Calls `f` for each task, then for the idle task of each possible CPU.
///
/// Holds a lock meanwhile: `f` must not sleep. A task that exits may be met twice.
fn each_task(mut f: impl FnMut(TaskRef)) {
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
    fn walk<F: FnMut(TaskRef)>(f: &mut F) {
        let data = core::ptr::from_mut(f).cast();

        // SAFETY: The callbacks get the closure that they expect, for the time of the calls.
        unsafe {
            bindings::klp_shim_each_task(Some(task::<F>), data);
            bindings::klp_shim_each_idle_task(Some(idle::<F>), data);
        }
    }
    walk(&mut f);
}

/// Prepares the move of all tasks to `target`, which is without effect until [`Running::start`].
///
/// `previous` are the states of the patches before this one, for callbacks.
pub(crate) fn begin(patch: &mut Patch, target: Target, previous: KVec<Declared>) -> Running {
    state::set_previous(Some(previous));
    patch.set_phase(Phase::towards(target));
    TARGET_STATE.store(target.patch_state(), Relaxed);

    report::initializing(&patch.name, target);

    let from = target.opposite().patch_state();
    let mut not_idle = false;
    each_task(|task| {
        // An exiting task may be met for the second time.
        not_idle |= match task.state() {
            IDLE => false,
            state => state != from || !task.is_exiting(),
        };
        task.set_state(from);
    });
    warn_once(not_idle);

    // ORDERING: The states of the tasks before the transition flags of the versions, so that the
    // handler does not meet a version in transition with an idle task. Pairs with the second read
    // barrier in klp_ftrace_handler().
    //
    // The target is ordered before the pending flags in `Running::start`.
    smp_mb(Write);

    for func in patch.funcs() {
        func.version().set_transition(true);
    }

    Running {
        patch: patch.id,
        target,
        since: Instant::now(),
        pacing: Pacing::new(),
        retired: None,
    }
}

/// What one pass over all tasks has found.
struct Pass {
    target: i32,
    complete: bool,
}

impl Pass {
    /// Tries to move every task. Returns whether all of them are on the target side.
    fn run(target: Target) -> bool {
        /// # Safety
        ///
        /// For the walk below only: `task` is valid, and `data` is what is passed there.
        unsafe extern "C" fn task(task: *mut bindings::task_struct, data: *mut c_void) -> bool {
            // SAFETY: `data` is the pass that is passed below.
            let pass = unsafe { &mut *data.cast::<Pass>() };
            // INVARIANT: One of the locks is held.
            let task = TaskRef(task);

            if task.state() == pass.target {
                return false;
            }
            pass.complete &= task.try_switch();
            true
        }
        /// # Safety
        ///
        /// For the walk below only: `task` is valid, and `data` is what is passed there.
        unsafe extern "C" fn idle(
            task: *mut bindings::task_struct,
            online: bool,
            cpu: c_uint,
            data: *mut c_void,
        ) {
            // SAFETY: `data` is the pass that is passed below.
            let pass = unsafe { &mut *data.cast::<Pass>() };
            // INVARIANT: It is an idle task.
            let task = TaskRef(task);

            if !online {
                // Nobody runs there, and nobody can come: CPU hotplug is held off.
                task.clear_pending();
                task.set_state(pass.target);
            } else if !task.try_switch() {
                pass.complete = false;
                // Make the idle task pass through its main loop, where it is moved.
                // SAFETY: The CPU is online.
                unsafe { bindings::wake_up_if_idle(cpu as c_int) };
            }
        }

        let mut pass = Pass {
            target: target.patch_state(),
            complete: true,
        };
        let data = (&raw mut pass).cast();

        // SAFETY: The callbacks get the pass that they expect, for the time of the calls.
        let all_met = unsafe {
            let all_met = bindings::klp_shim_each_task_in_turns(Some(task), data);
            bindings::klp_shim_each_idle_task(Some(idle), data);
            all_met
        };
        pass.complete && all_met
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

fn clear_transition(patch: &Patch) {
    for func in patch.funcs() {
        func.version().set_transition(false);
    }
}

impl Running {
    /// Lets tasks move to the target.
    ///
    /// `ranges` are those for this target. The caller has ordered its changes to the stacks before.
    pub(crate) fn start(&mut self, patch: &Patch, ranges: KBox<Ranges>) {
        self.retired = Some(stack::publish(Some(ranges)));
        self.since = Instant::now();
        self.pacing = Pacing::new();

        report::starting(&patch.name, self.target);

        // ORDERING: Before the pending flags of the tasks
        //
        // - the target, or a task moves to the idle state or to the wrong side. Pairs with the full
        //   barrier in `update` and with the read barrier in `__klp_sched_try_switch`;
        // - the ranges, or a task in `schedule()` is checked by those of the other direction. Pairs
        //   with the read barrier in `__klp_sched_try_switch`;
        // - the transition flags of the versions: a task that moves and then calls the handler must
        //   find them set. Pairs with the same two barriers.
        smp_mb(Write);

        let state = self.target.patch_state();
        each_task(|task| {
            if task.state() != state {
                task.set_pending();
            }
        });

        // SAFETY: May sleep.
        unsafe { bindings::klp_shim_sched_hook(true) };
    }

    /// Tries to move the tasks that are left. Returns whether all are on the target side;
    /// otherwise the next try is arranged.
    pub(crate) fn try_all(&mut self) -> bool {
        if Pass::run(self.target) {
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

    /// Ends the transition after [`Running::try_all`] has found all tasks on the target side.
    ///
    /// `older` are the patches that were there before; all of them are replaced if `patch` does
    /// that.
    pub(crate) fn finish(self, patch: &mut Patch, older: &mut [Patch], ops: &mut Ops) {
        // SAFETY: May sleep.
        unsafe { bindings::klp_shim_sched_hook(false) };
        self.complete(patch, older, ops);
    }

    /// Gives up a transition to the patched side that was not started.
    pub(crate) fn cancel(mut self, patch: &mut Patch, older: &mut [Patch], ops: &mut Ops) {
        report::canceling(&patch.name);

        self.target = Target::Unpatched;
        TARGET_STATE.store(self.target.patch_state(), Relaxed);
        self.complete(patch, older, ops);
    }

    fn complete(self, patch: &mut Patch, older: &mut [Patch], ops: &mut Ops) {
        let target = self.target;

        report::completing(&patch.name, target);

        let ranges = stack::publish(None);
        let synchronized = match target {
            Target::Unpatched => {
                patch.revert(ops);
                // The handler must not see the versions any more before their transition flags are
                // cleared: it would take them for the ones to run.
                let synchronized = publish::synchronize();
                clear_transition(patch);
                // Nor must a task be left that was preempted in a trampoline on its way to the
                // patch. The stack checks have seen such tasks, but the callbacks below may free
                // what the patch uses: do as ftrace does when it frees an ops.
                synchronize_tasks();
                synchronized
            }
            Target::Patched => {
                if patch.replace {
                    patch.revert_replaced(older, ops);
                }
                clear_transition(patch);
                // The handler must not see a version in transition with an idle task.
                publish::synchronize()
            }
        };
        ranges.free(&synchronized);
        if let Some(retired) = self.retired {
            retired.free(&synchronized);
        }
        ops.collect(&synchronized);
        patch.discard_nops();

        let mut pending = false;
        each_task(|task| {
            pending |= task.is_pending();
            task.set_state(IDLE);
        });
        warn_once(pending);

        for object in patch.objects.iter().filter(|object| object.is_loaded()) {
            match target {
                Target::Patched => object.post_patch(),
                Target::Unpatched => object.post_unpatch(),
            }
        }

        report::complete(&patch.name, target);

        TARGET_STATE.store(IDLE, Relaxed);
        state::set_previous(None);
        patch.set_phase(Phase::settled(target));
    }

    /// Turns the transition round. If there is no memory for that, nothing has changed.
    pub(crate) fn reverse(&mut self, patch: &mut Patch, ops: &Ops) -> Result {
        let target = self.target.opposite();
        let ranges = Ranges::collect(patch, ops, target)?;

        report::reversing(&patch.name, self.target);

        // Nobody moves from here on: not by the flag, and not by a pass, as `klp_mutex` is held.
        each_task(TaskRef::clear_pending);
        // All who saw a flag are done before the target changes under them.
        let synchronized = publish::synchronize();
        if let Some(retired) = self.retired.take() {
            retired.free(&synchronized);
        }

        self.target = target;
        patch.set_phase(Phase::towards(target));
        patch.show_enabled();
        TARGET_STATE.store(target.patch_state(), Relaxed);

        self.start(patch, ranges);
        Ok(())
    }

    /// Moves all tasks at once, wherever they are, at the administrator's risk.
    ///
    /// `older` as for [`Running::finish`].
    pub(crate) fn force(&mut self, patch: &mut Patch, older: &mut [Patch]) {
        pr_warn!("forcing remaining tasks to the patched state\n");

        each_task(update);

        // Tasks may be left in the code that is being removed.
        match self.target {
            Target::Unpatched => patch.forced = true,
            Target::Patched if patch.replace => {
                for old in older {
                    old.forced = true;
                }
            }
            Target::Patched => {}
        }
        retry_in(0);
    }

    /// Collects the ranges again after functions of a module were applied or taken off.
    pub(crate) fn refresh_ranges(&self, patch: &Patch, ops: &Ops) -> Result<Retired<Ranges>> {
        Ok(stack::publish(Some(Ranges::collect(
            patch,
            ops,
            self.target,
        )?)))
    }
}

/// Waits until no task is preempted in an ftrace trampoline. May sleep.
pub(crate) fn synchronize_tasks() {
    // SAFETY: May sleep.
    unsafe { bindings::klp_shim_synchronize_tasks() };
}

fn retry_in(msecs: u32) {
    // SAFETY: Possible in any context.
    unsafe { bindings::klp_shim_retry_in(msecs) };
}

fn update(task: TaskRef) {
    // `synchronize` waits for code that has preemption disabled.
    // SAFETY: Enabled again below.
    unsafe { bindings::preempt_disable_notrace() };

    // ORDERING: The flag before the target, and before the transition flag of a version that the
    // handler reads next on this CPU. The read-modify-write of the flag is a full barrier. Pairs
    // with the write barrier in `Running::start`.
    if task.take_pending() {
        task.set_state(TARGET_STATE.load(Relaxed));
    }

    // SAFETY: Disabled above.
    unsafe { bindings::preempt_enable_notrace() };
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
    update(TaskRef(task));
}

/// Tries to move the current task, which goes to sleep in a state in which it can be frozen: a
/// kthread, most of all, which never leaves the kernel.
///
/// # Safety
///
/// For `__schedule()`: preemption is disabled, and `klp_mutex` cannot be taken.
#[export]
pub(crate) unsafe extern "C" fn __klp_sched_try_switch() {
    // INVARIANT: The current task is valid.
    // SAFETY: Asking for current is always possible.
    let task = TaskRef(unsafe { bindings::get_current() });

    if !task.is_pending() {
        return;
    }

    // ORDERING: The pending flag before the target, the ranges and what the handler reads next.
    // Pairs with the write barrier in `Running::start`.
    smp_mb(Read);

    task.try_switch();
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
    // INVARIANT: Both tasks are valid.
    // SAFETY: Asking for current is always possible.
    let (parent, child) = (TaskRef(unsafe { bindings::get_current() }), TaskRef(child));

    // The flag was copied when the fork began, and the parent may have moved since.
    if parent.is_pending() {
        child.set_pending();
    } else {
        child.clear_pending();
    }
    child.set_state(parent.state());
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
    // INVARIANT: By the contract of this function.
    let this = TaskRef(task);

    // SAFETY: The task is valid.
    if !this.is_current() && unsafe { bindings::task_curr(task) } != 0 {
        return EBUSY.to_errno();
    }

    // SAFETY: The task is current or cannot run, and preemption is disabled.
    match unsafe { stack::check(task) } {
        Ok(()) => {
            this.clear_pending();
            this.set_state(TARGET_STATE.load(Relaxed));
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
