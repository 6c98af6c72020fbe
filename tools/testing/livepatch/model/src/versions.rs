// SPDX-License-Identifier: GPL-2.0

//! Changes of the stack of a patched function's versions.

use crate::model::{
    choice::{
        choose,
        Stacked, //
    },
    phase::PatchState,
    versions::{
        is_only,
        link_to,
        old_code,
        older,
        versions,
        Link, //
        OldCode,
    },
};
use proptest::prelude::*;
use std::fmt;

/// A linked stack, as the core has it: each version knows the one below it.
struct Stack {
    /// The patch of each version, and the version below; a version is an index.
    nodes: Vec<(u8, Option<usize>)>,
    top: Option<usize>,
    /// The patch in transition, if there is one.
    moving: Option<u8>,
}

#[derive(Clone, Copy)]
struct Entry<'a>(&'a Stack, usize);

impl PartialEq for Entry<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.1 == other.1
    }
}

impl fmt::Debug for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}", self.1)
    }
}

impl Stacked for Entry<'_> {
    fn in_transition(self) -> bool {
        Some(self.0.nodes[self.1].0) == self.0.moving
    }

    fn below(self) -> Option<Self> {
        self.0.nodes[self.1].1.map(|below| Entry(self.0, below))
    }
}

impl Stack {
    /// A stack of versions of these patches, oldest first.
    fn new(patches: &[u8], moving: Option<u8>) -> Self {
        Stack {
            nodes: patches
                .iter()
                .enumerate()
                .map(|(at, &patch)| (patch, at.checked_sub(1)))
                .collect(),
            top: patches.len().checked_sub(1),
            moving,
        }
    }

    fn top(&self) -> Option<Entry<'_>> {
        self.top.map(|top| Entry(self, top))
    }

    /// The versions, oldest first.
    fn places(&self) -> Vec<usize> {
        let mut places: Vec<usize> = versions(self.top()).map(|version| version.1).collect();

        places.reverse();
        places
    }

    /// Takes `at` off, as the core does.
    fn remove(&mut self, at: usize) {
        let below = self.nodes[at].1;

        match link_to(self.top(), Entry(self, at)).map(|link| match link {
            Link::Top => None,
            Link::Above(above) => Some(above.1),
        }) {
            Some(None) => self.top = below,
            Some(Some(above)) => self.nodes[above].1 = below,
            None => {}
        }
    }

    fn old_code(&self, at: usize, target: PatchState) -> OldCode<usize> {
        match old_code(self.top(), Entry(self, at), target) {
            OldCode::Nothing => OldCode::Nothing,
            OldCode::Version(version) => OldCode::Version(version.1),
            OldCode::Original => OldCode::Original,
        }
    }
}

#[test]
fn no_versions() {
    let (empty, other) = (Stack::new(&[], None), Stack::new(&[1], None));

    assert_eq!(versions(empty.top()).count(), 0);
    assert_eq!(older(empty.top(), Entry(&other, 0)).count(), 0);
    assert_eq!(link_to(empty.top(), Entry(&other, 0)), None);
    assert!(!is_only(empty.top(), Entry(&other, 0)));
}

#[test]
fn links() {
    let stack = Stack::new(&[1, 2, 3], None);

    assert_eq!(link_to(stack.top(), Entry(&stack, 2)), Some(Link::Top));
    assert_eq!(
        link_to(stack.top(), Entry(&stack, 1)),
        Some(Link::Above(Entry(&stack, 2)))
    );
    assert_eq!(
        link_to(stack.top(), Entry(&stack, 0)),
        Some(Link::Above(Entry(&stack, 1)))
    );
}

#[test]
fn only_version() {
    let (one, two) = (Stack::new(&[1], None), Stack::new(&[1, 2], None));

    assert!(is_only(one.top(), Entry(&one, 0)));
    assert!(!is_only(two.top(), Entry(&two, 0)));
    assert!(!is_only(two.top(), Entry(&two, 1)));
    assert!(!is_only(one.top(), Entry(&two, 1)));
}

