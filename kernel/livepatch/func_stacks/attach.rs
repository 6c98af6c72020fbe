// SPDX-License-Identifier: GPL-2.0

//! Which call sites ftrace leads to the handler.
//!
//! All share one `ftrace_ops` (`shim/handler.c`), so that any number of them is attached or
//! detached by one pass over ftrace's records. A function with a direct caller, such as a BPF
//! trampoline, gets an `ftrace_ops` of its own if the shared one is in use already: ftrace asks for
//! the consent of such a caller only when an `ftrace_ops` is registered.

use crate::{
    fault::{
        self,
        Point, //
    },
    shim::{
        self,
        Filter, //
    },
};
use core::ptr::{
    self,
    NonNull, //
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
    /// Whether calls come to the handler.
    attached: Atomic<bool>,
    /// By which `ftrace_ops`, if not by the shared one.
    alone: Atomic<*mut bindings::ftrace_ops>,
}

impl CallSite {
    pub(super) const fn new(ip: usize) -> Self {
        CallSite {
            ip,
            attached: Atomic::new(false),
            alone: Atomic::new(ptr::null_mut()),
        }
    }

    pub(super) fn is_attached(&self) -> bool {
        self.attached.load(Relaxed)
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

/// The shared `ftrace_ops`, and how many call sites are in its filter. It is registered if there
/// are any.
pub(super) struct Attachment {
    shared: usize,
    /// Room for the addresses of one batch, so that detaching takes no memory.
    ips: KVVec<usize>,
}

impl Attachment {
    pub(super) const fn new() -> Self {
        Attachment {
            shared: 0,
            ips: KVVec::new(),
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
        let mut batch = KVVec::with_capacity(sites.len(), GFP_KERNEL)?;
        let mut one_by_one = KVVec::with_capacity(sites.len(), GFP_KERNEL)?;

        let live = self.shared > 0;
        for &site in sites {
            if live && shim::has_direct_caller(site.ip) {
                one_by_one.push(site, GFP_KERNEL)?;
            } else {
                batch.push(site, GFP_KERNEL)?;
            }
        }
        let attached = self.attach_shared(&batch).is_ok();
        for site in batch {
            if attached && !(live && shim::has_direct_caller(site.ip)) {
                continue;
            }
            // Either ftrace does not say which function it has refused: find out. Should it take
            // them all now, all is well. Or a direct caller came in between.
            self.detach([site].into_iter());
            one_by_one.push(site, GFP_KERNEL)?;
        }
        one_by_one
            .iter()
            .try_for_each(|site| {
                self.attach_one(site).map_err(|refused| AttachError {
                    ip: Some(site.ip),
                    ..refused
                })
            })
            .inspect_err(|_| self.detach(sites.iter().copied()))
    }

    /// Adds call sites to the shared filter, and registers the handler with the first of them.
    fn attach_shared(&mut self, sites: &[&CallSite]) -> Result<(), AttachError> {
        let live = self.shared > 0;

        if sites.is_empty() {
            return Ok(());
        }
        self.ips.clear();
        for site in sites {
            self.ips.push(site.ip, GFP_KERNEL)?;
        }
        fault::check(Point::SetFilter)?;
        let how = if live { Filter::Add } else { Filter::Set };
        shim::filter(how, &mut self.ips).map_err(|error| AttachError {
            // With a live filter this is where another owner of the function is met.
            handler_refused: live && error == EBUSY,
            ..error.into()
        })?;

        if !live {
            fault::check(Point::RegisterHandler)?;
            shim::register_handler().map_err(AttachError::handler_refused)?;
        }
        for site in sites {
            site.attached.store(true, Relaxed);
        }
        self.shared += sites.len();
        Ok(())
    }

    /// Attaches one call site, by the shared filter or by an `ftrace_ops` of its own.
    fn attach_one(&mut self, site: &CallSite) -> Result<(), AttachError> {
        let live = self.shared > 0;

        if !(live && shim::has_direct_caller(site.ip)) {
            self.attach_shared(&[site])?;
            if !(live && shim::has_direct_caller(site.ip)) {
                return Ok(());
            }
            // A direct caller came in between.
            self.detach([site].into_iter());
        }
        let ops = shim::attach_alone(site.ip).map_err(AttachError::handler_refused)?;
        site.alone.store(ops.as_ptr(), Relaxed);
        site.attached.store(true, Relaxed);
        Ok(())
    }

    /// Detaches those of `sites` that are attached, and unregisters the handler with the last one
    /// of the shared filter. Cannot fail. May sleep.
    pub(super) fn detach<'a>(&mut self, sites: impl Iterator<Item = &'a CallSite>) {
        let mut shared = self.ips_without_alone(sites);

        if !shared.is_empty() {
            self.shared -= shared.len();
            self.detach_shared(&mut shared);
        }
        self.ips = shared;
    }

    /// Detaches those of `sites` that have an `ftrace_ops` of their own, and returns the addresses
    /// of the others that are attached, in the memory of `ips`.
    fn ips_without_alone<'a>(&mut self, sites: impl Iterator<Item = &'a CallSite>) -> KVVec<usize> {
        self.ips.clear();
        for site in sites.filter(|site| site.is_attached()) {
            if let Some(ops) = NonNull::new(site.alone.load(Relaxed)) {
                // SAFETY: The `ftrace_ops` comes from attach_alone(), in `attach_one`, and is
                // forgotten right here.
                unsafe { shim::detach_alone(ops) };
                site.alone.store(ptr::null_mut(), Relaxed);
            } else if !push_reserved(&mut self.ips, site.ip) {
                // It stays attached, to an empty stack, which is harmless.
                continue;
            }
            site.attached.store(false, Relaxed);
        }
        core::mem::take(&mut self.ips)
    }

    fn detach_shared(&self, ips: &mut [usize]) {
        let result = loop {
            let result = if self.shared == 0 {
                shim::unregister_handler()
            } else {
                shim::filter(Filter::Remove, ips)
            };
            if result != Err(ENOMEM) {
                break result;
            }
            // ftrace copies the filter to change it. The call sites may be those of a module that
            // goes away, so there is no way but to wait for memory.
            shim::msleep(1);
        };
        if let Err(error) = result {
            // Only if ftrace has shut down after an error of its own.
            pr_err!(
                "failed to leave {} functions ({})\n",
                ips.len(),
                error.to_errno()
            );
        }
    }

    #[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
    pub(super) fn shared(&self) -> usize {
        self.shared
    }
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
