// SPDX-License-Identifier: GPL-2.0

//! Which call sites ftrace leads to the handler.
//!
//! All share one `ftrace_ops` (`shim/handler.c`), so that any number of them is attached or
//! detached by one pass over ftrace's records. Except for functions with a direct caller, such as a
//! BPF trampoline: ftrace asks for the consent of such a caller only when an `ftrace_ops` is
//! registered, and not when the filter of a registered one grows. Those of a batch share an
//! `ftrace_ops` of their own, which is registered with all of them.
//!
//! To attach takes memory, of ours and of ftrace, and fails without it. To detach takes none of
//! ours. ftrace copies a filter to take something out of it; should it have no memory for that, the
//! call site stays attached to a stack without versions, which is as good as none. That is made up
//! for when something else is detached, and has to be before the call site goes with its module:
//! only then the core waits for memory. ftrace's allocations are small and may reclaim, so they
//! fail only in a task that the OOM killer has chosen, whose memory comes back, or because of
//! injected faults. Memory reserves would not help: the task has them already. To unregister an
//! `ftrace_ops` takes no memory at all.

use crate::{
    fault::{
        self,
        Point, //
    },
    shim::{
        self,
        Filter,
        FtraceOps, //
    },
};
use core::{
    iter,
    ptr, //
};
use kernel::{
    alloc::AllocError,
    bindings,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// A call site of a patched function.
///
/// Changes under `klp_mutex` only, by [`Attachment`].
pub(super) struct CallSite {
    /// The address as ftrace knows it.
    pub(super) ip: usize,
    /// Whose filter it is in: what leads calls to the handler. Null if it is in none.
    ops: Atomic<*mut bindings::ftrace_ops>,
    /// Whether calls jump to a replacement, when nothing else is at the function.
    jumps: Atomic<bool>,
}

impl CallSite {
    pub(super) const fn new(ip: usize) -> Self {
        CallSite {
            ip,
            ops: Atomic::new(ptr::null_mut()),
            jumps: Atomic::new(false),
        }
    }

    pub(super) fn is_attached(&self) -> bool {
        !self.ops.load(Relaxed).is_null()
    }

    /// Is it in the filter of `ops`?
    pub(super) fn is_led_by(&self, ops: FtraceOps) -> bool {
        self.ops.load(Relaxed) == ops.as_ptr()
    }

    fn set_attached(&self, ops: FtraceOps) {
        self.ops.store(ops.as_ptr(), Relaxed);
    }

    fn set_detached(&self) {
        self.ops.store(ptr::null_mut(), Relaxed);
        self.jumps.store(false, Relaxed);
    }

    /// Does it jump to a replacement, when nothing else is at the function?
    pub(super) fn jumps(&self) -> bool {
        self.jumps.load(Relaxed)
    }

    pub(super) fn set_jumps(&self, jumps: bool) {
        self.jumps.store(jumps, Relaxed);
    }
}

/// Why a batch of functions could not be attached.
pub(crate) struct AttachError {
    /// The call site of the function that is to blame; `None` if it is not the fault of one.
    pub(crate) ip: Option<usize>,
    /// Whether ftrace accepted the address and refused the handler.
    pub(crate) handler_refused: bool,
    pub(crate) error: Error,
}

impl AttachError {
    fn handler_refused(error: Error) -> Self {
        AttachError {
            ip: None,
            handler_refused: true,
            error,
        }
    }
}

impl From<Error> for AttachError {
    fn from(error: Error) -> Self {
        AttachError {
            ip: None,
            handler_refused: false,
            error,
        }
    }
}

impl From<AllocError> for AttachError {
    fn from(error: AllocError) -> Self {
        Error::from(error).into()
    }
}

/// An `ftrace_ops`, and how many call sites are in its filter. It is registered if there are any.
struct Ops {
    ftrace: FtraceOps,
    sites: usize,
}

impl Ops {
    const fn new(ftrace: FtraceOps) -> Self {
        Ops { ftrace, sites: 0 }
    }

    /// Adds call sites, all or none, and registers the `ftrace_ops` with the first of them.
    fn attach(&mut self, ips: &mut [usize]) -> Result<(), AttachError> {
        let live = self.sites > 0;
        let how = if live { Filter::Add } else { Filter::Set };

        fault::check(Point::SetFilter)?;
        self.ftrace.filter(how, ips).map_err(|error| AttachError {
            // With a live filter this is where another owner of the function is met.
            handler_refused: live && error == EBUSY,
            ..error.into()
        })?;
        if !live {
            fault::check(Point::RegisterHandler)?;
            self.register().map_err(AttachError::handler_refused)?;
        }
        self.sites += ips.len();
        Ok(())
    }

    /// Registers the `ftrace_ops`. A direct caller that is just being changed says `EAGAIN`, also
    /// when it is another one that is changed: a BPF trampoline, after it has slept for 1 ms.
    fn register(&self) -> Result {
        const TRIES: usize = 50;

        for _ in 1..TRIES {
            match self.ftrace.register() {
                Err(EAGAIN) => {}
                result => return result,
            }
        }
        self.ftrace.register()
    }

    /// Removes call sites that are there, and unregisters the `ftrace_ops` with the last of them.
    /// Returns how many, from the first one on, are removed: not all of them when memory is short.
    fn detach(&mut self, ips: &mut [usize]) -> usize {
        let result = if ips.len() == self.sites {
            self.ftrace.unregister()
        } else {
            self.ftrace.filter(Filter::Remove, ips)
        };

        let removed = match result {
            Ok(()) => ips.len(),
            Err(ENOMEM) => 0,
            // ftrace knows one of them no longer, as those in the kernel's own init section after
            // boot, and has removed none. The others have to go all the same.
            Err(error) if error != ENODEV && ips.len() > 1 => {
                let (first, second) = ips.split_at_mut(ips.len() / 2);
                let removed = self.detach(first);

                if removed < first.len() {
                    return removed;
                }
                return removed + self.detach(second);
            }
            // It stays in the filter, which makes no difference: there is no such call site.
            // ENODEV is for all of them, when ftrace has shut down after an error of its own.
            Err(error) => {
                pr_err!(
                    "failed to leave {} functions ({})\n",
                    ips.len(),
                    error.to_errno()
                );
                ips.len()
            }
        };
        self.sites -= removed;
        removed
    }
}

/// By what the call sites are attached.
pub(super) struct Attachment {
    shared: Ops,
    /// For call sites with direct callers, one for each batch. An `ftrace_ops` that is in use no
    /// longer is kept for the next batch.
    batches: KVec<Ops>,
    /// Room for the addresses of one batch, so that detaching takes no memory.
    ips: KVVec<usize>,
    /// Whether call sites are attached that should not be, for lack of memory.
    overdue: bool,
}

impl Attachment {
    pub(super) const fn new() -> Self {
        Attachment {
            shared: Ops::new(FtraceOps::shared()),
            batches: KVec::new(),
            ips: KVVec::new(),
            overdue: false,
        }
    }

    /// Makes room for `count` call sites, all that there are.
    pub(super) fn reserve(&mut self, count: usize) -> Result<(), AllocError> {
        self.ips.clear();
        self.ips.reserve(count, GFP_KERNEL)
    }

    /// Attaches `sites`, each of which is there once and not attached, or none of them. May sleep.
    ///
    /// After [`Attachment::reserve`].
    pub(super) fn attach(&mut self, sites: &[&CallSite]) -> Result<(), AttachError> {
        self.attach_by_kind(sites)
            .inspect_err(|_| self.detach(sites.iter().copied()))
    }

    fn attach_by_kind(&mut self, sites: &[&CallSite]) -> Result<(), AttachError> {
        let mut direct = KVVec::with_capacity(sites.len(), GFP_KERNEL)?;
        let mut others = KVVec::with_capacity(sites.len(), GFP_KERNEL)?;

        for &site in sites {
            let kind = if shim::has_direct_caller(site.ip) {
                &mut direct
            } else {
                &mut others
            };
            kind.push(site, GFP_KERNEL)?;
        }
        self.attach_in_parts(&others, Kind::Shared)?;

        // A direct caller that came in between was maybe not asked.
        let known = direct.len();
        for site in others {
            if shim::has_direct_caller(site.ip) {
                direct.push(site, GFP_KERNEL)?;
            }
        }
        let late = direct.iter().skip(known).copied();
        self.detach(late.clone());
        if late.clone().any(CallSite::is_attached) {
            return Err(ENOMEM.into());
        }
        self.attach_in_parts(&direct, Kind::Own)
    }

    /// Attaches all of `sites`, in as few parts as possible.
    ///
    /// ftrace refuses a batch without saying which function it is about: halving the batch finds
    /// that out in a number of steps that grows with the logarithm. If it takes them all in the
    /// end, all is well. On failure, what was attached so far stays.
    fn attach_in_parts(&mut self, sites: &[&CallSite], kind: Kind) -> Result<(), AttachError> {
        let mut rest = sites;
        let mut size = sites.len();

        while let Some((first, _)) = rest.split_first() {
            size = size.min(rest.len());
            let (part, others) = rest.split_at_checked(size).unwrap_or((rest, &[]));

            match self.attach_part(part, kind) {
                Ok(()) => {
                    rest = others;
                    // If a part was refused, it may have been for lack of memory. Not to go on
                    // with small ones then costs a step or two otherwise.
                    size *= 2;
                }
                Err(refused) if size == 1 => {
                    return Err(AttachError {
                        ip: Some(first.ip),
                        ..refused
                    });
                }
                Err(_) => size /= 2,
            }
        }
        Ok(())
    }

    /// Attaches `sites` to one `ftrace_ops`, all or none.
    fn attach_part(&mut self, sites: &[&CallSite], kind: Kind) -> Result<(), AttachError> {
        let Attachment {
            shared,
            batches,
            ips,
            ..
        } = self;

        ips.clear();
        for site in sites {
            ips.push(site.ip, GFP_KERNEL)?;
        }
        let ops = match kind {
            Kind::Shared => shared,
            Kind::Own => unused(batches)?,
        };
        ops.attach(ips)?;
        for site in sites {
            site.set_attached(ops.ftrace);
        }
        Ok(())
    }

    /// Detaches those of `sites` that are attached. Cannot fail. May sleep.
    ///
    /// What stays attached for lack of memory is [`Attachment::is_overdue`].
    pub(super) fn detach<'a>(&mut self, sites: impl Iterator<Item = &'a CallSite> + Clone) {
        let Attachment {
            shared,
            batches,
            ips,
            overdue,
        } = self;

        let all = Iterator::chain(iter::once(shared), batches);
        for ops in all.filter(|ops| ops.sites > 0) {
            let ftrace = ops.ftrace;
            let mine = sites.clone().filter(|site| site.is_led_by(ftrace));

            ips.clear();
            // Without room, a call site stays attached, to an empty stack: that is harmless.
            let count = mine
                .clone()
                .take_while(|site| push_reserved(ips, site.ip))
                .count();
            if count == 0 {
                continue;
            }
            let removed = ops.detach(ips);
            mine.take(removed).for_each(CallSite::set_detached);
            *overdue |= removed < count;
        }
    }

    /// The `ftrace_ops` that have call sites.
    pub(super) fn in_use(&self) -> impl Iterator<Item = FtraceOps> + '_ {
        let all = Iterator::chain(iter::once(&self.shared), &self.batches);

        all.filter(|ops| ops.sites > 0).map(|ops| ops.ftrace)
    }

    /// Are there call sites attached that should not be, for lack of memory?
    pub(super) fn is_overdue(&self) -> bool {
        self.overdue
    }

    /// As [`Attachment::detach`], for all call sites that should not be attached.
    pub(super) fn detach_all<'a>(&mut self, sites: impl Iterator<Item = &'a CallSite> + Clone) {
        self.overdue = false;
        self.detach(sites);
    }

    #[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
    pub(super) fn shared(&self) -> usize {
        self.shared.sites
    }
}

/// Which `ftrace_ops` call sites get.
#[derive(Clone, Copy)]
enum Kind {
    /// The one of all call sites that have no direct caller.
    Shared,
    /// One of their own.
    Own,
}

/// Finds an `ftrace_ops` that is not in use, or makes one.
fn unused(batches: &mut KVec<Ops>) -> Result<&mut Ops> {
    let is_unused = |ops: &Ops| ops.sites == 0;

    if !batches.iter().any(is_unused) {
        batches.reserve(1, GFP_KERNEL)?;
        batches.push(Ops::new(FtraceOps::new()?), GFP_KERNEL)?;
    }
    batches.iter_mut().find(|ops| is_unused(ops)).ok_or(EINVAL)
}

/// Adds an element for which the room was made before, when memory could still be asked for.
///
/// Should there be none, that is said, and false is returned.
pub(super) fn push_reserved<T>(vec: &mut KVVec<T>, element: T) -> bool {
    let pushed = vec.push_within_capacity(element).is_ok();

    if !pushed {
        pr_err!("no room was made for a patched function\n");
    }
    pushed
}
