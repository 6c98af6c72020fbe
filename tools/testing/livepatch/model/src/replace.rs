// SPDX-License-Identifier: GPL-2.0

//! Which functions need a nop in a patch that replaces others?

use crate::model::replace::{
    add_nops,
    Changes,
    FuncName,
    Replacing, //
};
use proptest::prelude::*;
use std::{
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    ffi::{
        CStr,
        CString, //
    },
};

type Func = (CString, usize);

/// A patch: its objects, and for each the functions with a replacement and those with a nop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Patch {
    objects: Vec<(Option<CString>, Vec<Func>, Vec<Func>)>,
    /// How many more additions succeed; `None` for all.
    room: Option<usize>,
}

#[derive(Debug, PartialEq, Eq)]
struct NoMemory;

impl Patch {
    fn new(objects: &[(Option<&CStr>, &[(&CStr, usize)])]) -> Self {
        Patch {
            objects: objects
                .iter()
                .map(|(name, funcs)| {
                    let funcs = funcs.iter().map(|&(func, sympos)| (func.into(), sympos));

                    (name.map(CString::from), funcs.collect(), vec![])
                })
                .collect(),
            room: None,
        }
    }

    fn take_room(&mut self) -> Result<(), NoMemory> {
        if let Some(room) = &mut self.room {
            *room = room.checked_sub(1).ok_or(NoMemory)?;
        }
        Ok(())
    }

    fn nops(&self) -> Vec<(Option<&CStr>, &CStr, usize)> {
        self.objects
            .iter()
            .flat_map(|(name, _, nops)| {
                nops.iter()
                    .map(|(func, sympos)| (name.as_deref(), &**func, *sympos))
            })
            .collect()
    }

    /// What the patch changes as a set; positions 0 and 1 are the same.
    fn set(&self) -> BTreeMap<Option<CString>, BTreeSet<Func>> {
        let mut set = BTreeMap::<_, BTreeSet<_>>::new();

        for (name, funcs, nops) in &self.objects {
            set.entry(name.clone()).or_default().extend(
                funcs
                    .iter()
                    .chain(nops)
                    .map(|(func, sympos)| (func.clone(), (*sympos).max(1))),
            );
        }
        set
    }
}

impl Changes for Patch {
    fn objects(&self) -> impl Iterator<Item = Option<&CStr>> {
        self.objects.iter().map(|(name, ..)| name.as_deref())
    }

    fn funcs(&self, object: usize) -> impl Iterator<Item = FuncName<'_>> {
        let (_, funcs, nops) = &self.objects[object];

        funcs
            .iter()
            .chain(nops)
            .map(|(func, sympos)| (&**func, *sympos))
    }
}

impl Replacing for Patch {
    type Error = NoMemory;

    fn add_object(&mut self, name: Option<&CStr>) -> Result<(), NoMemory> {
        self.take_room()?;
        self.objects.push((name.map(CString::from), vec![], vec![]));
        Ok(())
    }

    fn add_nop(&mut self, object: usize, (func, sympos): FuncName<'_>) -> Result<(), NoMemory> {
        self.take_room()?;
        self.objects[object].2.push((func.into(), sympos));
        Ok(())
    }
}

/// The nops of `new` when it replaces `old`.
fn replacing(new: &Patch, old: &[&Patch]) -> Patch {
    let mut patch = new.clone();

    for old in old {
        assert_eq!(add_nops(&mut patch, *old), Ok(()));
    }
    patch
}

#[test]
fn nothing_to_replace() {
    let new = Patch::new(&[(None, &[(c"open", 0)])]);

    assert_eq!(replacing(&new, &[]), new);
    assert_eq!(replacing(&new, &[&Patch::default()]), new);
}

#[test]
fn same_functions() {
    let new = Patch::new(&[
        (None, &[(c"open", 0), (c"read", 2)]),
        (Some(c"ext4"), &[(c"sync", 1)]),
    ]);

    assert_eq!(replacing(&new, &[&new]), new);
}

#[test]
fn function_of_older_patch() {
    let new = Patch::new(&[(None, &[(c"open", 0)])]);
    let old = Patch::new(&[(None, &[(c"open", 0), (c"read", 3)])]);

    assert_eq!(replacing(&new, &[&old]).nops(), [(None, c"read", 3)]);
}

#[test]
fn position_zero_is_first() {
    let new = Patch::new(&[(None, &[(c"open", 0)])]);

    for (sympos, nops) in [(0, 0), (1, 0), (2, 1)] {
        let old = Patch::new(&[(None, &[(c"open", sympos)])]);

        assert_eq!(replacing(&new, &[&old]).nops().len(), nops);
    }
}

