// SPDX-License-Identifier: GPL-2.0

//! Is the stack of a task free of the code that the task must not be in when it is moved?
//!
//! The ranges of that code are collected once for a transition and direction. A stack is walked
//! entry by entry, each is looked up by binary search, and the walk ends at the first hit.

use crate::{
    func_stacks::{
        FuncStacks,
        Site, //
    },
    model::{
        phase::PatchState,
        ranges::{
            self,
            Range, //
        },
        versions::OldCode, //
    },
    patch::{
        Code,
        Func,
        Patch, //
    },
    publish::{
        Published,
        Retired, //
    },
    shim,
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*, //
};

/// The code that is in the way of one transition in one direction.
///
/// # Invariants
///
/// The tags of `index` are positions in `names`. Those are strings of the patch in transition,
/// which is in the registry, and hence not freed, until after the ranges were withdrawn and all
/// readers of them have finished.
pub(crate) struct Ranges {
    index: KVVec<Range>,
    /// The names of the patched functions, by the tags of the ranges.
    names: KVVec<*const c_char>,
}

// SAFETY: The names are strings that nobody changes, by the type invariants, and belong to no
// thread.
unsafe impl Send for Ranges {}

// SAFETY: As for `Send`, and nothing in it changes.
unsafe impl Sync for Ranges {}

impl Ranges {
    /// Collects the ranges for moving tasks of `patch` to `target`.
    ///
    /// The functions of the patch are on their stacks already when tasks move to it, and still when
    /// they move away. May sleep.
    pub(crate) fn collect(
        patch: &Patch,
        func_stacks: &FuncStacks,
        target: PatchState,
    ) -> Result<KBox<Self>> {
        let count = patch.patched_funcs().count();
        let mut index = KVVec::with_capacity(2 * count, GFP_KERNEL)?;
        let mut names = KVVec::with_capacity(count, GFP_KERNEL)?;

        for func in patch.patched_funcs() {
            let tag = names.len();
            names.push(func.name.as_char_ptr(), GFP_KERNEL)?;

            let Some(Site { ip, version }) = func.site() else {
                continue;
            };
            let Some(code) = in_the_way(func, ip, func_stacks, target) else {
                continue;
            };
            index.push(Range::new(code.start, code.size, tag), GFP_KERNEL)?;
            // A task that was preempted in the call has nothing else of the function on its stack,
            // and may be bound for the code that it must not be in.
            let (start, size) = shim::call_window(ip);
            index.push(Range::new(start, size, tag), GFP_KERNEL)?;

            if target == PatchState::Patched && patch.replaces() {
                // All that is replaced will be freed, and an earlier transition that was forced
                // may have left tasks in what is further down.
                let stack = func_stacks.get(ip).into_iter();
                for below in stack.flat_map(|stack| stack.below(version)) {
                    let below = Range::new(below.new_func(), below.new_size(), tag);
                    index.push(below, GFP_KERNEL)?;
                }
            }
        }
        ranges::build(&mut index);
        // INVARIANT: Each tag was the position of the name that was pushed with it. `klp_mutex` is
        // held as the patch is borrowed from the registry, and what publishes the ranges withdraws
        // them, and synchronizes, before it gives up the patch.
        Ok(KBox::new(Ranges { index, names }, GFP_KERNEL)?)
    }
}

/// The code of `func` that a task must not be in when it moves to `target`; `None` if the task runs
/// the same code before and after.
fn in_the_way(
    func: &Func,
    ip: usize,
    func_stacks: &FuncStacks,
    target: PatchState,
) -> Option<Code> {
    let stack = func_stacks.get(ip)?;

    match stack.old_code(func.version(), target) {
        OldCode::Nothing => None,
        OldCode::Version(version) if version.new_func() != 0 => Some(Code {
            start: version.new_func(),
            size: version.new_size(),
        }),
        // A nop runs the original function.
        OldCode::Version(_) | OldCode::Original => func.old_func(),
    }
}

static RANGES: Published<Ranges> = Published::empty();

/// Publishes the ranges of the transition that starts or is reversed; `None` when it is over.
///
/// No task may be checked between this and the change of the target state: a task must not be
/// moved in one direction by the ranges of the other.
pub(crate) fn publish(ranges: Option<KBox<Ranges>>) -> Retired<Ranges> {
    RANGES.replace(ranges)
}

/// Why a stack does not allow its task to be moved.
pub(crate) enum StackCheckError {
    /// The unwinder cannot vouch for the stack.
    Unreliable,
    /// The task is in the function of this name, which is being patched or unpatched.
    InFunction(*const c_char),
}

/// Checks the stack of `task` against the published ranges.
///
/// # Safety
///
/// `task` must be current or unable to run. Preemption must be disabled.
pub(crate) unsafe fn check(task: NonNull<bindings::task_struct>) -> Result<(), StackCheckError> {
    // SAFETY: Preemption is disabled until after this function, which keeps no reference.
    let Some(ranges) = (unsafe { RANGES.read() }) else {
        return Err(StackCheckError::Unreliable);
    };
    let mut hit = None;

    // SAFETY: `task` is current or unable to run, as promised.
    let reliable = unsafe {
        shim::walk_stack(task, |addr| {
            hit = ranges::find(&ranges.index, addr).map(Range::tag);
            hit.is_none()
        })
    };
    match hit.and_then(|tag| ranges.names.get(tag)) {
        Some(&name) => Err(StackCheckError::InFunction(name)),
        None if reliable => Ok(()),
        None => Err(StackCheckError::Unreliable),
    }
}
