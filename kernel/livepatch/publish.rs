// SPDX-License-Identifier: GPL-2.0

//! Publishing data to readers that cannot take `klp_mutex`, and taking it back.
//!
//! The readers are the ftrace handler and the checks of a task's stack, which may run where RCU is
//! not watching (entry code, the idle loop). They have preemption disabled; a writer waits for
//! them by scheduling on every CPU.

use crate::shim;
use core::{
    mem,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
    warn_on,
};

/// How many times [`synchronize`] was called.
static SYNCHRONIZATIONS: Atomic<u64> = Atomic::new(0);

/// Proof that every reader which was running at some moment has finished since.
///
/// # Invariants
///
/// Holds the number of a [`synchronize`] call that has returned.
pub(crate) struct Synchronized(u64);

/// Waits until every CPU has passed through the scheduler.
///
/// May sleep.
pub(crate) fn synchronize() -> Synchronized {
    // ORDERING: Fully ordered, with `Published::replace`: who has not seen this number there has
    // unpublished its value before the readers are waited for.
    let number = SYNCHRONIZATIONS.fetch_add(1, Full).wrapping_add(1);

    shim::synchronize();

    // INVARIANT: The call with this number has returned.
    Synchronized(number)
}

/// A value that was published and that readers may still be using.
///
/// It comes back by [`Retired::reclaim`]. Dropping it instead leaks the value: that is what an
/// error path gets which forgets about readers, and not a use after free.
#[must_use]
pub(crate) struct Retired<T> {
    value: *mut T,
    /// How many synchronizations had begun when the value was unpublished.
    after: u64,
}

// SAFETY: The pointer is the only one that frees the value, so this owns it as a `KBox` would, and
// can be sent if the type can.
unsafe impl<T: Send> Send for Retired<T> {}

impl<T> Retired<T> {
    /// Takes the value back, if there is one and the synchronization of `proof` began after it was
    /// unpublished.
    pub(crate) fn reclaim(&mut self, proof: &Synchronized) -> Option<KBox<T>> {
        if self.value.is_null() || proof.0 <= self.after {
            return None;
        }
        let value = mem::replace(&mut self.value, ptr::null_mut());

        // SAFETY: The pointer comes from `KBox::into_raw`: `Published::replace` makes this of what
        // an earlier call of it has published, and keeps no copy; nor is there one here any more.
        // Readers that could have seen it have finished, as the synchronization that `proof` stands
        // for began later.
        Some(unsafe { KBox::from_raw(value) })
    }

    /// Is there nothing, or nothing any more, to take back?
    pub(crate) fn is_empty(&self) -> bool {
        self.value.is_null()
    }
}

impl<T> Drop for Retired<T> {
    /// Somebody has forgotten about readers.
    fn drop(&mut self) {
        if !self.value.is_null() {
            warn_leaked();
        }
    }
}

#[cold]
#[inline(never)]
fn warn_leaked() {
    warn_on!(true);
}

/// A place where readers find a value, or nothing. C may read it as a pointer.
#[repr(transparent)]
pub(crate) struct Published<T>(Atomic<*mut T>);

// SAFETY: It owns the value that is published, as a `KBox` would.
unsafe impl<T: Send> Send for Published<T> {}

// SAFETY: Readers only get shared references to the value, and the last one to own it may be on
// another thread than the one that made it.
unsafe impl<T: Send + Sync> Sync for Published<T> {}

impl<T> Published<T> {
    /// A place where nothing is published yet.
    pub(crate) const fn empty() -> Self {
        Published(Atomic::new(ptr::null_mut()))
    }

    /// Publishes `new` instead of what was published before.
    ///
    /// Writers are serialized by `klp_mutex`.
    pub(crate) fn replace(&self, new: Option<KBox<T>>) -> Retired<T> {
        let new = new.map_or(ptr::null_mut(), KBox::into_raw);

        // ORDERING: `PublishThenRead` makes the content of `new` visible before its address. Pairs
        // with the address dependency in `Published::read`. And the value is unpublished before the
        // number is read: see `synchronize`.
        let value = self.0.xchg(new, Full);
        Retired {
            value,
            after: SYNCHRONIZATIONS.load(Relaxed),
        }
    }

    /// Returns what is published, to a writer.
    ///
    /// # Safety
    ///
    /// `klp_mutex` must be held for `'a`, in which nothing is published by who holds it.
    pub(crate) unsafe fn get<'a>(&self) -> Option<&'a T> {
        // SAFETY: What is published came from a `KBox`, and stays as long as nobody replaces it.
        // Only who holds `klp_mutex` could do that, and promises not to.
        unsafe { self.0.load(Relaxed).as_ref() }
    }

    /// Returns what is published.
    ///
    /// Calls nothing that could be traced: neither a C helper nor the atomics of the kernel crate,
    /// which are made of such helpers.
    ///
    /// # Safety
    ///
    /// Preemption must be disabled from before the call until after the last use of the result.
    #[inline(always)]
    pub(crate) unsafe fn read<'a>(&self) -> Option<&'a T> {
        // ORDERING: An address dependency orders the reads of the value after this one, as with
        // `READ_ONCE()` in `rcu_dereference()`. Pairs with `PublishThenRead` in
        // `Published::replace`.
        // SAFETY: The place is valid and aligned, and only changed by atomic stores. What it points
        // to came from a `KBox`, and comes back only by `Retired::reclaim`, after a `synchronize`
        // that waits for this reader, as preemption is disabled.
        unsafe { ptr::read_volatile(self.0.as_ptr()).as_ref() }
    }
}
