// SPDX-License-Identifier: GPL-2.0

//! The stacks of versions, one per patched function, and how the handler finds them.
//!
//! The handler finds the top of a function's stack by the address of the call site, in a hash table
//! that is replaced as a whole when functions are patched for the first time.

mod attach;
mod jumps;
mod version;

pub(crate) use self::{
    attach::AttachError,
    version::{
        FuncStack,
        Version, //
    }, //
};

use self::{
    attach::{
        push_reserved,
        Attachment, //
    },
    jumps::Jumps, //
};
use crate::{
    model::{
        ip_table::{
            self,
            Slot, //
        },
        sort::sort_by_key, //
    },
    publish::{
        Published,
        Retired,
        Synchronized, //
    },
    shim, //
};
use core::{
    mem,
    ptr, //
};
use kernel::{
    alloc::AllocError,
    bindings,
    prelude::*,
    sync::atomic::{
        Atomic,
        Release, //
    },
};

/// What the handler searches.
///
/// # Invariants
///
/// `raw` says where `slots` are and how many: a power of two.
#[repr(C)]
struct Table {
    /// What C knows of it. Comes first, so that a pointer to the table is one to this.
    raw: bindings::klp_calls,
    /// For each call site the top of its stack; see `FuncStacks::publish_top`.
    slots: KVVec<Slot<Atomic<*mut bindings::klp_version>>>,
}

// A slot is what C takes it for: the call site, and then the top.
const _: () = assert!(
    mem::size_of::<Slot<Atomic<*mut bindings::klp_version>>>()
        == mem::size_of::<bindings::klp_call>()
        && mem::offset_of!(bindings::klp_call, ip) == Slot::<()>::IP_OFFSET
        && mem::offset_of!(Table, raw) == 0
);

// SAFETY: `raw` points to what `slots` owns, and belongs to no thread.
unsafe impl Send for Table {}

// SAFETY: A shared reference allows to read, and to change the tops, which are atomic.
unsafe impl Sync for Table {}

/// The table that is in use. The handler reads it by this name: `klp_find_call()` in
/// `shim/calls.h`.
#[no_mangle]
#[allow(non_upper_case_globals)]
static klp_calls: Published<Table> = Published::empty();

/// A version to apply or to take off, and the call site of the function that it is for.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a> {
    pub(crate) ip: usize,
    pub(crate) version: &'a Version,
}

/// All stacks. Guarded by `klp_mutex` as a part of the registry.
///
/// # Invariants
///
/// `attachment` and `jumps` have room for all of `stacks`, and `retired` for one table more if
/// there are any. The table that is published has all of `stacks`, each with its top. A call site
/// that jumps does so to the top of its stack, which all tasks run.
pub(crate) struct FuncStacks {
    /// Sorted by call site.
    stacks: KVVec<FuncStack>,
    /// Tables that were replaced and that the handler may still be reading.
    retired: KVVec<Retired<Table>>,
    attachment: Attachment,
    jumps: Jumps,
}

impl FuncStacks {
    pub(crate) const fn new() -> Self {
        FuncStacks {
            stacks: KVVec::new(),
            retired: KVVec::new(),
            attachment: Attachment::new(),
            jumps: Jumps::new(),
        }
    }

    /// Finds the stack of the function with the call site `ip`.
    ///
    /// The borrow proves that `klp_mutex` is held while the stack is looked at.
    pub(crate) fn get(&self, ip: usize) -> Option<&FuncStack> {
        find_in(&self.stacks, ip)
    }

    /// Applies all of `sites`, or none. May sleep.
    ///
    /// The versions are visible to the handler when this returns, and all calls come to it. On
    /// failure, those that jumped do so again after [`FuncStacks::jump`].
    ///
    /// # Safety
    ///
    /// No version may be on a stack. Each must stay allocated, at its address, until it was taken
    /// off by [`FuncStacks::remove`] and `synchronize` was called after that.
    pub(crate) unsafe fn apply(&mut self, sites: &[Site<'_>]) -> Result<(), AttachError> {
        self.make_stacks(sites.iter().map(|site| site.ip))?;
        // INVARIANT: The tops are those that calls jump to until none does.
        self.leave_jumps(sites.iter().map(|site| site.ip))?;

        for site in sites {
            if let Some(stack) = self.get(site.ip) {
                // SAFETY: The version is on no stack and stays until it was taken off and
                // `synchronize` was called, as the caller promises.
                unsafe { stack.push(site.version) };
                self.publish_top(stack);
            }
        }

        // The stack first and then the call site: a call that arrives finds its version.
        self.attach(sites)
            .inspect_err(|_| self.take_off(sites.iter().rev().copied()))
    }

    /// Takes all of `sites` off and detaches the call sites that have no version any more.
    ///
    /// Cannot fail. May sleep. The versions may be freed, and [`FuncStacks::collect`] called, after
    /// `synchronize`. For those that are in memory which is going to be freed,
    /// [`FuncStacks::detach_overdue`] has to follow.
    pub(crate) fn remove<'a>(&mut self, sites: impl Iterator<Item = Site<'a>> + Clone) {
        // Those of a module that goes may jump, and stay attached for a while without memory. If
        // ftrace has shut down, its code goes with the module.
        let _ = self.leave_jumps(sites.clone().map(|site| site.ip));

        let FuncStacks {
            stacks, attachment, ..
        } = self;

        // The call sites first and then the stacks: while a call can still arrive, it should find
        // the version. One that is late finds an empty stack, which is as good as none.
        attachment.detach(sites.clone().filter_map(|site| {
            let stack = find_in(stacks, site.ip)?;
            stack.is_only(site.version).then_some(&stack.call_site)
        }));

        self.take_off(sites);
        // What remains are stacks on which the patch had two versions.
        self.detach_unused();
    }

