// SPDX-License-Identifier: GPL-2.0

//! Changes of the stack of a patched function's versions, and what they mean for its tasks.
//!
//! What the handler does with the same stack is in [`choice`](super::choice). Here are the rules
//! for those who hold `klp_mutex`: they may look at the whole stack, from `top`, the newest
//! version, which is `None` when no patch of the function is applied.

use super::{
    choice::Stacked,
    phase::PatchState, //
};

/// The versions from `top` to the oldest.
pub(crate) fn versions<V: Stacked + PartialEq>(top: Option<V>) -> impl Iterator<Item = V> {
    core::iter::successors(top, |version| version.below())
}

/// The versions that are older than `version`, newest first; none if it is not on the stack.
pub(crate) fn older<V: Stacked + PartialEq>(top: Option<V>, version: V) -> impl Iterator<Item = V> {
    versions(top)
        .skip_while(move |&other| other != version)
        .skip(1)
}

/// What holds the link to a version that is to be taken off the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link<V> {
    /// The stack: the version is its top.
    Top,
    /// The version above.
    Above(V),
}

/// Finds the link that has to lead past `version` to take it off; `None` if it is not on the stack.
pub(crate) fn link_to<V: Stacked + PartialEq>(top: Option<V>, version: V) -> Option<Link<V>> {
    if top == Some(version) {
        return Some(Link::Top);
    }
    versions(top)
        .find(|above| above.below() == Some(version))
        .map(Link::Above)
}

/// Is `version` all that there is on the stack?
pub(crate) fn is_only<V: Stacked + PartialEq>(top: Option<V>, version: V) -> bool {
    top == Some(version) && version.below().is_none()
}

/// The code that a task must not be in when its patch state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OldCode<V> {
    /// None: the task runs the same code before and after.
    Nothing,
    /// That of a version.
    Version(V),
    /// That of the original function.
    Original,
}

/// Finds the code that a task runs before it is moved to `target`, and not after, while the patch
/// of `version` is in transition.
///
/// On its way to the patch that is what it runs without the patch; or nothing, if a newer version
/// is in force, which hides the patch's one from all tasks.
pub(crate) fn old_code<V: Stacked + PartialEq>(
    top: Option<V>,
    version: V,
    target: PatchState,
) -> OldCode<V> {
    if target == PatchState::Unpatched {
        return OldCode::Version(version);
    }

    let mut below = false;
    for other in versions(top) {
        below |= other == version;
        match (other.in_transition(), below) {
            (true, _) => {}
            (false, true) => return OldCode::Version(other),
            (false, false) => return OldCode::Nothing,
        }
    }
    OldCode::Original
}
