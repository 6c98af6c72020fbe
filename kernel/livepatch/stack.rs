// SPDX-License-Identifier: GPL-2.0

//! Is the stack of a task free of the code that the task must not be in when it is switched?
//!
//! The ranges of that code are collected once for a transition and direction. A stack is walked
//! entry by entry, each is looked up by binary search, and the walk ends at the first hit.

use crate::{
    model::{
        phase::PatchState,
        ranges::{
            self,
            Range, //
        },
        versions::OldCode, //
    },
    ops::{
        Ops,
        Site, //
    },
    patch::{
        Func,
        Patch, //
    },
    publish::{
        Published,
        Retired, //
    },
};
use kernel::{
    bindings,
    ffi::c_void,
    prelude::*, //
};

/// The code that is in the way of one transition in one direction.
pub(crate) struct Ranges {
    index: KVVec<Range>,
    /// The names of the patched functions, by the tags of the ranges. They belong to the patch.
    names: KVVec<*const c_char>,
}

// SAFETY: The names are immutable strings.
unsafe impl Send for Ranges {}

// SAFETY: As above.
unsafe impl Sync for Ranges {}

impl Ranges {
    /// Collects the ranges for moving tasks of `patch` to `target`.
    ///
    /// The functions of the patch are on their stacks already when tasks move to it, and still when
    /// they move away. May sleep.
    pub(crate) fn collect(patch: &Patch, ops: &Ops, target: PatchState) -> Result<KBox<Self>> {
        let count = patch.patched_funcs().count();
        let mut index = KVVec::with_capacity(2 * count, GFP_KERNEL)?;
        let mut names = KVVec::with_capacity(count, GFP_KERNEL)?;

        for func in patch.patched_funcs() {
            let tag = names.len();
            names.push(func.name.as_char_ptr(), GFP_KERNEL)?;

            let Some(Site { ip, version }) = func.site() else {
                continue;
            };
            let Some(code) = in_the_way(func, ip, ops, target) else {
                continue;
            };
            for (start, size) in [code, call_window(ip)] {
                index.push(Range::new(start, size, tag), GFP_KERNEL)?;
            }
            if target == PatchState::Patched && patch.replace {
                // All that is replaced will be freed, and an earlier transition that was forced
                // may have left tasks in what is further down.
                for below in ops.get(ip).iter().flat_map(|ops| ops.below(version)) {
                    let below = Range::new(below.new_func(), below.new_size(), tag);
                    index.push(below, GFP_KERNEL)?;
                }
            }
        }
        ranges::build(&mut index);
        Ok(KBox::new(Ranges { index, names }, GFP_KERNEL)?)
    }
}

/// Start and size of the code of `func` that a task must not be in when it moves to `target`;
/// `None` if the task runs the same code before and after.
fn in_the_way(func: &Func, ip: usize, ops: &Ops, target: PatchState) -> Option<(usize, usize)> {
    let location = func.location()?;
    let ops = ops.get(ip)?;

    Some(match ops.old_code(func.version(), target) {
        OldCode::Nothing => return None,
        OldCode::Version(version) if version.new_func() != 0 => {
            (version.new_func(), version.new_size())
        }
        // A nop runs the original function.
        OldCode::Version(_) | OldCode::Original => (location.old_func, location.old_size),
    })
}

/// Start and size of the addresses that say "inside the call at `ip` to the handler".
///
/// A task that was preempted there has nothing else of the function on its stack, and may be bound
/// for the code that it must not be in.
fn call_window(ip: usize) -> (usize, usize) {
    let (mut start, mut size) = (0, 0);

    // SAFETY: The results go to valid places.
    unsafe { bindings::klp_arch_call_window(ip, &raw mut start, &raw mut size) };
    (start, size)
}

static RANGES: Published<Ranges> = Published::empty();

/// Publishes the ranges of the transition that starts or turns round; `None` when it is over.
///
/// No task may be checked between this and the change of the target state: a task must not be
/// switched to one side by the ranges of the other.
pub(crate) fn publish(ranges: Option<KBox<Ranges>>) -> Retired<Ranges> {
    RANGES.replace(ranges)
}

/// Why a stack is not safe.
pub(crate) enum Unsafe {
    /// The unwinder cannot vouch for the stack.
    Unreliable,
    /// The task is in a function that is being patched or unpatched.
    InFunction(*const c_char),
}

struct Walk<'a> {
    ranges: &'a Ranges,
    hit: Option<usize>,
}

/// # Safety
///
/// `cookie` must point to a [`Walk`] that nobody else uses.
unsafe extern "C" fn consume(cookie: *mut c_void, addr: usize) -> bool {
    // SAFETY: By the contract of this function.
    let walk = unsafe { &mut *cookie.cast::<Walk<'_>>() };

    walk.hit = ranges::find(&walk.ranges.index, addr).map(Range::tag);
    walk.hit.is_none()
}

/// Checks the stack of `task` against the published ranges.
///
/// # Safety
///
/// `task` must be current or unable to run. Preemption must be disabled.
pub(crate) unsafe fn check(task: *mut bindings::task_struct) -> Result<(), Unsafe> {
    // SAFETY: Preemption is disabled.
    let Some(ranges) = (unsafe { RANGES.read() }) else {
        return Err(Unsafe::Unreliable);
    };
    let mut walk = Walk { ranges, hit: None };

    // SAFETY: `task` is as the walk needs it; `consume` gets its walk, for the time of the call.
    let ret = unsafe { bindings::klp_shim_walk_stack(task, Some(consume), (&raw mut walk).cast()) };
    match (walk.hit.and_then(|tag| ranges.names.get(tag)), ret) {
        (Some(&name), _) => Err(Unsafe::InFunction(name)),
        (None, 0) => Ok(()),
        (None, _) => Err(Unsafe::Unreliable),
    }
}
