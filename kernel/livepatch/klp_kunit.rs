// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the livepatch rules.
//!
//! A crate of its own, so that it can be built without the core: the rules under `model/` need
//! neither ftrace nor an architecture with livepatch support, and run under UML as well.
//!
//! The host crate in `tools/testing/livepatch/model` compares the same rules with oracles; here are
//! the cases that must hold on every architecture and with the kernel's own compiler flags.

// The suites do not use every item of the rules, and do not exist if KUnit is a module.
#![allow(dead_code)]

mod model;

use kernel::prelude::*;

#[kunit_tests(klp_model_ranges)]
mod ranges {
    use super::model::ranges::{
        build,
        find,
        Range, //
    };

    /// The tag of a range in `index` that contains `addr`.
    fn tag_at(index: &[Range], addr: usize) -> Option<usize> {
        find(index, addr).map(Range::tag)
    }

    #[test]
    fn empty_index() {
        build(&mut []);
        assert_eq!(tag_at(&[], 0), None);
        assert_eq!(tag_at(&[], usize::MAX), None);
    }

    #[test]
    fn half_open() {
        let mut index = [Range::new(0x1000, 0x10, 7)];

        build(&mut index);
        assert_eq!(tag_at(&index, 0x0fff), None);
        assert_eq!(tag_at(&index, 0x1000), Some(7));
        assert_eq!(tag_at(&index, 0x100f), Some(7));
        assert_eq!(tag_at(&index, 0x1010), None);
    }

    #[test]
    fn any_order() {
        let mut index = [
            Range::new(0x3000, 0x10, 3),
            Range::new(0x1000, 0x10, 1),
            Range::new(0x1010, 0x10, 2),
        ];

        build(&mut index);
        assert_eq!(tag_at(&index, 0x100f), Some(1));
        assert_eq!(tag_at(&index, 0x1010), Some(2));
        assert_eq!(tag_at(&index, 0x1020), None);
        assert_eq!(tag_at(&index, 0x3008), Some(3));
    }

    #[test]
    fn empty_range() {
        let mut index = [Range::new(0x1000, 0, 1), Range::new(0x1000, 4, 2)];

        build(&mut index);
        assert_eq!(tag_at(&index, 0x1000), Some(2));
        assert_eq!(tag_at(&index, 0x1004), None);
    }

    #[test]
    fn long_over_short() {
        let mut index = [
            Range::new(0x1000, 0x1000, 1),
            Range::new(0x1100, 0x10, 2),
            Range::new(0x1200, 0, 3),
        ];

        build(&mut index);
        assert_eq!(tag_at(&index, 0x10ff), Some(1));
        assert!(tag_at(&index, 0x1100).is_some());
        assert_eq!(tag_at(&index, 0x1110), Some(1));
        assert_eq!(tag_at(&index, 0x1200), Some(1));
        assert_eq!(tag_at(&index, 0x1fff), Some(1));
        assert_eq!(tag_at(&index, 0x2000), None);
    }

    #[test]
    fn ends_of_address_space() {
        let mut index = [
            Range::new(usize::MAX - 8, usize::MAX, 2),
            Range::new(0, 4, 1),
        ];

        build(&mut index);
        assert_eq!(tag_at(&index, 0), Some(1));
        assert_eq!(tag_at(&index, 4), None);
        assert_eq!(tag_at(&index, usize::MAX - 9), None);
        assert_eq!(tag_at(&index, usize::MAX - 8), Some(2));
        assert_eq!(tag_at(&index, usize::MAX - 1), Some(2));
    }
}

#[kunit_tests(klp_model_ip_table)]
mod ip_table {
    use super::model::ip_table::{
        find,
        insert,
        slots_for,
        Slot, //
    };

    #[test]
    fn sizes() {
        assert_eq!(slots_for(0), Some(8));
        assert_eq!(slots_for(4), Some(8));
        assert_eq!(slots_for(5), Some(16));
        assert_eq!(slots_for(1000), Some(2048));
        assert_eq!(slots_for(usize::MAX), None);
    }

    #[test]
    fn insert_and_find() {
        let mut slots = [Slot::FREE; 16];

        for n in 1..=8 {
            assert!(insert(&mut slots, usize::MAX - n * 16, n));
        }
        for n in 1..=8 {
            assert_eq!(find(&slots, usize::MAX - n * 16), Some(&n));
        }
        assert_eq!(find(&slots, usize::MAX), None);
    }

    #[test]
    fn zero_is_no_call_site() {
        let mut slots = [Slot::FREE; 8];

        assert!(!insert(&mut slots, 0, 1));
        assert_eq!(find(&slots, 0), None);
    }

    #[test]
    fn second_insert_is_refused() {
        let mut slots = [Slot::FREE; 8];

        assert!(insert(&mut slots, 0x1000, 1));
        assert!(!insert(&mut slots, 0x1000, 2));
        assert_eq!(find(&slots, 0x1000), Some(&1));
    }

    #[test]
    fn full_table() {
        let mut slots = [Slot::FREE; 8];

        for ip in 1..=8 {
            assert!(insert(&mut slots, ip, ip));
        }
        assert!(!insert(&mut slots, 9, 9));
        for ip in 1..=8 {
            assert_eq!(find(&slots, ip), Some(&ip));
        }
        assert_eq!(find(&slots, 9), None);
        assert_eq!(find(&slots, 0), None);
    }

    #[test]
    fn no_slots() {
        let mut slots: [Slot<usize>; 0] = [];

        assert!(!insert(&mut slots, 1, 1));
        assert_eq!(find(&slots, 1), None);
    }
}

#[kunit_tests(klp_model_symbol)]
mod symbol {
    use super::model::sympos::{
        Search,
        Unresolved, //
    };

    /// The outcome for a symbol with these addresses.
    fn resolve(occurrences: &[usize], sympos: usize) -> Result<usize, Unresolved> {
        let mut search = Search::new(sympos);

        for &addr in occurrences {
            search.offer(addr);
        }
        search.outcome()
    }

