// SPDX-License-Identifier: GPL-2.0

//! Which call sites jump to a replacement instead of calling the handler.
//!
//! Where all tasks run the same version of a function, nobody has to ask which: the call site is
//! one jump to it, and the handler costs nothing. ftrace makes it so for as long as no tracer,
//! probe or direct caller is at the function; while one is, the handler is called as ever.
//!
//! To leave the jumps takes no memory, so that a patch can always be disabled. It fails only when
//! ftrace has shut down after an error of its own: then the call sites jump for good, and nobody
//! may go on as if they did not.

use super::attach::{
    push_reserved,
    Attachment,
    CallSite, //
};
use crate::{
    fault::{
        self,
        Point, //
    },
    shim, //
};
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// A call site, and the replacement that it is to jump to.
pub(super) type Jump<'a> = (&'a CallSite, usize);

/// What it takes to make call sites jump, and to undo that.
pub(super) struct Jumps {
    /// Room for one batch.
    ips: KVVec<usize>,
    targets: KVVec<usize>,
}

impl Jumps {
    pub(super) const fn new() -> Self {
        Jumps {
            ips: KVVec::new(),
            targets: KVVec::new(),
        }
    }

    /// Makes room for `count` call sites, all that there are.
    pub(super) fn reserve(&mut self, count: usize) -> Result<(), AllocError> {
        self.ips.clear();
        self.ips.reserve(count, GFP_KERNEL)?;
        self.targets.clear();
        self.targets.reserve(count, GFP_KERNEL)
    }

    /// Lets call sites jump that are attached and do not do so, as far as ftrace can. May sleep.
    ///
    /// `find` finds the call site of an address. To jump is never necessary: a call site that goes
    /// on to call the handler does right.
    pub(super) fn set<'a>(
        &mut self,
        attachment: &Attachment,
        jumps: impl Iterator<Item = Jump<'a>> + Clone,
        find: impl Fn(usize) -> Option<&'a CallSite>,
    ) {
        for ops in attachment.in_use() {
            self.ips.clear();
            self.targets.clear();
            for (site, target) in jumps.clone() {
                if site.is_led_by(ops) && can_jump(site.ip, target) {
                    let _ = push_reserved(&mut self.ips, site.ip)
                        && push_reserved(&mut self.targets, target);
                }
            }
            if self.targets.is_empty() {
                continue;
            }
            let result = ops.set_jumps(&self.ips, &self.targets);

            if let Err(error) = result {
                pr_warn!(
                    "{} functions cannot jump to their replacements ({})\n",
                    self.ips.len(),
                    error.to_errno()
                );
            }
            // If ftrace has shut down in the middle, nobody knows which of them jump.
            if matches!(result, Ok(()) | Err(EIO)) {
                for site in self.ips.iter().filter_map(|&ip| find(ip)) {
                    site.set_jumps(true);
                }
            }
        }
    }

    /// Has those of `sites` call the handler again that jump. Needs no memory. May sleep.
    ///
    /// Fails if ftrace has shut down; then some of them may jump all the same.
    pub(super) fn clear<'a>(
        &mut self,
        attachment: &Attachment,
        sites: impl Iterator<Item = &'a CallSite> + Clone,
    ) -> Result {
        fault::check(Point::LeaveJumps)?;

        for ops in attachment.in_use() {
            let mine = sites
                .clone()
                .filter(|site| site.jumps() && site.is_led_by(ops));

            self.ips.clear();
            for site in mine.clone() {
                if !push_reserved(&mut self.ips, site.ip) {
                    return Err(ENOMEM);
                }
            }
            if self.ips.is_empty() {
                continue;
            }
            ops.clear_jumps(&self.ips).inspect_err(|error| {
                pr_err!(
                    "{} functions go on to jump to their replacements ({})\n",
                    self.ips.len(),
                    error.to_errno()
                );
            })?;
            mine.for_each(|site| site.set_jumps(false));
        }
        Ok(())
    }
}

/// Can the call site `ip` jump to `target`?
fn can_jump(ip: usize, target: usize) -> bool {
    // ftrace knows those in the kernel's own init section no longer after boot.
    shim::can_jump(ip, target) && shim::call_site(ip, 1) == Some(ip)
}
