// SPDX-License-Identifier: GPL-2.0

//! Changes of the stack of a patched function's versions.

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_versions))]
mod cases {
    use crate::{
        model::{
            choice::Stacked,
            phase::PatchState,
            versions::{
                is_only,
                older,
                versions,
                Link,
                OldCode, //
            },
        },
        tests::func_stack::{
            FuncStack,
            Version, //
        },
    };

    /// Are these the versions at `places`, in this order?
    fn are_at<'a>(versions: impl Iterator<Item = Version<'a>>, places: &[usize]) -> bool {
        versions
            .map(|version| version.place)
            .eq(places.iter().copied())
    }

    #[test]
    fn order() {
        let stack = FuncStack::new(&[1, 2, 3], None);

        assert!(are_at(versions(stack.top()), &[2, 1, 0]));
    }

    #[test]
    fn no_versions() {
        let (empty, other) = (FuncStack::new(&[], None), FuncStack::new(&[1], None));

        assert!(are_at(versions(empty.top()), &[]));
        assert!(are_at(older(empty.top(), other.at(0)), &[]));
        assert_eq!(empty.link_to(0), None);
        assert!(!is_only(empty.top(), other.at(0)));
    }

    #[test]
    fn older_versions() {
        let three = FuncStack::new(&[1, 2, 3], None);
        let two = FuncStack::new(&[1, 2], None);

        assert!(are_at(older(three.top(), three.at(2)), &[1, 0]));
        assert!(are_at(older(three.top(), three.at(1)), &[0]));
        assert!(are_at(older(three.top(), three.at(0)), &[]));
        assert!(are_at(older(two.top(), three.at(2)), &[]));
    }

    #[test]
    fn links() {
        let three = FuncStack::new(&[1, 2, 3], None);
        let two = FuncStack::new(&[1, 2], None);

        assert_eq!(three.link_to(2), Some(Link::Top));
        assert_eq!(three.link_to(1), Some(Link::Above(2)));
        assert_eq!(three.link_to(0), Some(Link::Above(1)));
        assert_eq!(two.link_to(2), None);
    }

    #[test]
    fn only_version() {
        let one = FuncStack::new(&[1], None);
        let two = FuncStack::new(&[1, 2], None);

        assert!(is_only(one.top(), one.at(0)));
        assert!(!is_only(two.top(), two.at(1)));
        assert!(!is_only(two.top(), two.at(0)));
        assert!(!is_only(one.top(), two.at(1)));
    }

    /// A handler that has seen a version goes on from there after the version was taken off.
    #[test]
    fn taken_off_and_still_leading_down() {
        let mut stack = FuncStack::new(&[1, 2, 3], None);

        stack.take_off(1);
        assert!(are_at(versions(stack.top()), &[2, 0]));
        assert!(stack.at(1).below() == Some(stack.at(0)));
        stack.take_off(2);
        assert!(are_at(versions(stack.top()), &[0]));
        assert!(stack.at(2).below() == Some(stack.at(0)));
    }

    /// What a task must not be in on its way to the patch of the version at `place`.
    fn to_patch(patches: &[u8], place: usize) -> OldCode<usize> {
        FuncStack::new(patches, Some(patches[place])).old_code(place, PatchState::Patched)
    }

    #[test]
    fn way_to_patch() {
        assert_eq!(to_patch(&[1], 0), OldCode::Original);
        assert_eq!(to_patch(&[1, 2], 1), OldCode::Version(0));
        // One patch reaches the function by two names.
        assert_eq!(to_patch(&[1, 2, 2], 2), OldCode::Version(0));
        assert_eq!(to_patch(&[1, 2, 2], 1), OldCode::Version(0));
        assert_eq!(to_patch(&[2, 2], 1), OldCode::Original);
        assert_eq!(to_patch(&[2, 2], 0), OldCode::Original);
    }

    #[test]
    fn hidden_by_newer_version() {
        assert_eq!(to_patch(&[1, 2], 0), OldCode::Nothing);
        assert_eq!(to_patch(&[1, 2, 3], 1), OldCode::Nothing);
        assert_eq!(to_patch(&[1, 1, 2], 1), OldCode::Nothing);
    }

    #[test]
    fn way_from_patch() {
        for (patches, place) in [(&[1u8][..], 0), (&[1, 2], 1), (&[1, 2, 3], 1)] {
            let stack = FuncStack::new(patches, Some(patches[place]));

            assert_eq!(
                stack.old_code(place, PatchState::Unpatched),
                OldCode::Version(place)
            );
        }
    }
}