    #[test]
    fn unique() {
        assert_eq!(resolve(&[0x1000], 0), Ok(0x1000));
        assert_eq!(resolve(&[0x1000], 1), Ok(0x1000));
    }

    #[test]
    fn not_found() {
        assert_eq!(resolve(&[], 0), Err(Unresolved::NotFound));
        assert_eq!(resolve(&[], 1), Err(Unresolved::NotFound));
        assert_eq!(resolve(&[0], 0), Err(Unresolved::NotFound));
    }

    #[test]
    fn ambiguous() {
        assert_eq!(resolve(&[0x1000, 0x2000], 0), Err(Unresolved::Ambiguous));
        assert_eq!(resolve(&[0x1000, 0x1000], 0), Err(Unresolved::Ambiguous));
    }

    #[test]
    fn positions() {
        let occurrences = [0x3000, 0x1000, 0x2000];

        assert_eq!(resolve(&occurrences, 1), Ok(0x3000));
        assert_eq!(resolve(&occurrences, 2), Ok(0x1000));
        assert_eq!(resolve(&occurrences, 3), Ok(0x2000));
        assert_eq!(resolve(&occurrences, 4), Err(Unresolved::NoSuchPosition));
        assert_eq!(
            resolve(&occurrences, usize::MAX),
            Err(Unresolved::NoSuchPosition)
        );
    }

    #[test]
    fn end_of_search() {
        let mut search = Search::new(1);

        assert!(!search.is_over());
        search.offer(0x1000);
        assert!(search.is_over());

        let mut search = Search::new(0);

        search.offer(0x1000);
        assert!(!search.is_over());
        search.offer(0x2000);
        assert!(search.is_over());
    }
}

#[kunit_tests(klp_model_choice)]
mod choice {
    use super::model::{
        choice::{
            choose,
            settled,
            Stacked, //
        },
        phase::PatchState, //
    };