#[test]
fn object_of_older_patch() {
    let new = Patch::new(&[(None, &[(c"open", 0)])]);
    let old = Patch::new(&[
        (Some(c"ext4"), &[(c"open", 0)]),
        (Some(c"xfs"), &[(c"sync", 1)]),
    ]);
    let patch = replacing(&new, &[&old]);

    assert_eq!(
        patch.objects().collect::<Vec<_>>(),
        [None, Some(c"ext4"), Some(c"xfs")]
    );
    assert_eq!(
        patch.nops(),
        [(Some(c"ext4"), c"open", 0), (Some(c"xfs"), c"sync", 1)]
    );
}

/// An object is known by its name; a module that is called vmlinux is not the kernel.
#[test]
fn object_called_vmlinux() {
    let new = Patch::new(&[(Some(c"vmlinux"), &[(c"open", 0)])]);
    let old = Patch::new(&[(None, &[(c"open", 0)])]);

    assert_eq!(replacing(&new, &[&old]).nops(), [(None, c"open", 0)]);
}

/// What two older patches change gets one nop.
#[test]
fn several_older_patches() {
    let new = Patch::new(&[]);
    let one = Patch::new(&[(None, &[(c"open", 0), (c"read", 0)])]);
    let two = Patch::new(&[(None, &[(c"read", 1), (c"write", 0)])]);

    assert_eq!(
        replacing(&new, &[&one, &two]).nops(),
        [(None, c"open", 0), (None, c"read", 0), (None, c"write", 0)]
    );
}

/// The nops of an older patch that replaced others count as its functions.
#[test]
fn nops_of_older_patch() {
    let one = Patch::new(&[(None, &[(c"open", 0)])]);
    let two = replacing(&Patch::new(&[]), &[&one]);

    assert_eq!(
        replacing(&Patch::new(&[]), &[&two]).nops(),
        [(None, c"open", 0)]
    );
}

#[test]
fn errors() {
    let old = Patch::new(&[(Some(c"ext4"), &[(c"open", 0), (c"sync", 0)])]);

    for (room, objects, nops) in [(0, 0, 0), (1, 1, 0), (2, 1, 1)] {
        let mut patch = Patch {
            room: Some(room),
            ..Patch::default()
        };

        assert_eq!(add_nops(&mut patch, &old), Err(NoMemory));
        assert_eq!(patch.objects.len(), objects);
        assert_eq!(patch.nops().len(), nops);
    }
}

fn patch() -> impl Strategy<Value = Patch> {
    let funcs = || prop::collection::btree_set((0u8..3, 0usize..4), 0..5);

    prop::collection::btree_map(prop::option::of(0u8..3), funcs(), 0..4).prop_map(|objects| {
        let name = |prefix, n| CString::new(format!("{prefix}{n}")).unwrap();

        Patch {
            objects: objects
                .into_iter()
                .map(|(object, funcs)| {
                    // No patch has one function twice.
                    let funcs: BTreeMap<_, _> = funcs
                        .into_iter()
                        .map(|(func, sympos)| ((func, sympos.max(1)), sympos))
                        .collect();
                    let funcs = funcs
                        .into_iter()
                        .map(|((func, _), sympos)| (name("func", func), sympos))
                        .collect();

                    (object.map(|object| name("object", object)), funcs, vec![])
                })
                .collect(),
            room: None,
        }
    })
}

proptest! {
    /// The patch has its own functions as before, and with its nops those of all patches, each of
    /// them once.
    #[test]
    fn union_of_all_functions(
        new in patch(),
        old in prop::collection::vec(patch(), 0..4),
    ) {
        let patch = replacing(&new, &old.iter().collect::<Vec<_>>());
        let mut union = new.set();

        for old in &old {
            for (object, funcs) in old.set() {
                union.entry(object).or_default().extend(funcs);
            }
        }
        prop_assert_eq!(patch.set(), union);

        for (own, (object, funcs, nops)) in patch.objects.iter().enumerate() {
            match new.objects.get(own) {
                Some(before) => prop_assert_eq!((object, funcs), (&before.0, &before.1)),
                None => prop_assert!(funcs.is_empty()),
            }
            let mut seen = BTreeSet::new();
            for (func, sympos) in funcs.iter().chain(nops) {
                prop_assert!(seen.insert((func, (*sympos).max(1))));
            }
        }
        let names: BTreeSet<_> = patch.objects().collect();
        prop_assert_eq!(names.len(), patch.objects.len());
    }

    /// Nothing is left to do when it is done again.
    #[test]
    fn idempotent(new in patch(), old in patch()) {
        let once = replacing(&new, &[&old]);

        prop_assert_eq!(replacing(&once, &[&old]), once);
    }
}