    /// Takes all of `sites` off their stacks. As for [`FuncStacks::remove`], except that the call
    /// sites are detached by [`FuncStacks::detach_unused`], which has to follow.
    pub(crate) fn take_off<'a>(&mut self, sites: impl Iterator<Item = Site<'a>>) {
        for site in sites {
            if let Some(stack) = self.get(site.ip) {
                stack.remove(site.version);
                self.publish_top(stack);
            }
        }
    }

    /// Has all calls of the functions with the call sites `ips` come to the handler, as they must
    /// before tasks may run different versions. Needs no memory. May sleep.
    ///
    /// Fails only if ftrace has shut down.
    pub(crate) fn leave_jumps(&mut self, ips: impl Iterator<Item = usize> + Clone) -> Result {
        let FuncStacks {
            stacks,
            attachment,
            jumps,
            ..
        } = self;
        let patched = ips.filter_map(|ip| find_in(stacks, ip));

        jumps.clear(attachment, patched.map(|stack| &stack.call_site))
    }

    /// Lets calls jump to the newest version where that is allowed, possible, and what all tasks
    /// run. May sleep.
    pub(crate) fn jump(&mut self) {
        let FuncStacks {
            stacks,
            attachment,
            jumps,
            ..
        } = self;
        // An administrator who changes his mind from here on has to wait for `klp_mutex`.
        if !shim::jumps_allowed() {
            return;
        }
        // INVARIANT: The target is the top, and all tasks run it.
        let settled = stacks
            .iter()
            .filter(|stack| !stack.call_site.jumps())
            .filter_map(|stack| Some((&stack.call_site, stack.settled()?)));

        jumps.set(attachment, settled, |ip| {
            Some(&find_in(stacks, ip)?.call_site)
        });
    }

    /// Lets calls jump or not, as is allowed now. May sleep. Errors are reported.
    pub(crate) fn apply_jumps_allowed(&mut self) {
        if shim::jumps_allowed() {
            self.jump();
            return;
        }
        let FuncStacks {
            stacks,
            attachment,
            jumps,
            ..
        } = self;

        // What cannot be helped is in the log.
        let _ = jumps.clear(attachment, stacks.iter().map(|stack| &stack.call_site));
    }

    /// Detaches the call sites that have no version any more. Cannot fail. May sleep.
    pub(crate) fn detach_unused(&mut self) {
        let empty = self.stacks.iter().filter(|stack| stack.is_empty());

        self.attachment
            .detach_all(empty.map(|stack| &stack.call_site));
    }

    /// Detaches what stayed attached for lack of memory: it is in memory that is going to be freed.
    ///
    /// Cannot fail. May sleep, until there is memory.
    pub(crate) fn detach_overdue(&mut self) {
        while self.attachment.is_overdue() {
            self.detach_unused();
            if self.attachment.is_overdue() {
                shim::msleep(1);
            }
        }
    }

    /// Frees what no handler can be using any more.
    pub(crate) fn collect(&mut self, proof: &Synchronized) {
        self.retired.retain(|table| {
            drop(table.reclaim(proof));
            !table.is_empty()
        });
        // Stacks that are not in use are dropped from the table when it is next replaced, except
        // when that takes no memory.
        if !self.stacks.is_empty() && self.stacks.iter().all(|stack| stack.is_unused()) {
            self.stacks.clear();
            // Without room for it, the table leaks.
            push_reserved(&mut self.retired, klp_calls.replace(None));
        }
    }

    /// Makes a stack for each of the call sites `ips` that has none, and lets the handler find it.
    /// May sleep.
    ///
    /// [`FuncStacks::apply`] does so, too. Each time the table is replaced, and the old one is kept
    /// until `synchronize`: who applies functions in several steps does this for all of them first.
    pub(crate) fn make_stacks(
        &mut self,
        ips: impl Iterator<Item = usize> + Clone,
    ) -> Result<(), AllocError> {
        if ips.clone().all(|ip| self.get(ip).is_some()) {
            return Ok(());
        }
        let in_use = self.stacks.iter().filter(|stack| !stack.is_unused());
        let room = in_use.count() + ips.clone().count();

        let mut stacks = KVVec::with_capacity(room, GFP_KERNEL)?;
        let mut table = Table::with_room(room)?;
        // INVARIANT: Room for all stacks, for this table, and for the `None` that ends it.
        self.attachment.reserve(room)?;
        self.jumps.reserve(room)?;
        self.retired.reserve(2, GFP_KERNEL)?;

        // Nothing below fails: there is room. Two of `ips` may be the same, and those that are not
        // in use are made anew.
        for ip in ips.filter(|&ip| self.get(ip).is_none_or(FuncStack::is_unused)) {
            push_reserved(&mut stacks, FuncStack::new(ip));
        }
        for stack in self.stacks.drain_all().filter(|stack| !stack.is_unused()) {
            push_reserved(&mut stacks, stack);
        }
        sort_and_dedup(&mut stacks, |stack| stack.ip());
        for stack in &stacks {
            table.insert(stack);
        }
        self.stacks = stacks;
        // INVARIANT: These are all stacks, with their tops.
        push_reserved(&mut self.retired, klp_calls.replace(Some(table)));
        Ok(())
    }

    /// Lets the handler find the top of the stack as it is now.
    fn publish_top(&self, stack: &FuncStack) {
        // SAFETY: `klp_mutex` is held, as `self` is borrowed from what it guards, and there is no
        // other table before this function ends.
        let table = unsafe { klp_calls.get() };

        if let Some(top) = table.and_then(|table| ip_table::find(&table.slots, stack.ip())) {
            // ORDERING: `PushThenRead` makes the links of the version, and the transition flag set
            // earlier, visible before the version itself. Pairs with the address dependency in
            // `klp_find_call()`. A handler that still searches an earlier table finds the top of
            // then, as if it had looked a little sooner: it is waited for like all others.
            top.store(stack.top_link(), Release);
        }
    }

    /// Attaches the call sites that are not attached yet, or none.
    fn attach(&mut self, sites: &[Site<'_>]) -> Result<(), AttachError> {
        let FuncStacks {
            stacks, attachment, ..
        } = self;
        let mut new = KVVec::with_capacity(sites.len(), GFP_KERNEL)?;

        for stack in sites.iter().filter_map(|site| find_in(stacks, site.ip)) {
            if !stack.call_site.is_attached() {
                new.push(&stack.call_site, GFP_KERNEL)?;
            }
        }
        sort_and_dedup(&mut new, |site| site.ip);
        attachment.attach(&new)
    }
}