    /// A version: the patches of the stack up to it, and the patch in transition.
    #[derive(Clone, Copy)]
    struct Place<'a>(&'a [u8], Option<u8>);

    impl Stacked for Place<'_> {
        fn in_transition(self) -> bool {
            self.0.last().copied() == self.1
        }

        fn below(self) -> Option<Self> {
            match self.0.split_last()? {
                (_, []) => None,
                (_, rest) => Some(Place(rest, self.1)),
            }
        }
    }

    /// The height of the chosen version, while `moving` is in transition.
    fn height(stack: &[u8], moving: Option<u8>, patch_state: Option<PatchState>) -> Option<usize> {
        choose(Place(stack, moving), side).map(|version| version.0.len())
    }

    #[test]
    fn only_version() {
        assert_eq!(height(&[1], Some(1), Some(PatchState::Unpatched)), None);
        assert_eq!(height(&[1], Some(1), Some(PatchState::Patched)), Some(1));
    }

    #[test]
    fn newer_over_older() {
        assert_eq!(height(&[1, 2], Some(2), Some(PatchState::Unpatched)), Some(1));
        assert_eq!(height(&[1, 2], Some(2), Some(PatchState::Patched)), Some(2));
    }

    #[test]
    fn one_patch_twice() {
        assert_eq!(
            height(&[1, 2, 2], Some(2), Some(PatchState::Unpatched)),
            Some(1)
        );
        assert_eq!(height(&[2, 2], Some(2), Some(PatchState::Unpatched)), None);
        assert_eq!(height(&[2, 2], Some(2), Some(PatchState::Patched)), Some(2));
    }

    #[test]
    fn idle_task() {
        assert_eq!(height(&[1, 2], Some(2), None), Some(2));
    }

    #[test]
    fn nothing_in_transition() {
        assert_eq!(height(&[1, 2], None, Some(PatchState::Unpatched)), Some(2));
        assert_eq!(height(&[1, 2], None, Some(PatchState::Patched)), Some(2));
        assert_eq!(height(&[1, 2], Some(1), Some(PatchState::Unpatched)), Some(2));
    }

    #[test]
    fn nothing_settled() {
        assert!(settled(None::<Place<'_>>).is_none());
        assert!(settled(Some(Place(&[1], Some(1)))).is_none());
    }
}

#[kunit_tests(klp_model_versions)]
mod versions {
    use super::model::{
        choice::Stacked,
        phase::PatchState,
        versions::{
            is_only,
            old_code,
            link_to,
            older,
            versions,
            OldCode,
            Link, //
        }, //
    };

    /// A version: the patches of the stack up to it, and the patch in transition.
    #[derive(Clone, Copy, Debug)]
    struct Place<'a>(&'a [u8], Option<u8>);

    impl PartialEq for Place<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.0.len() == other.0.len()
        }
    }

    impl Stacked for Place<'_> {
        fn in_transition(self) -> bool {
            self.0.last().copied() == self.1
        }

        fn below(self) -> Option<Self> {
            match self.0.split_last()? {
                (_, []) => None,
                (_, rest) => Some(Place(rest, self.1)),
            }
        }
    }

    const THREE: Place<'_> = Place(&[1, 2, 3], None);
    const TWO: Place<'_> = Place(&[1, 2], None);
    const ONE: Place<'_> = Place(&[1], None);

    #[test]
    fn order() {
        assert!(versions(Some(THREE)).eq([THREE, TWO, ONE]));
        assert!(versions(None::<Place<'_>>).next().is_none());
    }

    #[test]
    fn older_versions() {
        assert!(older(Some(THREE), THREE).eq([TWO, ONE]));
        assert!(older(Some(THREE), TWO).eq([ONE]));
        assert!(older(Some(THREE), ONE).next().is_none());
        assert!(older(Some(TWO), THREE).next().is_none());
    }

    #[test]
    fn links() {
        assert_eq!(link_to(Some(THREE), THREE), Some(Link::Top));
        assert_eq!(link_to(Some(THREE), TWO), Some(Link::Above(THREE)));
        assert_eq!(link_to(Some(THREE), ONE), Some(Link::Above(TWO)));
        assert_eq!(link_to(Some(TWO), THREE), None);
        assert_eq!(link_to(None, ONE), None);
    }

    #[test]
    fn only_version() {
        assert!(is_only(Some(ONE), ONE));
        assert!(!is_only(Some(TWO), TWO));
        assert!(!is_only(Some(TWO), ONE));
        assert!(!is_only(Some(ONE), TWO));
        assert!(!is_only(None, ONE));
    }

    /// The height of what a task leaves on its way to the patch of the version at `height`.
    fn to_patch(stack: &[u8], height: usize) -> OldCode<usize> {
        let at = |height| Place(&stack[..height], Some(stack[height - 1]));
        let top = Place(stack, at(height).1);

        match old_code(Some(top), at(height), PatchState::Patched) {
            OldCode::Nothing => OldCode::Nothing,
            OldCode::Version(version) => OldCode::Version(version.0.len()),
            OldCode::Original => OldCode::Original,
        }
    }

    #[test]
    fn way_to_patch() {
        assert_eq!(to_patch(&[1], 1), OldCode::Original);
        assert_eq!(to_patch(&[1, 2], 2), OldCode::Version(1));
        assert_eq!(to_patch(&[1, 2, 2], 3), OldCode::Version(1));
        assert_eq!(to_patch(&[1, 2, 2], 2), OldCode::Version(1));
        assert_eq!(to_patch(&[2, 2], 2), OldCode::Original);
        assert_eq!(to_patch(&[2, 2], 1), OldCode::Original);
    }

    #[test]
    fn hidden_by_newer_version() {
        assert_eq!(to_patch(&[1, 2], 1), OldCode::Nothing);
        assert_eq!(to_patch(&[1, 2, 3], 2), OldCode::Nothing);
        assert_eq!(to_patch(&[1, 1, 2], 2), OldCode::Nothing);
    }

    #[test]
    fn way_from_patch() {
        let version = Place(&[1, 2], Some(2));

        assert_eq!(
            old_code(Some(version), version, PatchState::Unpatched),
            OldCode::Version(version)
        );
        assert_eq!(
            old_code(Some(THREE), TWO, PatchState::Unpatched),
            OldCode::Version(TWO)
        );
    }
}

#[kunit_tests(klp_model_replace)]
mod replace {
    use super::model::replace::{
        add_nops,
        Changes,
        FuncName,
        Replacing, //
    };
    use core::ffi::CStr;

    /// All names that the cases use.
    const NAMES: [&CStr; 5] = [c"ext4", c"xfs", c"open", c"read", c"write"];

    /// The name from the list.
    fn known(name: &CStr) -> &'static CStr {
        NAMES
            .into_iter()
            .find(|&known| known == name)
            .unwrap_or(c"")
    }

    /// A function: its object, its name, its position.
    type Func = (usize, &'static CStr, usize);

    /// A patch with room for three objects and six functions.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Patch {
        objects: [Option<Option<&'static CStr>>; 3],
        funcs: [Option<Func>; 6],
    }

    #[derive(Debug, PartialEq, Eq)]
    struct NoRoom;

    fn append<T>(places: &mut [Option<T>], value: T) -> Result<(), NoRoom> {
        match places.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(value);
                Ok(())
            }
            None => Err(NoRoom),
        }
    }

    impl Patch {
        fn new(objects: &[Option<&'static CStr>], funcs: &[Func]) -> Self {
            let mut patch = Patch {
                objects: [None; 3],
                funcs: [None; 6],
            };

            for (place, &object) in patch.objects.iter_mut().zip(objects) {
                *place = Some(object);
            }
            for (place, &func) in patch.funcs.iter_mut().zip(funcs) {
                *place = Some(func);
            }
            patch
        }

        /// The patch after it was made to replace `old`.
        fn replacing(mut self, old: &[Patch]) -> Result<Self, NoRoom> {
            for old in old {
                add_nops(&mut self, old)?;
            }
            Ok(self)
        }
    }

    impl Changes for Patch {
        fn objects(&self) -> impl Iterator<Item = Option<&CStr>> {
            self.objects.iter().filter_map(|&object| object)
        }

        fn funcs(&self, object: usize) -> impl Iterator<Item = FuncName<'_>> {
            self.funcs
                .iter()
                .flatten()
                .filter(move |func| func.0 == object)
                .map(|&(_, name, sympos)| (name, sympos))
        }
    }

    impl Replacing for Patch {
        type Error = NoRoom;

        fn add_object(&mut self, name: Option<&CStr>) -> Result<(), NoRoom> {
            append(&mut self.objects, name.map(known))
        }

        fn add_nop(&mut self, object: usize, func: FuncName<'_>) -> Result<(), NoRoom> {
            append(&mut self.funcs, (object, known(func.0), func.1))
        }
    }

    #[test]
    fn nothing_to_add() {
        let new = Patch::new(&[None, Some(c"ext4")], &[(0, c"open", 0), (1, c"read", 2)]);

        assert_eq!(new.replacing(&[]), Ok(new));
        assert_eq!(new.replacing(&[Patch::new(&[], &[])]), Ok(new));
        assert_eq!(new.replacing(&[new]), Ok(new));
        // Positions 0 and 1 are the same.
        assert_eq!(
            new.replacing(&[Patch::new(&[None], &[(0, c"open", 1)])]),
            Ok(new)
        );
    }

    #[test]
    fn functions() {
        let new = Patch::new(&[None], &[(0, c"open", 0)]);
        let old = Patch::new(
            &[None],
            &[(0, c"read", 3), (0, c"open", 0), (0, c"open", 2)],
        );

        assert_eq!(
            new.replacing(&[old]),
            Ok(Patch::new(
                &[None],
                &[(0, c"open", 0), (0, c"read", 3), (0, c"open", 2)]
            ))
        );
    }

    /// Functions of one name in two objects are two functions, and so are two objects.
    #[test]
    fn objects() {
        let new = Patch::new(&[None], &[(0, c"open", 0)]);
        let old = Patch::new(
            &[Some(c"ext4"), Some(c"xfs"), None],
            &[(0, c"open", 0), (1, c"write", 0), (2, c"read", 0)],
        );

        assert_eq!(
            new.replacing(&[old]),
            Ok(Patch::new(
                &[None, Some(c"ext4"), Some(c"xfs")],
                &[
                    (0, c"open", 0),
                    (1, c"open", 0),
                    (2, c"write", 0),
                    (0, c"read", 0)
                ]
            ))
        );
    }

    /// What two patches change gets one nop, and an older nop is a change as well.
    #[test]
    fn several_patches() {
        let new = Patch::new(&[], &[]);
        let one = Patch::new(&[None], &[(0, c"open", 0), (0, c"read", 0)]);
        let two = Patch::new(&[None], &[(0, c"read", 1), (0, c"write", 0)]);
        let all = Patch::new(
            &[None],
            &[(0, c"open", 0), (0, c"read", 0), (0, c"write", 0)],
        );

        assert_eq!(new.replacing(&[one, two]), Ok(all));
        assert_eq!(new.replacing(&[all]), Ok(all));
    }

    #[test]
    fn errors() {
        let old = Patch::new(&[Some(c"ext4")], &[(0, c"open", 0)]);
        let mut full = Patch::new(&[None, Some(c"xfs"), Some(c"ext4")], &[(0, c"read", 0); 6]);

        assert_eq!(add_nops(&mut full, &old), Err(NoRoom));

        let mut full = Patch::new(&[None, None, Some(c"xfs")], &[]);

        assert_eq!(add_nops(&mut full, &old), Err(NoRoom));
        assert_eq!(full, Patch::new(&[None, None, Some(c"xfs")], &[]));
    }
}

