// SPDX-License-Identifier: GPL-2.0

//! Which version of a patched function does a task run?

use crate::model::{
    choice::{
        choose,
        settled,
        Stacked, //
    },
    phase::PatchState, //
};
use proptest::prelude::*;

/// The patch that each version of a function belongs to, oldest first.
type Stack = [u8];

/// One version: the place in the stack, and the patch in transition, if there is one.
#[derive(Clone, Copy)]
struct Place<'a> {
    stack: &'a Stack,
    at: usize,
    moving: Option<u8>,
}

impl<'a> Place<'a> {
    fn top(stack: &'a Stack, moving: Option<u8>) -> Option<Self> {
        let at = stack.len().checked_sub(1)?;

        Some(Place { stack, at, moving })
    }
}

impl Stacked for Place<'_> {
    fn in_transition(self) -> bool {
        Some(self.stack[self.at]) == self.moving
    }

    fn below(self) -> Option<Self> {
        let at = self.at.checked_sub(1)?;

        Some(Place { at, ..self })
    }
}

/// Asks the model, for a stack that is not empty; the answer is a place in the stack.
fn choice(stack: &Stack, moving: Option<u8>, patch_state: Option<PatchState>) -> Option<usize> {
    let top = Place::top(stack, moving).expect("a patched function has a version");

    choose(top, patch_state).map(|version| version.at)
}

/// Asks the oracle: strike out the patch in transition, and take what is newest.
fn newest_without(stack: &Stack, struck: Option<u8>) -> Option<usize> {
    (0..stack.len())
        .filter(|&at| Some(stack[at]) != struck)
        .max()
}

/// The condition of `klp_ftrace_handler()`, which goes down by one version only.
fn upstream(stack: &Stack, moving: Option<u8>, patch_state: Option<PatchState>) -> Option<usize> {
    let mut func = stack.len() - 1;

    if Some(stack[func]) == moving && patch_state == Some(PatchState::Unpatched) {
        if func == 0 {
            return None;
        }
        func -= 1;
    }
    Some(func)
}

const PATCH_STATES: [Option<PatchState>; 3] =
    [None, Some(PatchState::Unpatched), Some(PatchState::Patched)];

#[test]
fn only_version() {
    assert_eq!(choice(&[1], Some(1), Some(PatchState::Unpatched)), None);
    assert_eq!(choice(&[1], Some(1), Some(PatchState::Patched)), Some(0));
}

#[test]
fn newer_version_over_older_one() {
    assert_eq!(
        choice(&[1, 2], Some(2), Some(PatchState::Unpatched)),
        Some(0)
    );
    assert_eq!(choice(&[1, 2], Some(2), Some(PatchState::Patched)), Some(1));
}

#[test]
fn idle_task_runs_newest() {
    assert_eq!(choice(&[1], Some(1), None), Some(0));
    assert_eq!(choice(&[1, 2], Some(2), None), Some(1));
    assert_eq!(choice(&[1, 2], None, None), Some(1));
}

#[test]
fn one_patch_twice_in_one_function() {
    assert_eq!(
        choice(&[1, 2, 2], Some(2), Some(PatchState::Unpatched)),
        Some(0)
    );
    assert_eq!(choice(&[2, 2], Some(2), Some(PatchState::Unpatched)), None);
    assert_eq!(choice(&[2, 2], Some(2), Some(PatchState::Patched)), Some(1));
}

#[test]
fn nothing_in_transition() {
    for patch_state in PATCH_STATES {
        assert_eq!(choice(&[1, 2, 3], None, patch_state), Some(2));
    }
}

#[test]
fn other_patch_in_transition() {
    for patch_state in PATCH_STATES {
        assert_eq!(choice(&[1, 2], Some(3), patch_state), Some(1));
        // A version below the top does not matter, whoever it belongs to.
        assert_eq!(choice(&[1, 2], Some(1), patch_state), Some(1));
    }
}

#[test]
fn settled_of_nothing() {
    assert!(settled::<Place<'_>>(None).is_none());
}

fn stack() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..4, 1..12)
}

fn patch_state() -> impl Strategy<Value = Option<PatchState>> {
    prop::sample::select(&PATCH_STATES[..])
}

proptest! {
    #[test]
    fn agrees_with_naive_stack(
        stack in stack(),
        moving in prop::option::of(0u8..4),
        patch_state in patch_state(),
    ) {
        let struck = match patch_state {
            Some(PatchState::Unpatched) => moving,
            Some(PatchState::Patched) | None => None,
        };

        prop_assert_eq!(choice(&stack, moving, patch_state), newest_without(&stack, struck));
    }

    #[test]
    fn settled_agrees_with_naive_stack(stack in stack(), moving in prop::option::of(0u8..4)) {
        let version = settled(Place::top(&stack, moving)).map(|version| version.at);

        prop_assert_eq!(version, newest_without(&stack, moving));
    }

    /// Where each patch has one version, the rule is the one of the C core.
    #[test]
    fn agrees_with_upstream(
        stack in Just((0u8..8).collect::<Vec<_>>()).prop_shuffle(),
        moving in prop::option::of(0u8..8),
        patch_state in patch_state(),
        len in 1usize..=8,
    ) {
        let stack = &stack[..len];

        prop_assert_eq!(choice(stack, moving, patch_state), upstream(stack, moving, patch_state));
    }

    /// Once the patch has gone, the task runs what a task on the unpatched patch_state ran before.
    #[test]
    fn unpatched_is_without_patch(stack in stack(), moving in 0u8..4) {
        let without: Vec<u8> = stack.iter().copied().filter(|&patch| patch != moving).collect();

        prop_assert_eq!(
            choice(&stack, Some(moving), Some(PatchState::Unpatched)).map(|at| stack[at]),
            without.last().copied()
        );
    }
}
