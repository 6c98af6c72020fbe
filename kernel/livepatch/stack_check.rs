// SPDX-License-Identifier: GPL-2.0

//! Is the stack of a task free of the code that the task must not be in when it is moved?
//!
//! The ranges of that code are collected once for a transition and direction. A stack is walked
//! entry by entry, each is looked up by binary search, and the walk ends at the first hit.

use crate::{
    func_stacks::FuncStacks,
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
        Object,
        Patch, //
    },
    publish::{
        Published,
        Retired,
        Synchronized, //
    },
    report::warn_once,
    shim, //
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

// SAFETY: A shared reference allows to read the index and the addresses of the names. Neither
// changes while there is one: `fill` takes an exclusive one.
unsafe impl Sync for Ranges {}

impl Ranges {
    /// Empty ranges. May sleep.
    fn with_room(room: Room) -> Result<KBox<Self>> {
        let ranges = Ranges {
            index: KVVec::with_capacity(room.code, GFP_KERNEL)?,
            names: KVVec::with_capacity(room.funcs, GFP_KERNEL)?,
        };

        // INVARIANT: There are no tags.
        Ok(KBox::new(ranges, GFP_KERNEL)?)
    }

    fn has(&self, room: Room) -> bool {
        self.index.capacity() >= room.code && self.names.capacity() >= room.funcs
    }

    /// Collects the ranges for moving tasks of `patch` to `target`, in the room that there is.
    /// Returns whether that was enough.
    ///
    /// The functions of the patch are on their stacks already when tasks move to it, and still when
    /// they move away.
    fn fill(&mut self, patch: &Patch, func_stacks: &FuncStacks, target: PatchState) -> bool {
        self.index.clear();
        self.names.clear();

        // INVARIANT: Each tag is the position of the name that is pushed with it. `klp_mutex` is
        // held as the patch is borrowed from the registry, and what publishes the ranges withdraws
        // them, and synchronizes, before it gives up the patch.
        let complete = patch.patched_funcs().all(|func| {
            let tag = self.names.len();
            let mut code = code_in_the_way(patch, func, func_stacks, target);

            self.names
                .push_within_capacity(func.name.as_char_ptr())
                .is_ok()
                && code.all(|code| {
                    let range = Range::new(code.start, code.size, tag);
                    self.index.push_within_capacity(range).is_ok()
                })
        });
        ranges::build(&mut self.index);
        complete
    }
}

/// The pieces of code on account of `func` that a task must not be in when it moves to `target`.
fn code_in_the_way<'a>(
    patch: &Patch,
    func: &'a Func,
    func_stacks: &'a FuncStacks,
    target: PatchState,
) -> impl Iterator<Item = Code> + 'a {
    let site = func.site();
    let own = site.and_then(|site| in_the_way(func, site.ip, func_stacks, target));
    // A task that was preempted in the call has nothing else of the function on its stack, and may
    // be bound for the code that it must not be in.
    let call = site.filter(|_| own.is_some()).map(|site| {
        let (start, size) = shim::call_window(site.ip);
        Code { start, size }
    });
    // All that is replaced will be freed, and an earlier transition that was forced may have left
    // tasks in what is further down.
    let replaced = own.is_some() && target == PatchState::Patched && patch.replaces();
    let below = site
        .filter(|_| replaced)
        .and_then(|site| Some(func_stacks.get(site.ip)?.below(site.version)));

    let below = below.into_iter().flatten().map(|version| Code {
        start: version.new_func(),
        size: version.new_size(),
    });
    Iterator::chain(Iterator::chain(own.into_iter(), call), below)
}

/// Ranges that are not in use, so that no transition has to wait for memory once it has begun: one
/// that is in the way of a fix has to be reversed, and a patch disabled, when there is none.
///
/// There is one transition at a time: these are for whichever patch it will be about.
pub(crate) struct SpareRanges {
    spare: KVec<KBox<Ranges>>,
    /// Those that were replaced, and that a check may still be reading.
    retired: KVVec<Retired<Ranges>>,
    /// The room that each of them has at least.
    room: Room,
}

/// For how many pieces of code of how many functions there is room.
#[derive(Clone, Copy)]
struct Room {
    code: usize,
    funcs: usize,
}

impl Room {
    const NONE: Self = Room { code: 0, funcs: 0 };
}

impl SpareRanges {
    /// One is published next, the other when that is reversed. What was published before comes back
    /// before there is a third time.
    const COUNT: usize = 2;

    /// Until there is a synchronization, ranges are published for one module that comes or for the
    /// next direction, and withdrawn.
    const RETIRED: usize = 3;

    /// Each function has its own code and its call, also one that has yet to come.
    const OWN: usize = 2;

    pub(crate) const fn new() -> Self {
        SpareRanges {
            spare: KVec::new(),
            retired: KVVec::new(),
            room: Room::NONE,
        }
    }

