// SPDX-License-Identifier: GPL-2.0

//! System states: what patches have done to the system, for those that come after them.
//!
//! `klp_get_prev_state()` is called from callbacks, which run under `klp_mutex` in the very thread
//! that works on the registry. So what it may find is laid out for it when a transition begins.

use crate::model::compatibility::State;
use core::{
    mem,
    ptr, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{
        AtomicFlag,
        Relaxed, //
    },
    warn_on, //
};

/// The states of the descriptor `patch`, in its order.
///
/// # Safety
///
/// `patch` must be valid while the iterator is used.
unsafe fn states(
    patch: *mut bindings::klp_patch,
) -> impl Iterator<Item = *mut bindings::klp_state> {
    // SAFETY: By the contract of this function.
    let mut next = unsafe { (*patch).states };

    core::iter::from_fn(move || {
        // SAFETY: The list ends with an id of 0, which was not met before.
        if next.is_null() || unsafe { (*next).id } == 0 {
            return None;
        }
        let state = next;
        // SAFETY: This was not the end.
        next = unsafe { next.add(1) };
        Some(state)
    })
}

/// A state in the descriptor of a patch.
#[derive(Clone, Copy)]
pub(crate) struct Declared {
    pub(crate) state: State,
    descriptor: *mut bindings::klp_state,
}

// SAFETY: The descriptor is handed on, and not accessed.
unsafe impl Send for Declared {}

/// Copies the states that the descriptor `patch` declares.
///
/// # Safety
///
/// `patch` must be valid.
pub(crate) unsafe fn read(patch: *mut bindings::klp_patch) -> Result<KVec<Declared>> {
    let mut declared = KVec::new();

    // SAFETY: By the contract of this function.
    for descriptor in unsafe { states(patch) } {
        // SAFETY: A state of the list is valid.
        let state = unsafe {
            State {
                id: (*descriptor).id,
                version: (*descriptor).version,
            }
        };
        declared.push(Declared { state, descriptor }, GFP_KERNEL)?;
    }
    Ok(declared)
}

kernel::sync::global_lock! {
    /// The states of the patches before the one in transition, newest last; `None` between
    /// transitions.
    // SAFETY: `init` is called by an initcall, before any patch can be enabled.
    unsafe(uninit) static PREVIOUS: SpinLockIrq<Option<KVec<Declared>>> = None;
}

/// Prepares the lock.
///
/// # Safety
///
/// Must be called once, before anything else of this module.
pub(crate) unsafe fn init() {
    // SAFETY: By the contract of this function.
    unsafe { PREVIOUS.init() };
}

/// Says what [`klp_get_prev_state`] finds from now on. Under `klp_mutex`.
pub(crate) fn set_previous(states: Option<KVec<Declared>>) {
    let old = mem::replace(&mut *PREVIOUS.lock(), states);

    // Freed without the lock.
    drop(old);
}

/// The states that `patches` declare, for [`set_previous`].
pub(crate) fn of_patches<'a>(
    patches: impl Iterator<Item = &'a [Declared]>,
) -> Result<KVec<Declared>> {
    let mut all = KVec::new();

    for states in patches {
        for (at, &declared) in states.iter().enumerate() {
            // Should a patch have an id twice, the first one counts.
            let known = states.iter().take(at);
            if known
                .into_iter()
                .all(|other| other.state.id != declared.state.id)
            {
                all.push(declared, GFP_KERNEL)?;
            }
        }
    }
    Ok(all)
}

/// Finds the state `id` in a patch; null if it has none. Any context.
///
/// # Safety
///
/// `patch` must be a valid descriptor.
#[export]
pub(crate) unsafe extern "C" fn klp_get_state(
    patch: *mut bindings::klp_patch,
    id: usize,
) -> *mut bindings::klp_state {
    // SAFETY: By the contract of this function; the states are valid.
    unsafe { states(patch).find(|&state| (*state).id == id) }.unwrap_or(ptr::null_mut())
}

/// Finds the newest state `id` in the patches that were there before the one in transition; null if
/// they have none.
///
/// For callbacks only: the state belongs to a patch that may be gone after the transition. Warns
/// when there is no transition. Any context but NMI.
#[export]
pub(crate) extern "C" fn klp_get_prev_state(id: usize) -> *mut bindings::klp_state {
    let previous = PREVIOUS.lock();

    let Some(states) = previous.as_ref() else {
        static WARNED: AtomicFlag = AtomicFlag::new(false);

        warn_on!(!WARNED.xchg(true, Relaxed));
        return ptr::null_mut();
    };
    states
        .iter()
        .rfind(|declared| declared.state.id == id)
        .map_or(ptr::null_mut(), |declared| declared.descriptor)
}