/// A handler that has seen a version goes on from there after the version was taken off.
#[test]
fn removed_version_still_leads_down() {
    let mut stack = Stack::new(&[1, 2, 3], None);

    stack.remove(1);
    assert_eq!(stack.places(), [0, 2]);
    assert_eq!(Entry(&stack, 1).below(), Some(Entry(&stack, 0)));
    stack.remove(2);
    assert_eq!(stack.places(), [0]);
    assert_eq!(Entry(&stack, 2).below(), Some(Entry(&stack, 0)));
}

#[test]
fn way_to_patch() {
    let old_code = |patches: &[u8], moving, at| {
        Stack::new(patches, Some(moving)).old_code(at, PatchState::Patched)
    };

    assert_eq!(old_code(&[1], 1, 0), OldCode::Original);
    assert_eq!(old_code(&[1, 2], 2, 1), OldCode::Version(0));
    // One patch reaches the function by two names.
    assert_eq!(old_code(&[2, 2], 2, 0), OldCode::Original);
    assert_eq!(old_code(&[2, 2], 2, 1), OldCode::Original);
    assert_eq!(old_code(&[1, 2, 2], 2, 1), OldCode::Version(0));
    assert_eq!(old_code(&[1, 2, 2], 2, 2), OldCode::Version(0));
    // A patch that was enabled later hides it.
    assert_eq!(old_code(&[1, 2], 1, 0), OldCode::Nothing);
    assert_eq!(old_code(&[1, 1, 2], 1, 1), OldCode::Nothing);
}

#[test]
fn way_from_patch() {
    for (patches, at) in [(&[1u8][..], 0), (&[1, 2], 1), (&[1, 2, 3], 1)] {
        let stack = Stack::new(patches, Some(patches[at]));

        assert_eq!(
            stack.old_code(at, PatchState::Unpatched),
            OldCode::Version(at)
        );
    }
}

fn patches() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..4, 1..10)
}

proptest! {
    /// Versions are taken off in any order, some twice: what is left is what a list has left.
    #[test]
    fn removal_agrees_with_list(
        patches in patches(),
        removals in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut stack = Stack::new(&patches, None);
        let mut list: Vec<usize> = (0..patches.len()).collect();

        for at in removals {
            let at = at.index(patches.len());
            let on_stack = list.contains(&at);

            prop_assert_eq!(link_to(stack.top(), Entry(&stack, at)).is_some(), on_stack);
            prop_assert_eq!(is_only(stack.top(), Entry(&stack, at)), list == [at]);
            prop_assert_eq!(
                older(stack.top(), Entry(&stack, at)).map(|version| version.1).collect::<Vec<_>>(),
                match list.iter().position(|&other| other == at) {
                    Some(place) => list[..place].iter().rev().copied().collect::<Vec<_>>(),
                    None => vec![],
                }
            );

            stack.remove(at);
            list.retain(|&other| other != at);
            prop_assert_eq!(stack.places(), &list[..]);
        }
    }

    /// On the way to the patch a task leaves what the handler had it run: the choice of a task on
    /// the unpatched patch_state, unless that is what it runs on the patched patch_state as well.
    #[test]
    fn task_leaves_what_the_handler_chose(
        patches in patches(),
        moving in any::<prop::sample::Index>(),
    ) {
        let at = moving.index(patches.len());
        let stack = Stack::new(&patches, Some(patches[at]));
        let run = |patch_state| choose(stack.top().unwrap(), Some(patch_state)).map(|version| version.1);
        let (before, after) = (run(PatchState::Unpatched), run(PatchState::Patched));

        prop_assert_eq!(
            stack.old_code(at, PatchState::Patched),
            match before {
                _ if before == after => OldCode::Nothing,
                Some(version) if version > at => OldCode::Nothing,
                Some(version) => OldCode::Version(version),
                None => OldCode::Original,
            }
        );
    }
}
