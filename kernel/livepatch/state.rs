// SPDX-License-Identifier: GPL-2.0

//! System states: what patches have done to the system, for those that come after them.
//!
//! `klp_get_prev_state()` is called from callbacks, which run under `klp_mutex` in the very thread
//! that works on the registry. So what it may find is laid out for it when a transition begins.

use crate::{
    descriptor::{
        PatchDescriptor,
        StateDescriptor, //
    },
    model::compatibility::State,
    report::warn_once, //
};
use core::mem;
use kernel::prelude::*;

/// A state in the descriptor of a patch.
///
/// Kept by the patch, and for the time of a transition by those who look for previous states: the
/// patches that are enabled hold their modules in memory.
#[derive(Clone, Copy)]
pub(crate) struct Declared {
    pub(crate) state: State,
    descriptor: StateDescriptor,
}

/// Copies the states that a patch declares.
pub(crate) fn read(patch: PatchDescriptor) -> Result<KVec<Declared>> {
    let mut declared = KVec::new();

    for descriptor in patch.states() {
        let state = descriptor.state();
        declared.push(Declared { state, descriptor }, GFP_KERNEL)?;
    }
    Ok(declared)
}

/// The states of the patches before the one in transition.
struct Previous {
    /// Whether there is a transition.
    known: bool,
    /// Newest last. The room is kept between transitions.
    states: KVec<Declared>,
}

kernel::sync::global_lock! {
    /// What [`previous`] finds.
    // SAFETY: `init` is called by a core initcall, when no patch module can have been loaded, and
    // all users of the lock are called by patches.
    unsafe(uninit) static PREVIOUS: SpinLockIrq<Previous> = Previous {
        known: false,
        states: KVec::new(),
    };
}

/// Prepares the lock.
///
/// # Safety
///
/// Must be called once, before anything else of this module.
pub(crate) unsafe fn init() {
    // SAFETY: Called once and before any use of the lock, as the caller promises.
    unsafe { PREVIOUS.init() };
}

/// Makes room for `count` states. Under `klp_mutex`; may sleep.
pub(crate) fn reserve_previous(count: usize) -> Result {
    let new = KVec::with_capacity(count, GFP_KERNEL)?;
    let mut previous = PREVIOUS.lock();

    if previous.states.capacity() < count {
        // Between transitions there are none in it.
        let old = mem::replace(&mut previous.states, new);
        drop(previous);
        drop(old);
    }
    Ok(())
}

/// The patches before the one in transition declare `patches`: that is what [`previous`] finds from
/// now on. Under `klp_mutex`, after [`reserve_previous`].
pub(crate) fn set_previous<'a>(patches: impl Iterator<Item = &'a [Declared]>) {
    let mut previous = PREVIOUS.lock();

    previous.known = true;
    previous.states.clear();
    for states in patches {
        for (at, &declared) in states.iter().enumerate() {
            // Should a patch have an id twice, the first one counts.
            let mut known = states.iter().take(at);
            let is_new = known.all(|other| other.state.id != declared.state.id);
            // Whoever enabled the newest of these patches has made room for all of them.
            if is_new && previous.states.push_within_capacity(declared).is_err() {
                warn_once!("no room for the states of all patches\n");
                return;
            }
        }
    }
}

/// The transition is over.
pub(crate) fn forget_previous() {
    let mut previous = PREVIOUS.lock();

    previous.known = false;
    previous.states.clear();
}

/// Finds the newest state `id` in the patches that were there before the one in transition. Warns
/// when there is no transition. Any context but NMI.
pub(crate) fn previous(id: usize) -> Option<StateDescriptor> {
    let previous = PREVIOUS.lock();

    if !previous.known {
        warn_once!();
        return None;
    }
    previous
        .states
        .iter()
        .rfind(|declared| declared.state.id == id)
        .map(|declared| declared.descriptor)
}
