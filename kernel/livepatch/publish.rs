// SPDX-License-Identifier: GPL-2.0

//! Publishing data to readers that cannot take `klp_mutex`, and taking it back.
//!
//! The readers are the ftrace handler and the checks of a task's stack, which may run where RCU is
//! not watching (entry code, the idle loop). They have preemption disabled; a writer waits for
//! them by scheduling on every CPU.

use core::ptr;
use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed,
        Release, //
    },
};

/// Proof that every reader which was running at some moment has finished since.
///
/// Only [`synchronize`] makes one, so a value that was unpublished before that call can be freed
/// with it.
pub(crate) struct Synchronized(());

unsafe extern "C" fn nothing(_work: *mut bindings::work_struct) {}

/// Waits until every CPU has passed through the scheduler.
///
/// May sleep.
pub(crate) fn synchronize() -> Synchronized {
    // SAFETY: `nothing` is a work function that accepts any work item; the caller may sleep.
    while unsafe { bindings::schedule_on_each_cpu(Some(nothing)) } != 0 {
        // Out of memory. There is no way back from here, so wait for memory rather than go on
        // without the grace period.
        // SAFETY: The caller may sleep.
        unsafe { bindings::msleep(1) };
    }
    Synchronized(())
}

/// A value that was published and that readers may still be using.
///
/// It is freed by [`Retired::free`]. Dropping it instead leaks the value: that is what an error
/// path gets which forgets about readers, and not a use after free.
#[must_use]
pub(crate) struct Retired<T>(*mut T);

impl<T> Retired<T> {
    /// Frees the value.
    ///
    /// `_proof` must stem from a [`synchronize`] call that was made after the value was
    /// unpublished; the callers keep the two next to each other.
    pub(crate) fn free(self, _proof: &Synchronized) {
        if !self.0.is_null() {
            // SAFETY: The pointer comes from `KBox::into_raw` in `Published::replace`, which has
            // given up the only other copy of it. No reader is left.
            drop(unsafe { KBox::from_raw(self.0) });
        }
    }
}

/// A place where readers find an immutable value, or nothing.
pub(crate) struct Published<T>(Atomic<*mut T>);

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
        let old = self.0.load(Relaxed);
        let new = new.map_or(ptr::null_mut(), KBox::into_raw);

        // ORDERING: Makes the content of `new` visible before its address. Pairs with the address
        // dependency in `Published::read`.
        self.0.store(new, Release);
        Retired(old)
    }

    /// Returns what is published.
    ///
    /// Calls nothing that could be traced: neither a C helper nor the atomics of the kernel crate,
    /// which are made of such helpers.
    ///
    /// # Safety
    ///
    /// Preemption must be disabled from before the call until after the last use of the result, or
    /// `klp_mutex` must be held.
    #[inline(always)]
    pub(crate) unsafe fn read<'a>(&self) -> Option<&'a T> {
        // ORDERING: An address dependency orders the reads of the value after this one, as with
        // `READ_ONCE()` in `rcu_dereference()`. Pairs with the release in `Published::replace`.
        // SAFETY: The place is valid and aligned, and only changed by atomic stores. What it
        // points to is freed only after `synchronize`, which the caller holds up.
        unsafe { ptr::read_volatile(self.0.as_ptr()).as_ref() }
    }
}
