// SPDX-License-Identifier: GPL-2.0

//! System states: can a patch cope with what other patches have done to the system?

/// A change of the system that a patch makes, and which version of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Identifies the change; never 0.
    pub(crate) id: usize,
    pub(crate) version: u32,
}

/// Can a patch with the states `new` be used on top of one with the states `old`?
///
/// It must know at least the same version of all states that it has, and have them all if it
/// replaces the other patch: nobody else would undo the change.
pub(crate) fn is_compatible(
    new: impl Iterator<Item = State> + Clone,
    mut old: impl Iterator<Item = State>,
    replace: bool,
) -> bool {
    old.all(|old| match new.clone().find(|new| new.id == old.id) {
        Some(new) => new.version >= old.version,
        None => !replace,
    })
}
