// SPDX-License-Identifier: GPL-2.0

//! `shim/shim.h` as Rust functions: what the core needs of C and C code that only Rust calls.
//!
//! Most of them may sleep, and say so. To sleep where that is not allowed is a bug, and no
//! undefined behaviour: so it is not what the SAFETY comments are about, here as in the `kernel`
//! crate.

mod tasks;
pub(crate) mod trace;

pub(crate) use self::tasks::{
    each_idle_task,
    each_task,
    hold_task,
    synchronize_forks,
    task_info,
    try_switch_task,
    walk_stack, //
};

use core::{
    ops::Range,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    alloc::AllocError,
    bindings,
    error::to_result,
    prelude::*, //
};

/// Waits until every CPU has passed through the scheduler. May sleep.
pub(crate) fn synchronize() {
    // SAFETY: Takes no pointer, and serializes its callers by a lock of its own.
    unsafe { bindings::klp_shim_synchronize() };
}

/// Waits until no task is preempted in an ftrace trampoline. May sleep.
pub(crate) fn synchronize_tasks() {
    // SAFETY: Takes no pointer; `synchronize_rcu_tasks()` can be called by any number of tasks.
    unsafe { bindings::klp_shim_synchronize_tasks() };
}

/// Sleeps for about `msecs` milliseconds.
pub(crate) fn msleep(msecs: c_uint) {
    // SAFETY: Takes no pointer.
    unsafe { bindings::msleep(msecs) };
}

/// Has `schedule()` call `__klp_sched_try_switch()`, or not any more. May sleep.
pub(crate) fn hook_scheduler(hooked: bool) {
    // SAFETY: Takes no pointer; the static key is changed under `jump_label_mutex`.
    unsafe { bindings::klp_shim_sched_hook(hooked) };
}

/// Has `klp_rust_retry()` called in `msecs` milliseconds, even if that was pending. Any context.
pub(crate) fn retry_in(msecs: c_uint) {
    // SAFETY: Takes no pointer; the static work item is moved under the lock of its queue.
    unsafe { bindings::klp_shim_retry_in(msecs) };
}

/// Has `klp_rust_collect()` called by a work item. Any context.
pub(crate) fn collect() {
    // SAFETY: Takes no pointer; the static work item can be queued while it is pending or runs.
    unsafe { bindings::klp_shim_collect() };
}

/// Has `klp_rust_reap()` called by a work item. Any context.
pub(crate) fn reap() {
    // SAFETY: Takes no pointer; the static work item can be queued while it is pending or runs.
    unsafe { bindings::klp_shim_reap() };
}

/// Returns the task that runs this.
pub(crate) fn current() -> NonNull<bindings::task_struct> {
    // SAFETY: There is a current task in every context that Rust code runs in, and its address is
    // not null.
    unsafe { NonNull::new_unchecked(bindings::get_current()) }
}

/// Calls `f` with preemption disabled. Any context.
pub(crate) fn preempt_disabled(f: impl FnOnce()) {
    // SAFETY: Enabled again below, and `f` does not unwind: panics do not return in the kernel.
    unsafe { bindings::preempt_disable_notrace() };
    f();
    // SAFETY: Disabled above, in the same function.
    unsafe { bindings::preempt_enable_notrace() };
}

/// Finds a module that `klp_module_coming()` has seen and `klp_module_going()` has not; null if
/// there is none.
///
/// It stays that way for as long as the caller holds `klp_mutex`, which both of them take.
pub(crate) fn find_module(name: &CStr) -> *mut bindings::module {
    // SAFETY: `name` is a string that ends with its only NUL, and is not kept.
    unsafe { bindings::klp_shim_find_module(name.as_char_ptr()) }
}

/// Is `addr` in the init section of `module`, which still has one?
///
/// # Safety
///
/// `module` must be in memory.
pub(crate) unsafe fn is_init_text(module: NonNull<bindings::module>, addr: usize) -> bool {
    // SAFETY: The module is in memory, as the caller promises; `addr` is not accessed.
    unsafe { bindings::klp_shim_is_init_text(module.as_ptr(), addr) }
}

/// Was `addr`, which a symbol of `module` had, in the init section, and is the module past its init
/// function? The section may be gone at any moment then.
///
/// # Safety
///
/// `module` must be in memory.
pub(crate) unsafe fn is_freed_init_text(module: NonNull<bindings::module>, addr: usize) -> bool {
    // SAFETY: The module is in memory, as the caller promises. The state is written without a lock.
    let state = unsafe { ptr::read_volatile(&raw const (*module.as_ptr()).state) };

    // In this order: the module forgets where the section was when that is freed, so that its
    // addresses are in none of the module's memory from then on.
    // SAFETY: Both need a module that is in memory, which the caller promises.
    state == bindings::module_state_MODULE_STATE_LIVE
        && unsafe { is_init_text(module, addr) || module_memory(module, addr).is_none() }
}

