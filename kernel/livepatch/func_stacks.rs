// SPDX-License-Identifier: GPL-2.0

//! The stacks of versions, one per patched function, and how the handler finds them.
//!
//! The handler finds the stack of a function by the address of the call site, in a hash table that
//! is replaced as a whole when functions are patched for the first time.

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
    model::ip_table::{
        self,
        Slot, //
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
    ptr::NonNull, //
};
use kernel::{
    alloc::AllocError,
    bindings,
    prelude::*,
    sync::Arc, //
};

/// What the handler searches.
struct Table {
    slots: KVVec<Slot<Arc<FuncStack>>>,
}

static TABLE: Published<Table> = Published::empty();

/// Finds the newest version for the call site `ip`, for the ftrace handler: no traceable call.
///
/// The handler gets the version and not the stack, whose methods are for those who hold
/// `klp_mutex`.
///
/// # Safety
///
/// Preemption must be disabled from before the call until after the last use of the result.
#[inline(always)]
pub(crate) unsafe fn top_for_handler(ip: usize) -> Option<NonNull<bindings::klp_version>> {
    // SAFETY: Preemption stays disabled during the call, as the caller promises.
    let table = unsafe { TABLE.read() }?;

    // A reference to what the `Arc` holds: its count is not touched.
    let stack = ip_table::find(&table.slots, ip)?;
    NonNull::new(stack.top_for_handler())
}

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
/// there are any. A call site that jumps does so to the top of its stack, which all tasks run.
pub(crate) struct FuncStacks {
    /// Sorted by call site.
    stacks: KVVec<Arc<FuncStack>>,
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
        // INVARIANT: The target is the top, and all tasks run it.
        let settled = stacks
            .iter()
            .filter(|stack| !stack.call_site.jumps())
            .filter_map(|stack| Some((&stack.call_site, stack.settled()?)));

        jumps.set(
            attachment,
            settled.filter(|(site, target)| jumps::can_jump(site.ip, *target)),
        );
    }

    /// Lets calls jump or not, as is allowed now. May sleep.
    pub(crate) fn apply_jumps_allowed(&mut self) -> Result {
        if shim::jumps_allowed() {
            self.jump();
            return Ok(());
        }
        let FuncStacks {
            stacks,
            attachment,
            jumps,
            ..
        } = self;

        jumps.clear(attachment, stacks.iter().map(|stack| &stack.call_site))
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
            push_reserved(&mut self.retired, TABLE.replace(None));
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
        let stacks = self.stacks_with(ips)?;
        let table = Table::new(&stacks)?;
        // INVARIANT: Room for all stacks, for this table, and for the `None` that ends it.
        self.attachment.reserve(stacks.len())?;
        self.jumps.reserve(stacks.len())?;
        self.retired.reserve(2, GFP_KERNEL)?;

        // The old table keeps its stacks alive for handlers that still search it.
        push_reserved(&mut self.retired, TABLE.replace(Some(table)));
        self.stacks = stacks;
        Ok(())
    }

    /// The stacks in use, and new ones for those of `ips` that have none.
    fn stacks_with(
        &self,
        ips: impl Iterator<Item = usize> + Clone,
    ) -> Result<KVVec<Arc<FuncStack>>, AllocError> {
        let room = self.stacks.len() + ips.clone().count();
        let mut stacks = KVVec::with_capacity(room, GFP_KERNEL)?;

        for stack in self.stacks.iter().filter(|stack| !stack.is_unused()) {
            stacks.push(stack.clone(), GFP_KERNEL)?;
        }
        let known = stacks.len();
        for ip in ips {
            if find_in(stacks.get(..known).unwrap_or(&[]), ip).is_none() {
                stacks.push(Arc::new(FuncStack::new(ip), GFP_KERNEL)?, GFP_KERNEL)?;
            }
        }
        sort_and_dedup(&mut stacks, |stack| stack.ip());
        Ok(stacks)
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

fn find_in(stacks: &[Arc<FuncStack>], ip: usize) -> Option<&FuncStack> {
    let at = stacks.binary_search_by_key(&ip, |stack| stack.ip()).ok()?;
    stacks.get(at).map(|stack| &**stack)
}

/// Sorts by call site, and keeps one of each: a patch may name a function twice.
fn sort_and_dedup<T>(vec: &mut KVVec<T>, ip: impl Fn(&T) -> usize) {
    let mut last = 0;

    vec.sort_unstable_by_key(&ip);
    vec.retain(|element| {
        let ip = ip(element);
        mem::replace(&mut last, ip) != ip
    });
}

impl Table {
    fn new(stacks: &[Arc<FuncStack>]) -> Result<KBox<Self>, AllocError> {
        let size = ip_table::slots_for(stacks.len()).ok_or(AllocError)?;
        let mut slots = KVVec::from_elem(Slot::FREE, size, GFP_KERNEL)?;

        for stack in stacks {
            ip_table::insert(&mut slots, stack.ip(), stack.clone());
        }
        KBox::new(Table { slots }, GFP_KERNEL)
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