#[kunit_tests(klp_model_operation)]
mod operation {
    use super::model::{
        operation::{
            decide,
            Known,
            Registration,
            Operation,
            Refusal,
            Decision, //
        },
        phase::{
            Phase,
            PatchState, //
        }, //
    };

    fn patch(registration: Registration, phase: Phase) -> Option<Known> {
        Some(Known {
            registration,
            phase,
            other_running: false,
            covered: false,
        })
    }

    #[test]
    fn unknown_patch() {
        assert_eq!(
            decide(Operation::Register, None),
            Ok(Decision::Admit(Registration::Registered))
        );
        assert_eq!(
            decide(Operation::Enable, None),
            Ok(Decision::Admit(Registration::OneShot))
        );
        assert_eq!(decide(Operation::Disable, None), Err(Refusal::Unknown));
        assert_eq!(decide(Operation::Unregister, None), Err(Refusal::Unknown));
    }

    /// What each operation does to a patch with nothing around it.
    #[test]
    fn four_operations() {
        let phases = [
            Phase::Disabled,
            Phase::Enabling,
            Phase::Enabled,
            Phase::Disabling,
        ];
        let (up, down) = (Decision::Start(PatchState::Patched), Decision::Start(PatchState::Unpatched));
        let exists = [Err(Refusal::Exists); 4];
        let already = Err(Refusal::Already);
        let in_use = Err(Refusal::InUse);

        for (operation, registration, results) in [
            (Operation::Register, Registration::Registered, exists),
            (Operation::Register, Registration::OneShot, exists),
            (
                Operation::Enable,
                Registration::Registered,
                [Ok(up), already, already, Ok(Decision::Reverse)],
            ),
            (
                Operation::Enable,
                Registration::OneShot,
                [Err(Refusal::Unknown), already, already, Ok(Decision::Reverse)],
            ),
            (
                Operation::Disable,
                Registration::Registered,
                [already, Ok(Decision::Reverse), Ok(down), already],
            ),
            (
                Operation::Disable,
                Registration::OneShot,
                [already, Ok(Decision::Reverse), Ok(down), already],
            ),
            (
                Operation::Unregister,
                Registration::Registered,
                [Ok(Decision::Forget), in_use, in_use, in_use],
            ),
            (
                Operation::Unregister,
                Registration::OneShot,
                [Err(Refusal::Unknown); 4],
            ),
        ] {
            for (phase, result) in phases.into_iter().zip(results) {
                assert_eq!(decide(operation, patch(registration, phase)), result);
            }
        }
    }

    #[test]
    fn other_transition() {
        for registration in [Registration::Registered, Registration::OneShot] {
            for (operation, phase, result) in [
                (Operation::Disable, Phase::Enabled, Err(Refusal::Busy)),
                (Operation::Disable, Phase::Enabling, Ok(Decision::Reverse)),
                (Operation::Enable, Phase::Disabling, Ok(Decision::Reverse)),
            ] {
                let patch = Some(Known {
                    registration,
                    phase,
                    other_running: true,
                    covered: false,
                });

                assert_eq!(decide(operation, patch), result);
            }
        }

        let patch = Some(Known {
            registration: Registration::Registered,
            phase: Phase::Disabled,
            other_running: true,
            covered: false,
        });

        assert_eq!(decide(Operation::Enable, patch), Err(Refusal::Busy));
        assert_eq!(decide(Operation::Unregister, patch), Ok(Decision::Forget));
    }

    #[test]
    fn order_of_disabling() {
        for (registration, other_running, result) in [
            (Registration::Registered, false, Err(Refusal::Covered)),
            (Registration::Registered, true, Err(Refusal::Covered)),
            (Registration::OneShot, false, Ok(Decision::Start(PatchState::Unpatched))),
            (Registration::OneShot, true, Err(Refusal::Busy)),
        ] {
            let patch = Some(Known {
                registration,
                phase: Phase::Enabled,
                other_running,
                covered: true,
            });

            assert_eq!(decide(Operation::Disable, patch), result);
        }
    }
}