fn find_in(stacks: &[FuncStack], ip: usize) -> Option<&FuncStack> {
    let at = stacks.binary_search_by_key(&ip, |stack| stack.ip()).ok()?;
    stacks.get(at)
}

/// Sorts by call site, and keeps one of each: a patch may name a function twice.
fn sort_and_dedup<T>(vec: &mut KVVec<T>, ip: impl Fn(&T) -> usize) {
    let mut last = 0;

    sort_by_key(vec, &ip);
    vec.retain(|element| {
        let ip = ip(element);
        mem::replace(&mut last, ip) != ip
    });
}

impl Table {
    /// A table without call sites, with room for `count` of them.
    fn with_room(count: usize) -> Result<KBox<Self>, AllocError> {
        let size = ip_table::slots_for(count).ok_or(AllocError)?;
        let mut slots = KVVec::with_capacity(size, GFP_KERNEL)?;

        for _ in 0..size {
            slots.push(Slot::free(Atomic::new(ptr::null_mut())), GFP_KERNEL)?;
        }
        // INVARIANT: The vector has `size` elements, and never gets more, so they stay there.
        let raw = bindings::klp_calls {
            slots: slots.as_ptr().cast(),
            shift: usize::BITS - size.trailing_zeros(),
        };
        KBox::new(Table { raw, slots }, GFP_KERNEL)
    }

    /// Enters the call site of `stack`, with its top. Before the table is published.
    fn insert(&mut self, stack: &FuncStack) {
        let top = Atomic::new(stack.top_link());

        ip_table::insert(&mut self.slots, stack.ip(), top);
    }
}

#[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
impl FuncStacks {
    /// What the tests compare: for each stack in use the call site, whether it is attached, and the
    /// replacements from top to bottom.
    pub(crate) fn in_use(
        &self,
    ) -> impl Iterator<Item = (usize, bool, impl Iterator<Item = usize> + '_)> {
        let in_use = self.stacks.iter().filter(|stack| !stack.is_unused());

        in_use.map(|stack| (stack.ip(), stack.call_site.is_attached(), stack.new_funcs()))
    }

    /// The stacks whose calls jump, as [`FuncStacks::in_use`] counts them.
    pub(crate) fn jumping(&self) -> impl Iterator<Item = usize> + '_ {
        let jumping = self.stacks.iter().filter(|stack| stack.call_site.jumps());

        jumping.map(|stack| stack.ip())
    }

    /// How many tables are kept for handlers that may still be reading them.
    pub(crate) fn retired(&self) -> usize {
        self.retired.len()
    }

    /// How many call sites are in the filter of the shared `ftrace_ops`.
    pub(crate) fn shared(&self) -> usize {
        self.attachment.shared()
    }
}