/// The memory of `module` that `addr` is in; `None` if it is in none.
///
/// # Safety
///
/// `module` must be in memory.
pub(crate) unsafe fn module_memory(
    module: NonNull<bindings::module>,
    addr: usize,
) -> Option<Range<usize>> {
    let (mut start, mut end) = (0, 0);

    // SAFETY: The module is in memory, as the caller promises; `addr` is not accessed. Both places
    // are this function's own, and only written to during the call.
    let found = unsafe {
        bindings::klp_shim_module_memory(module.as_ptr(), addr, &raw mut start, &raw mut end)
    };
    found.then_some(start..end)
}

/// Takes a reference to a module. Returns whether that succeeded: not if the module is going.
///
/// # Safety
///
/// `module` must be in memory.
pub(crate) unsafe fn module_get(module: NonNull<bindings::module>) -> bool {
    // SAFETY: `try_module_get()` needs a module that is in memory, which the caller promises.
    unsafe { bindings::klp_shim_module_get(module.as_ptr()) }
}

/// Gives a reference to a module back, after which its memory may be gone.
///
/// # Safety
///
/// The caller must own a reference that [`module_get`] has taken, and not use it any more.
pub(crate) unsafe fn module_put(module: NonNull<bindings::module>) {
    // SAFETY: `module_put()` needs a reference to give back, which the caller owns.
    unsafe { bindings::klp_shim_module_put(module.as_ptr()) };
}

/// Asks ftrace for the call site of the function of `size` bytes at `addr`; `None` if it has none.
///
/// As `ftrace_location()`, which goes through all symbols of a module for the size.
pub(crate) fn call_site(addr: usize, size: usize) -> Option<usize> {
    let last = addr.saturating_add(size.saturating_sub(1));

    // At the start of the function first: behind it may be the record of one without a symbol, such
    // as a weak function that was overridden.
    [addr, last].into_iter().find_map(|end| {
        // SAFETY: The addresses are searched for in ftrace's records and not accessed.
        let ip = unsafe { bindings::ftrace_location_range(addr, end) };
        (ip != 0).then_some(ip)
    })
}

/// Start and size of the addresses that say "inside the call at `ip` to the handler".
pub(crate) fn call_window(ip: usize) -> (usize, usize) {
    let (mut start, mut size) = (0, 0);

    // SAFETY: Both places are this function's own, and only written to during the call.
    unsafe { bindings::klp_arch_call_window(ip, &raw mut start, &raw mut size) };
    (start, size)
}

/// Makes sure that calls see what was done to the kernel's text and to what the handler reads, on
/// all CPUs, from now on.
pub(crate) fn order_calls() {
    // SAFETY: Takes no pointer.
    unsafe { bindings::klp_arch_order_calls() };
}

/// Are call sites to jump to replacements? What an administrator wants, at this moment.
pub(crate) fn jumps_allowed() -> bool {
    // SAFETY: The variable is a static of one byte, which C only ever sets to 0 or 1. That may
    // happen now, so this is a `READ_ONCE()`: it finds the one or the other.
    unsafe { ptr::read_volatile(&raw const bindings::klp_jump) }
}

/// Can the call at `ip` be a jump to `target`, past the handler?
pub(crate) fn can_jump(ip: usize, target: usize) -> bool {
    // SAFETY: The addresses are compared and not accessed.
    unsafe { bindings::klp_shim_can_jump(ip, target) }
}

/// Does something other than a handler run when the function is called, such as a BPF trampoline?
pub(crate) fn has_direct_caller(ip: usize) -> bool {
    // SAFETY: `ip` is searched for in ftrace's hash and not accessed.
    unsafe { bindings::klp_shim_has_direct_caller(ip) }
}

/// What to do with call sites and the filter of an `ftrace_ops`.
#[derive(Clone, Copy)]
pub(crate) enum Filter {
    /// Put these in place of what is there.
    Set,
    Add,
    Remove,
}

/// An `ftrace_ops` that leads to the handler.
///
/// # Invariants
///
/// Points to an `ftrace_ops` that is never freed, and that only this type changes.
#[derive(Clone, Copy)]
pub(crate) struct FtraceOps(NonNull<bindings::ftrace_ops>);

// SAFETY: An `ftrace_ops` belongs to no thread. ftrace changes it under locks of its own.
unsafe impl Send for FtraceOps {}

