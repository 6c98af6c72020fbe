// SPDX-License-Identifier: GPL-2.0

//! Which version of a patched function does a task run?

use crate::{
    model::{
        choice::settled,
        phase::PatchState, //
    },
    tests::func_stack::FuncStack,
};
use proptest::prelude::*;

/// Asks the oracle: strike out the patch in transition, and take what is newest.
fn newest_without(patches: &[u8], struck: Option<u8>) -> Option<usize> {
    (0..patches.len())
        .filter(|&place| Some(patches[place]) != struck)
        .max()
}

/// The condition of `klp_ftrace_handler()`, which goes down by one version only.
fn upstream(
    patches: &[u8],
    in_transition: Option<u8>,
    patch_state: Option<PatchState>,
) -> Option<usize> {
    let mut func = patches.len() - 1;

    if Some(patches[func]) == in_transition && patch_state == Some(PatchState::Unpatched) {
        if func == 0 {
            return None;
        }
        func -= 1;
    }
    Some(func)
}

/// The patches of the versions of a function, oldest first.
fn patches() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..4, 1..12)
}

fn patch_state() -> impl Strategy<Value = Option<PatchState>> {
    prop::sample::select(&[None, Some(PatchState::Unpatched), Some(PatchState::Patched)][..])
}

proptest! {
    #[test]
    fn agrees_with_naive_stack(
        patches in patches(),
        in_transition in prop::option::of(0u8..4),
        patch_state in patch_state(),
    ) {
        let struck = match patch_state {
            Some(PatchState::Unpatched) => in_transition,
            Some(PatchState::Patched) | None => None,
        };

        prop_assert_eq!(
            FuncStack::new(&patches, in_transition).choice(patch_state),
            newest_without(&patches, struck)
        );
    }

    #[test]
    fn settled_agrees_with_naive_stack(
        patches in patches(),
        in_transition in prop::option::of(0u8..4),
    ) {
        let stack = FuncStack::new(&patches, in_transition);

        prop_assert_eq!(
            settled(stack.top()).map(|version| version.place),
            newest_without(&patches, in_transition)
        );
    }

    /// Where each patch has one version, the rule is the one of the C core.
    #[test]
    fn agrees_with_upstream(
        patches in Just((0u8..8).collect::<Vec<_>>()).prop_shuffle(),
        in_transition in prop::option::of(0u8..8),
        patch_state in patch_state(),
        len in 1usize..=8,
    ) {
        let patches = &patches[..len];

        prop_assert_eq!(
            FuncStack::new(patches, in_transition).choice(patch_state),
            upstream(patches, in_transition, patch_state)
        );
    }

    /// Once the patch is disabled, a task runs what an unpatched task ran before.
    #[test]
    fn unpatched_is_without_patch(patches in patches(), in_transition in 0u8..4) {
        let without = patches.iter().rfind(|&&patch| patch != in_transition);
        let choice =
            FuncStack::new(&patches, Some(in_transition)).choice(Some(PatchState::Unpatched));

        prop_assert_eq!(choice.map(|place| &patches[place]), without);
    }
}