#[kunit_tests(klp_model_phase)]
mod phase {
    use super::model::phase::{
        Phase,
        PatchState, //
    };

    #[test]
    fn attributes() {
        for (phase, enabled, transition) in [
            (Phase::Disabled, false, false),
            (Phase::Enabling, true, true),
            (Phase::Enabled, true, false),
            (Phase::Disabling, false, true),
        ] {
            assert_eq!(phase.is_enabled(), enabled);
            assert_eq!(phase.in_transition(), transition);
        }
    }

    #[test]
    fn targets() {
        assert_eq!(Phase::towards(PatchState::Patched), Phase::Enabling);
        assert_eq!(Phase::towards(PatchState::Unpatched), Phase::Disabling);
        assert_eq!(Phase::settled(PatchState::Patched), Phase::Enabled);
        assert_eq!(Phase::settled(PatchState::Unpatched), Phase::Disabled);
        assert_eq!(PatchState::Patched.opposite(), PatchState::Unpatched);
        assert_eq!(PatchState::Unpatched.opposite(), PatchState::Patched);
    }

    #[test]
    fn encoding() {
        let phases = [
            Phase::Disabled,
            Phase::Enabling,
            Phase::Enabled,
            Phase::Disabling,
        ];

        for (raw, phase) in (0..).zip(phases) {
            assert_eq!(phase.encode(), raw);
            assert_eq!(Phase::decode(raw), phase);
        }
        assert_eq!(Phase::decode(-1), Phase::Disabled);
        assert_eq!(Phase::decode(4), Phase::Disabled);
    }

    #[test]
    fn patch_state() {
        assert_eq!(PatchState::from_raw(-1), None);
        assert_eq!(PatchState::from_raw(0), Some(PatchState::Unpatched));
        assert_eq!(PatchState::from_raw(1), Some(PatchState::Patched));
        assert_eq!(PatchState::from_raw(2), None);
        assert_eq!(PatchState::Unpatched.as_raw(), 0);
        assert_eq!(PatchState::Patched.as_raw(), 1);
    }
}

#[kunit_tests(klp_model_pacing)]
mod pacing {
    use super::model::pacing::{
        Pacing,
        Signal, //
    };

    /// Does a transition whose tries come at these times signal as told?
    fn signals_are(tries: &[(u64, Signal)]) -> bool {
        let mut pacing = Pacing::new();

        tries
            .iter()
            .all(|&(elapsed, signal)| pacing.retry(elapsed).signal == signal)
    }

    #[test]
    fn pauses() {
        let mut pacing = Pacing::new();

        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000, 1000] {
            assert_eq!(pacing.retry(0).pause_ms, pause);
        }
    }

    #[test]
    fn first_signal() {
        assert!(signals_are(&[
            (0, Signal::No),
            (14_999, Signal::No),
            (15_000, Signal::First),
            (15_000, Signal::No),
        ]));
    }

    #[test]
    fn one_signal_a_period() {
        assert!(signals_are(&[
            (15_400, Signal::First),
            (29_999, Signal::No),
            (30_000, Signal::Again),
            (31_000, Signal::No),
            (45_999, Signal::Again),
        ]));
    }

    #[test]
    fn missed_periods() {
        assert!(signals_are(&[
            (44_000, Signal::First),
            (44_999, Signal::No),
            (45_000, Signal::Again),
            (100_000, Signal::Again),
            (101_000, Signal::No),
        ]));
    }

    #[test]
    fn end_of_time() {
        assert!(signals_are(&[
            (u64::MAX, Signal::First),
            (0, Signal::No),
            (u64::MAX, Signal::No),
        ]));
    }
}

#[kunit_tests(klp_model_names)]
mod names {
    use super::model::names::{
        is_attribute,
        object_label,
        same_function,
        shown_sympos, //
    };

    #[test]
    fn labels() {
        assert_eq!(object_label(None), c"vmlinux");
        assert_eq!(object_label(Some(c"ext4")), c"ext4");
    }

    #[test]
    fn attributes() {
        assert!(is_attribute(b"enabled"));
        assert!(is_attribute(b"transition"));
        assert!(is_attribute(b"force"));
        assert!(is_attribute(b"replace"));
        assert!(is_attribute(b"stack_order"));
        assert!(!is_attribute(b""));
        assert!(!is_attribute(b"enable"));
        assert!(!is_attribute(b"vmlinux"));
    }

    #[test]
    fn sympos() {
        assert_eq!(shown_sympos(0), 1);
        assert_eq!(shown_sympos(1), 1);
        assert_eq!(shown_sympos(2), 2);
    }

    #[test]
    fn functions() {
        assert!(same_function((b"open", 0), (b"open", 1)));
        assert!(same_function((b"open", 2), (b"open", 2)));
        assert!(!same_function((b"open", 0), (b"open", 2)));
        assert!(!same_function((b"open", 0), (b"read", 0)));
    }
}

#[kunit_tests(klp_model_reloc_name)]
mod reloc_name {
    use super::model::reloc_name::{
        parse_section,
        parse_symbol,
        same_object, //
    };

    #[test]
    fn sections() {
        assert!(parse_section(b".klp.rela.ext4..text") == Some(b"ext4"));
        assert!(parse_section(b".klp.rela.dm-mod.x") == Some(b"dm-mod"));
        assert!(parse_section(b".klp.rela..text").is_none());
        assert!(parse_section(b".klp.rela.").is_none());
        assert!(parse_section(b".rela.text").is_none());
    }

    #[test]
    fn symbols() {
        let parsed = parse_symbol(b".klp.sym.ext4.open.isra.0,12");
        assert!(parsed.is_some_and(|parsed| {
            parsed.object == b"ext4" && parsed.symbol == b"open.isra.0" && parsed.sympos == 12
        }));
    }

