// SPDX-License-Identifier: GPL-2.0

//! Changes of the stack of a patched function's versions.

use crate::{
    model::{
        phase::PatchState,
        versions::{
            is_only,
            older,
            versions,
            OldCode, //
        },
    },
    tests::func_stack::{
        FuncStack,
        Version, //
    },
};
use proptest::prelude::*;

/// The patches of the versions of a function, oldest first.
fn patches() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..4, 1..10)
}

/// The places of versions that are given newest first, oldest first.
fn places<'a>(versions: impl Iterator<Item = Version<'a>>) -> Vec<usize> {
    let mut places: Vec<usize> = versions.map(|version| version.place).collect();

    places.reverse();
    places
}

proptest! {
    /// Versions are taken off in any order, some twice: what remains is what remains of a list.
    #[test]
    fn taking_off_agrees_with_list(
        patches in patches(),
        taken_off in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut stack = FuncStack::new(&patches, None);
        let mut list: Vec<usize> = (0..patches.len()).collect();

        for place in taken_off {
            let place = place.index(patches.len());
            let at = list.iter().position(|&other| other == place);

            prop_assert_eq!(stack.link_to(place).is_some(), at.is_some());
            prop_assert_eq!(is_only(stack.top(), stack.at(place)), list == [place]);
            prop_assert_eq!(
                places(older(stack.top(), stack.at(place))),
                &list[..at.unwrap_or(0)]
            );

            stack.take_off(place);
            list.retain(|&other| other != place);
            prop_assert_eq!(places(versions(stack.top())), &list[..]);
        }
    }

    /// On the way to the patch, the old code of a task is what the handler had it run while it was
    /// unpatched, unless it runs the same when it is patched.
    #[test]
    fn old_code_is_what_the_handler_chose(
        patches in patches(),
        place in any::<prop::sample::Index>(),
    ) {
        let place = place.index(patches.len());
        let stack = FuncStack::new(&patches, Some(patches[place]));
        let before = stack.choice(Some(PatchState::Unpatched));
        let after = stack.choice(Some(PatchState::Patched));

        prop_assert_eq!(
            stack.old_code(place, PatchState::Patched),
            match before {
                _ if before == after => OldCode::Nothing,
                Some(version) if version > place => OldCode::Nothing,
                Some(version) => OldCode::Version(version),
                None => OldCode::Original,
            }
        );
    }
}
