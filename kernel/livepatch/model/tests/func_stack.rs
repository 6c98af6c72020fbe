// SPDX-License-Identifier: GPL-2.0

//! The stack of a patched function's versions, as those see it who apply the rules to it.

use crate::model::{
    choice::{
        choose,
        Stacked, //
    },
    phase::PatchState,
    versions::{
        link_to,
        old_code,
        Link,
        OldCode, //
    },
};

/// The most versions that a stack has room for.
const MAX_VERSIONS: usize = 12;

/// The place of a version: how many versions were put on the stack before it.
type Place = usize;

/// A stack that is linked as the core's is: each version knows the one below it.
pub(crate) struct FuncStack<'a> {
    /// The patch of each version, in the order in which they were put on the stack.
    patches: &'a [u8],
    below: [Option<Place>; MAX_VERSIONS],
    top: Option<Place>,
    in_transition: Option<u8>,
}

/// A version that is on the stack or was taken off it.
#[derive(Clone, Copy)]
pub(crate) struct Version<'a> {
    stack: &'a FuncStack<'a>,
    pub(crate) place: Place,
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Stacked for Version<'_> {
    fn in_transition(self) -> bool {
        Some(self.stack.patches[self.place]) == self.stack.in_transition
    }

    fn below(self) -> Option<Self> {
        self.stack.below[self.place].map(|place| self.stack.at(place))
    }
}

impl<'a> FuncStack<'a> {
    /// A stack of versions of `patches`, oldest first, one of which may be in transition.
    pub(crate) fn new(patches: &'a [u8], in_transition: Option<u8>) -> Self {
        FuncStack {
            patches,
            below: core::array::from_fn(|place| place.checked_sub(1)),
            top: patches.len().checked_sub(1),
            in_transition,
        }
    }

    pub(crate) fn at(&self, place: Place) -> Version<'_> {
        Version { stack: self, place }
    }

    pub(crate) fn top(&self) -> Option<Version<'_>> {
        self.top.map(|place| self.at(place))
    }

    /// The version that a task in this state runs; `None` is the original function.
    pub(crate) fn choice(&self, patch_state: Option<PatchState>) -> Option<Place> {
        let top = self.top()?;

        // As the shell of the handler.
        if !top.in_transition() {
            return Some(top.place);
        }
        choose(top, patch_state).map(|version| version.place)
    }

    /// What leads to the version at `place`.
    pub(crate) fn link_to(&self, place: Place) -> Option<Link<Place>> {
        link_to(self.top(), self.at(place)).map(|link| match link {
            Link::Top => Link::Top,
            Link::Above(version) => Link::Above(version.place),
        })
    }

    /// Takes off the version at `place` if it is there.
    pub(crate) fn take_off(&mut self, place: Place) {
        match self.link_to(place) {
            Some(Link::Top) => self.top = self.below[place],
            Some(Link::Above(above)) => self.below[above] = self.below[place],
            None => {}
        }
    }

    /// The code that a task must not be in when it moves to `target`.
    pub(crate) fn old_code(&self, place: Place, target: PatchState) -> OldCode<Place> {
        match old_code(self.top(), self.at(place), target) {
            OldCode::Nothing => OldCode::Nothing,
            OldCode::Version(version) => OldCode::Version(version.place),
            OldCode::Original => OldCode::Original,
        }
    }
}