    #[test]
    fn longest_names() {
        // ".klp.rela." or ".klp.sym." and what follows.
        let mut name = [b'x'; 9 + 56 + 1 + 512 + 2];

        name[..10].copy_from_slice(b".klp.rela.");
        assert!(parse_section(&name[..10 + 55]).is_some_and(|object| object.len() == 55));
        assert!(parse_section(&name[..10 + 56]).is_none());

        name[..9].copy_from_slice(b".klp.sym.");
        for (object, symbol, valid) in [
            (55, 511, true),
            (56, 511, false),
            (55, 512, false),
            (1, 1, true),
        ] {
            let dot = 9 + object;
            let comma = dot + 1 + symbol;

            name[9..].fill(b'x');
            name[dot] = b'.';
            name[comma..][..2].copy_from_slice(b",7");
            assert_eq!(
                parse_symbol(&name[..comma + 2])
                    .map(|name| { (name.object.len(), name.symbol.len(), name.sympos) }),
                valid.then_some((object, symbol, 7))
            );
        }
    }

    #[test]
    fn numbers() {
        let sympos = |name| parse_symbol(name).map(|name| name.sympos);

        assert_eq!(sympos(b".klp.sym.a.b,0"), Some(0));
        assert_eq!(sympos(b".klp.sym.a.b,0019"), Some(19));
        assert_eq!(sympos(b".klp.sym.a.b,1:"), None);
        assert_eq!(sympos(b".klp.sym.a.b,1/"), None);
        assert_eq!(sympos(b".klp.sym.a.b,-1"), None);
        // Too large on any architecture: the sum, the product.
        assert_eq!(sympos(b".klp.sym.a.b,18446744073709551616"), None);
        assert_eq!(sympos(b".klp.sym.a.b,99999999999999999999999"), None);
    }

    #[test]
    fn malformed_symbols() {
        assert!(parse_symbol(b".klp.sym.vmlinux").is_none());
        assert!(parse_symbol(b".klp.sym.vmlinux.printk").is_none());
        assert!(parse_symbol(b".klp.sym.vmlinux.printk,").is_none());
        assert!(parse_symbol(b".klp.sym.vmlinux.printk,x").is_none());
        assert!(parse_symbol(b".klp.sym.vmlinux.printk,1x").is_none());
        assert!(parse_symbol(b".klp.sym.vmlinux.,0").is_none());
        assert!(parse_symbol(b".klp.sym..printk,0").is_none());
        assert!(parse_symbol(b"printk").is_none());
    }

    #[test]
    fn hyphens() {
        assert!(same_object(b"dm-mod", b"dm_mod"));
        assert!(same_object(b"dm_mod", b"dm-mod"));
        assert!(!same_object(b"dm-mod", b"dm_mo"));
        assert!(!same_object(b"dm-mod", b"dm+mod"));
        assert!(!same_object(b"dm-mod", b"dm-mop"));
    }
}

#[kunit_tests(klp_model_states)]
mod states {
    use super::model::compatibility::{
        is_compatible,
        State, //
    };

    fn compatible(new: Option<u32>, old: Option<u32>, replace: bool) -> bool {
        let state = |version| State { id: 1, version };

        is_compatible(
            new.map(state).into_iter(),
            old.map(state).into_iter(),
            replace,
        )
    }

    #[test]
    fn versions() {
        assert!(compatible(Some(2), Some(2), true));
        assert!(compatible(Some(3), Some(2), true));
        assert!(!compatible(Some(1), Some(2), true));
        assert!(!compatible(Some(1), Some(2), false));
    }

    #[test]
    fn missing() {
        assert!(compatible(None, Some(2), false));
        assert!(!compatible(None, Some(2), true));
        assert!(compatible(Some(2), None, true));
    }

    #[test]
    fn several() {
        let (one, two) = (State { id: 1, version: 1 }, State { id: 2, version: 7 });
        let newer = State { id: 1, version: 2 };
        let fits = |new: &[State], old: &[State]| {
            is_compatible(new.iter().copied(), old.iter().copied(), true)
        };

        assert!(fits(&[two, one], &[one, two]));
        assert!(fits(&[two, newer], &[one, two]));
        assert!(!fits(&[two, one], &[two, newer]));
        assert!(!fits(&[two], &[two, one]));
    }
}

/// In which order the steps of a transition come. What tasks do between them is for the model
/// checker on the host.
#[kunit_tests(klp_model_protocol)]
mod protocol {
    use super::model::{
        phase::PatchState::{
            self,
            Patched,
            Unpatched, //
        },
        protocol::{
            self,
            Assumption,
            TransitionOps,
            Order,
            ModuleOps,
            Event,
            System,
            Task,
            Visit, //
        },
    };
    use core::cell::Cell;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Noted {
        TargetState(Option<PatchState>),
        PatchState(Option<PatchState>),
        Pend,
        Unpend,
        Barrier(Order),
        Flag(bool),
        Apply,
        PrepareToRevert,
        Ranges(PatchState),
        NoRanges,
        Hook(bool),
        Revert,
        RevertReplaced,
        Synchronize,
        SynchronizeTasks,
        Discard,
        RunPostCallbacks(PatchState),
        PinForced(PatchState),
        Event(Event),
        Expect(Assumption, bool),
    }
    use Noted::*;

    /// One task and one patch, and what was done to them.
    struct Bench {
        log: [Cell<Option<Noted>>; 32],
        target: Cell<Option<PatchState>>,
        side: Cell<Option<PatchState>>,
        pending: Cell<bool>,
        /// The stack of the task is safe.
        safe: Cell<bool>,
        offline: Cell<bool>,
        fails: Cell<bool>,
    }