    /// Makes room for all transitions of `patch` that can come, as things stand. May sleep.
    pub(crate) fn reserve(&mut self, patch: &Patch, func_stacks: &FuncStacks) -> Result {
        self.retired.reserve(Self::RETIRED, GFP_KERNEL)?;

        let funcs = patch.funcs().count();
        // And what is replaced, on the stacks below.
        let mut below = 0;
        for site in patch.patched_funcs().filter_map(Func::site) {
            if let Some(stack) = func_stacks.get(site.ip).filter(|_| patch.replaces()) {
                below += stack.below(site.version).count();
            }
        }

        let room = Room {
            funcs: self.room.funcs.max(funcs),
            code: self.room.code.max(Self::OWN * funcs + below),
        };
        if self.spare.len() < Self::COUNT || !self.spare.iter().all(|ranges| ranges.has(room)) {
            // What there is stays until all of it is there: it is for the patches of before.
            let mut spare = KVec::with_capacity(Self::COUNT, GFP_KERNEL)?;
            for _ in 0..Self::COUNT {
                spare.push(Ranges::with_room(room)?, GFP_KERNEL)?;
            }
            self.spare = spare;
            self.room = room;
        }
        Ok(())
    }

    /// Publishes the ranges for moving tasks of `patch` to `target`. After
    /// [`SpareRanges::reserve`].
    ///
    /// Without room, none are published, and said so: tasks are then moved when they leave the
    /// kernel and not before.
    ///
    /// No task may be checked between this and the change of the target state: a task must not be
    /// moved in one direction by the ranges of the other.
    pub(crate) fn publish(&mut self, patch: &Patch, func_stacks: &FuncStacks, target: PatchState) {
        let ranges = self
            .spare
            .pop()
            .and_then(|mut ranges| ranges.fill(patch, func_stacks, target).then_some(ranges));

        if ranges.is_none() {
            warn_once!("'{}': no room for the stack check\n", &*patch.name);
        }
        self.replace(ranges);
    }

    /// Ends the publication: the transition is over.
    pub(crate) fn withdraw(&mut self) {
        self.replace(None);
    }

    fn replace(&mut self, ranges: Option<KBox<Ranges>>) {
        let retired = RANGES.replace(ranges);

        if !retired.is_empty() {
            // Without room for them, they leak.
            let _ = self.retired.push_within_capacity(retired);
        }
    }

    /// Takes back what nobody reads any more.
    pub(crate) fn collect(&mut self, proof: &Synchronized) {
        let (spare, room) = (&mut self.spare, self.room);

        self.retired.retain(|retired| {
            if let Some(ranges) = retired.reclaim(proof) {
                if spare.len() < Self::COUNT && ranges.has(room) {
                    // If there is no room for them, they are freed.
                    let _ = spare.push_within_capacity(ranges);
                }
            }
            !retired.is_empty()
        });
    }

    /// Frees them, when there is nothing left that could be disabled.
    pub(crate) fn clear(&mut self) {
        self.spare = KVec::new();
        self.room = Room::NONE;
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

/// Why a stack does not allow its task to be moved.
pub(crate) enum StackCheckError {
    /// The unwinder cannot vouch for the stack.
    Unreliable,
    /// The task is in a function that is being patched or unpatched.
    InFunction {
        /// The name of the function.
        name: *const c_char,
        /// Where in it, or in the call that leads to it.
        addr: usize,
    },
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
            hit = ranges::find(&ranges.index, addr).map(|range| (addr, range.tag()));
            hit.is_none()
        })
    };
    match hit {
        // By the type invariants, there is a name.
        Some((addr, tag)) => Err(match ranges.names.get(tag) {
            Some(&name) => StackCheckError::InFunction { name, addr },
            None => StackCheckError::Unreliable,
        }),
        None if reliable => Ok(()),
        None => Err(StackCheckError::Unreliable),
    }
}

/// What of a patch is in the way of a task.
pub(crate) struct InTheWay<'a> {
    pub(crate) object: &'a Object,
    pub(crate) func: &'a Func,
    pub(crate) place: Place,
}

/// Where in a function a task is.
pub(crate) enum Place {
    /// In the call that leads to it, or to a replacement.
    Call,
    /// So many bytes behind its beginning.
    At(usize),
    /// In code that is not there any more.
    Unknown,
}

/// Finds what of `patch` a task that is to move to `target` is in, by what [`check`] has said of
/// it.
pub(crate) fn locate<'a>(
    patch: &'a Patch,
    func_stacks: &FuncStacks,
    target: PatchState,
    name: *const c_char,
    addr: usize,
) -> Option<InTheWay<'a>> {
    let mut funcs = patch
        .objects()
        .flat_map(|object| object.funcs().map(move |func| (object, func)));
    // Each function has a name of its own, whatever it is.
    let (object, func) = funcs.find(|(_, func)| func.name.as_char_ptr() == name)?;
    let contains = |code: &Code| {
        addr.checked_sub(code.start)
            .is_some_and(|at| at < code.size)
    };

    // The call is in the original function, so that is asked first.
    let call = func.site().map(|site| {
        let (start, size) = shim::call_window(site.ip);
        Code { start, size }
    });
    let place = if call.is_some_and(|call| contains(&call)) {
        Place::Call
    } else {
        code_in_the_way(patch, func, func_stacks, target)
            .find(contains)
            .map_or(Place::Unknown, |code| Place::At(addr - code.start))
    };
    Some(InTheWay {
        object,
        func,
        place,
    })
}