impl FtraceOps {
    /// The one that ftrace does not wait for.
    pub(crate) const fn shared() -> Self {
        // INVARIANT: It is static, and C code only defines it.
        // SAFETY: A static has an address, which is not null.
        FtraceOps(unsafe { NonNull::new_unchecked(&raw mut bindings::klp_ftrace_ops) })
    }

    /// Makes one more. Whenever it is unregistered, ftrace waits for all tasks to leave its
    /// trampolines. May sleep.
    pub(crate) fn new() -> Result<Self, AllocError> {
        // SAFETY: Takes no pointer.
        let ops = unsafe { bindings::klp_shim_ops_alloc() };

        // INVARIANT: It is new, and nothing frees it.
        NonNull::new(ops).map(FtraceOps).ok_or(AllocError)
    }

    /// Only to be compared.
    pub(crate) fn as_ptr(self) -> *mut bindings::ftrace_ops {
        self.0.as_ptr()
    }

    /// Changes the filter. -ENOMEM means that nothing has changed. May sleep.
    pub(crate) fn filter(self, how: Filter, ips: &mut [usize]) -> Result {
        let (ips, count) = (ips.as_mut_ptr(), c_uint::try_from(ips.len())?);
        let (remove, reset) = match how {
            Filter::Set => (0, 1),
            Filter::Add => (0, 0),
            Filter::Remove => (1, 0),
        };

        // SAFETY: The `ftrace_ops` stays by the type invariants; ftrace changes it under its
        // `regex_lock`. `ips` points to `count` elements that are borrowed exclusively, and ftrace
        // copies what it keeps.
        to_result(unsafe {
            bindings::ftrace_set_filter_ips(self.as_ptr(), ips, count, remove, reset)
        })
    }

    /// Asks the direct callers of the functions in the filter, and registers the `ftrace_ops`. May
    /// sleep.
    pub(crate) fn register(self) -> Result {
        // SAFETY: The `ftrace_ops` stays by the type invariants, and ftrace refuses one that is
        // registered already.
        to_result(unsafe { bindings::register_ftrace_function(self.as_ptr()) })
    }

    /// Has calls at each of `ips` jump to the one of `targets` at the same place. `EIO` means that
    /// some may do so, after a failure of ftrace; after other errors, none does. May sleep.
    pub(crate) fn set_jumps(self, ips: &[usize], targets: &[usize]) -> Result {
        let count = c_uint::try_from(ips.len().min(targets.len()))?;

        // SAFETY: The `ftrace_ops` stays by the type invariants; ftrace changes what belongs to it
        // under its `regex_lock`. Both slices have `count` elements, which are only read.
        to_result(unsafe {
            bindings::klp_shim_set_jumps(self.as_ptr(), ips.as_ptr(), targets.as_ptr(), count)
        })
    }

    /// Has calls at `ips` come to the handler. On failure some may jump. May sleep.
    pub(crate) fn clear_jumps(self, ips: &[usize]) -> Result {
        let count = c_uint::try_from(ips.len())?;

        // SAFETY: As in `set_jumps`.
        to_result(unsafe { bindings::klp_shim_clear_jumps(self.as_ptr(), ips.as_ptr(), count) })
    }

    /// Unregisters the `ftrace_ops`; fails if it is not registered. Needs no memory. May sleep.
    pub(crate) fn unregister(self) -> Result {
        // SAFETY: The `ftrace_ops` stays by the type invariants, and ftrace refuses one that is not
        // registered.
        to_result(unsafe { bindings::unregister_ftrace_function(self.as_ptr()) })
    }
}

/// A message that only dynamic debug shows: its text, and what C function it is attributed to.
#[derive(Clone, Copy)]
pub(crate) enum DebugMessage {
    Initializing { patching: bool },
    Completing { patching: bool },
    Canceling,
    Reversing { was_patching: bool },
}

/// Prints `message` about the patch of the name `patch`.
pub(crate) fn debug(patch: &CStr, message: DebugMessage) {
    let patch = patch.as_char_ptr();

    // SAFETY: `patch` is a string that ends with its only NUL, and is only printed.
    unsafe {
        match message {
            DebugMessage::Initializing { patching } => {
                bindings::klp_init_transition(patch, patching);
            }
            DebugMessage::Completing { patching } => {
                bindings::klp_complete_transition(patch, patching);
            }
            DebugMessage::Canceling => bindings::klp_cancel_transition(patch),
            DebugMessage::Reversing { was_patching } => {
                bindings::klp_reverse_transition(patch, was_patching);
            }
        }
    }
}
