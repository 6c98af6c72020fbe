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

kernel::sync::global_lock! {
    /// The states of the patches before the one in transition, newest last; `None` between
    /// transitions.
    // SAFETY: `init` is called by a core initcall, when no patch module can have been loaded, and
    // all users of the lock are called by patches.
    unsafe(uninit) static PREVIOUS: SpinLockIrq<Option<KVec<Declared>>> = None;
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

/// Says what [`previous`] finds from now on. Under `klp_mutex`.
pub(crate) fn set_previous(states: Option<KVec<Declared>>) {
    let old = mem::replace(&mut *PREVIOUS.lock(), states);

    // Freed without the lock.
    drop(old);
}

/// Finds the newest state `id` in the patches that were there before the one in transition. Warns
/// when there is no transition. Any context but NMI.
pub(crate) fn previous(id: usize) -> Option<StateDescriptor> {
    let previous = PREVIOUS.lock();

    let Some(states) = previous.as_ref() else {
        warn_once!();
        return None;
    };
    states
        .iter()
        .rfind(|declared| declared.state.id == id)
        .map(|declared| declared.descriptor)
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