    impl Bench {
        fn new() -> Self {
            Bench {
                log: [const { Cell::new(None) }; 32],
                target: Cell::new(None),
                side: Cell::new(None),
                pending: Cell::new(false),
                safe: Cell::new(false),
                offline: Cell::new(false),
                fails: Cell::new(false),
            }
        }

        /// In mid-transition towards `target`; the task has yet to move.
        fn moving(target: PatchState) -> Self {
            let bench = Bench::new();

            bench.target.set(Some(target));
            bench.patch_state.set(Some(target.opposite()));
            bench.pending.set(true);
            bench
        }

        fn note(&self, event: Noted) {
            if let Some(free) = self.log.iter().find(|place| place.get().is_none()) {
                free.set(Some(event));
            }
        }

        /// Was this done, and nothing else?
        fn did(&self, events: &[Noted]) -> bool {
            let log = self.log.iter().map_while(Cell::get);
            log.eq(events.iter().copied())
        }

        fn did_among_others(&self, event: Noted) -> bool {
            self.log.iter().any(|noted| noted.get() == Some(event))
        }

        fn ops(&self) -> Ops<'_> {
            Ops(self)
        }
    }

    impl Task for &Bench {
        fn patch_state(self) -> Option<PatchState> {
            self.patch_state.get()
        }

        fn set_patch_state(self, patch_state: Option<PatchState>) {
            self.note(PatchState(side));
            self.patch_state.set(side);
        }

        fn is_exiting(self) -> bool {
            false
        }

        fn is_pending(self) -> bool {
            self.pending.get()
        }

        fn set_pending(self) {
            self.note(Pend);
            self.pending.set(true);
        }

        fn clear_pending(self) {
            self.note(Unpend);
            self.pending.set(false);
        }

        fn take_pending(self) -> bool {
            self.pending.replace(false)
        }
    }

    impl<'a> System for &'a Bench {
        type Task = &'a Bench;

        fn target_state(self) -> Option<PatchState> {
            self.target.get()
        }

        fn set_target_state(self, target: Option<PatchState>) {
            self.note(Noted::TargetState(target));
            self.target.set(target);
        }

        fn barrier(self, order: Order) {
            self.note(Barrier(order));
        }

        fn preempt_disabled(self, f: impl FnOnce()) {
            f();
        }

        fn switch_if_safe(self, task: &'a Bench) -> bool {
            if self.safe.get() {
                protocol::switch(self, task);
            }
            self.safe.get()
        }
    }

    struct Ops<'a>(&'a Bench);

    impl<'a> TransitionOps for Ops<'a> {
        type System = &'a Bench;
        type Error = ();

        fn system(&self) -> &'a Bench {
            self.0
        }

        fn on_event(&mut self, stage: Event) {
            self.0.note(Event(stage));
        }

        fn expect(&self, assumption: Assumption, holds: bool) {
            self.0.note(Expect(assumption, holds));
        }

        fn each_task(&mut self, mut f: impl FnMut(&'a Bench)) {
            f(self.0);
        }

        fn each_task_in_batches(&mut self, mut f: impl FnMut(&'a Bench, bool) -> Visit) -> bool {
            f(self.0, self.0.offline.get());
            true
        }

        fn flag(&mut self, in_transition: bool) {
            self.0.note(Flag(in_transition));
        }

        fn apply(&mut self) -> Result<(), ()> {
            self.0.note(Apply);
            if self.0.fails.get() {
                return Err(());
            }
            Ok(())
        }

        fn prepare_to_revert(&mut self) {
            self.0.note(PrepareToRevert);
        }

        fn publish_ranges(&mut self, target: PatchState) {
            self.0.note(Ranges(target));
        }

        fn withdraw_ranges(&mut self) {
            self.0.note(NoRanges);
        }

        fn hook_scheduler(&mut self, hooked: bool) {
            self.0.note(Hook(hooked));
        }

        fn revert(&mut self) {
            self.0.note(Revert);
        }

        fn revert_replaced(&mut self) {
            self.0.note(RevertReplaced);
        }

        fn synchronize(&mut self) {
            self.0.note(Synchronize);
        }

        fn synchronize_tasks(&mut self) {
            self.0.note(SynchronizeTasks);
        }

        fn discard(&mut self) {
            self.0.note(Discard);
        }

        fn run_post_callbacks(&mut self, target: PatchState) {
            self.0.note(RunPostCallbacks(target));
        }

        fn pin_forced(&mut self, target: PatchState) {
            self.0.note(PinForced(target));
        }
    }

    impl ModuleOps for Ops<'_> {
        type Error = ();

        fn apply(&mut self) -> Result<(), ()> {
            TransitionOps::apply(self)
        }

        fn revert(&mut self) {
            TransitionOps::revert(self);
        }

        fn refresh_ranges(&mut self) -> Result<(), ()> {
            self.0.note(Ranges(Patched));
            Ok(())
        }

        fn synchronize(&mut self) {
            TransitionOps::synchronize(self);
        }

        fn synchronize_tasks(&mut self) {
            TransitionOps::synchronize_tasks(self);
        }
    }

    #[test]
    fn enable() {
        let bench = Bench::new();

        assert!(protocol::enable(&mut bench.ops()).is_ok());
        assert!(bench.did(&[
            Event(Event::Initializing(Patched)),
            Noted::TargetState(Some(Patched)),
            PatchState(Some(Unpatched)),
            Expect(Assumption::NoPatchState, true),
            Barrier(Order::StatesThenFlags),
            Flag(true),
            Barrier(Order::FlagsThenStacks),
            Apply,
            Ranges(Patched),
            Event(Event::Starting(Patched)),
            Barrier(Order::TargetThenPending),
            Pend,
            Hook(true),
        ]));
    }

    #[test]
    fn enable_fails() {
        let bench = Bench::new();

        bench.fails.set(true);
        assert!(protocol::enable(&mut bench.ops()).is_err());
        assert!(bench.did(&[
            Event(Event::Initializing(Patched)),
            Noted::TargetState(Some(Patched)),
            PatchState(Some(Unpatched)),
            Expect(Assumption::NoPatchState, true),
            Barrier(Order::StatesThenFlags),
            Flag(true),
            Barrier(Order::FlagsThenStacks),
            Apply,
            Event(Event::Canceling),
            Noted::TargetState(Some(Unpatched)),
            Event(Event::Completing(Unpatched)),
            NoRanges,
            Revert,
            Synchronize,
            Flag(false),
            SynchronizeTasks,
            Discard,
            PatchState(None),
            Expect(Assumption::NonePending, true),
            RunPostCallbacks(Unpatched),
            Event(Event::Complete(Unpatched)),
            Noted::TargetState(None),
        ]));
    }

    #[test]
    fn disable() {
        let bench = Bench::new();

        protocol::disable(&mut bench.ops());
        assert!(bench.did(&[
            Event(Event::Initializing(Unpatched)),
            Noted::TargetState(Some(Unpatched)),
            PatchState(Some(Patched)),
            Expect(Assumption::NoPatchState, true),
            Barrier(Order::StatesThenFlags),
            Flag(true),
            PrepareToRevert,
            Ranges(Unpatched),
            Event(Event::Starting(Unpatched)),
            Barrier(Order::TargetThenPending),
            Pend,
            Hook(true),
        ]));
    }

    #[test]
    fn task_with_side_before() {
        let bench = Bench::moving(Patched);

        protocol::disable(&mut bench.ops());
        assert!(bench.did_among_others(Expect(Assumption::NoPatchState, false)));
    }

    #[test]
    fn reverse() {
        let bench = Bench::moving(Patched);

        protocol::reverse(&mut bench.ops(), Patched);
        // The task is where it goes back to.
        assert!(bench.did(&[
            Event(Event::Reversing(Patched)),
            Unpend,
            Synchronize,
            Event(Event::Reversed(Unpatched)),
            Noted::TargetState(Some(Unpatched)),
            Ranges(Unpatched),
            Event(Event::Starting(Unpatched)),
            Barrier(Order::TargetThenPending),
            Hook(true),
        ]));
    }

    #[test]
    fn finish() {
        let bench = Bench::new();

        bench.patch_state.set(Some(Patched));
        protocol::finish(&mut bench.ops(), Patched);
        assert!(bench.did(&[
            Hook(false),
            Event(Event::Completing(Patched)),
            NoRanges,
            RevertReplaced,
            Flag(false),
            Synchronize,
            Discard,
            PatchState(None),
            Expect(Assumption::NonePending, true),
            RunPostCallbacks(Patched),
            Event(Event::Complete(Patched)),
            Noted::TargetState(None),
        ]));
    }

    #[test]
    fn pending_task_in_the_end() {
        let bench = Bench::moving(Patched);

        protocol::finish(&mut bench.ops(), Patched);
        assert!(bench.did_among_others(Expect(Assumption::NonePending, false)));
    }

    #[test]
    fn advance() {
        let bench = Bench::moving(Patched);

        assert!(!protocol::advance(&mut bench.ops(), Patched));
        assert!(bench.did(&[]));

        bench.safe.set(true);
        assert!(protocol::advance(&mut bench.ops(), Patched));
        assert!(protocol::advance(&mut bench.ops(), Patched));
        assert!(bench.did(&[Unpend, PatchState(Some(Patched))]));
    }

    #[test]
    fn advance_offline() {
        let bench = Bench::moving(Unpatched);

        bench.offline.set(true);
        assert!(protocol::advance(&mut bench.ops(), Unpatched));
        assert!(bench.did(&[Unpend, PatchState(Some(Unpatched))]));
    }

    #[test]
    fn force() {
        let bench = Bench::moving(Unpatched);

        protocol::force(&mut bench.ops(), Unpatched);
        assert!(bench.did(&[PatchState(Some(Unpatched)), PinForced(Unpatched)]));
        assert!(!bench.pending.get());
    }

    #[test]
    fn update() {
        let bench = Bench::moving(Patched);

        protocol::update(&bench, &bench);
        protocol::update(&bench, &bench);
        assert!(bench.did(&[PatchState(Some(Patched))]));
    }

    #[test]
    fn schedule() {
        let bench = Bench::moving(Patched);

        protocol::schedule(&bench, &bench);
        bench.safe.set(true);
        protocol::schedule(&bench, &bench);
        protocol::schedule(&bench, &bench);
        assert!(bench.did(&[
            Barrier(Order::SchedPending),
            Barrier(Order::SchedPending),
            Unpend,
            PatchState(Some(Patched)),
        ]));
    }

    #[test]
    fn inherit() {
        let (parent, child) = (Bench::moving(Patched), Bench::new());

        protocol::inherit(&parent, &child);
        assert!(child.did(&[Pend, PatchState(Some(Unpatched))]));

        // The parent has moved since its flag was copied.
        let (parent, child) = (Bench::new(), Bench::new());
        parent.patch_state.set(Some(Patched));
        child.pending.set(true);

        protocol::inherit(&parent, &child);
        assert!(child.did(&[Unpend, PatchState(Some(Patched))]));
    }

    #[test]
    fn coming() {
        let bench = Bench::new();

        assert!(protocol::coming(&mut bench.ops()).is_ok());
        assert!(bench.did(&[Apply, Ranges(Patched), Synchronize]));
    }

    #[test]
    fn coming_fails() {
        let bench = Bench::new();

        bench.fails.set(true);
        assert!(protocol::coming(&mut bench.ops()).is_err());
        assert!(bench.did(&[Apply, Revert, Synchronize]));
    }

    #[test]
    fn going() {
        let bench = Bench::new();

        protocol::going(&mut bench.ops());
        assert!(bench.did(&[Revert, Ranges(Patched), Synchronize, SynchronizeTasks]));
    }
}
