// SPDX-License-Identifier: GPL-2.0

//! Which functions need a nop in a patch that replaces others?

use crate::model::{
    duplicates::find_firsts,
    replace::{
        add_nops,
        changes,
        Changes,
        FuncName,
        Replacing, //
    },
};
use proptest::prelude::*;
use std::{
    cell::Cell,
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    convert::Infallible,
    ffi::{
        CStr,
        CString, //
    },
    ops::Range,
};

type Func = (CString, usize);

/// A patch: its objects, and for each the functions with a replacement and those with a nop.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Patch {
    objects: Vec<(Option<CString>, Vec<Func>, Vec<Func>)>,
}

impl Patch {
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
    type Error = Infallible;

    fn add_object(&mut self, name: Option<&CStr>) -> Result<(), Infallible> {
        self.objects.push((name.map(CString::from), vec![], vec![]));
        Ok(())
    }

    fn add_nop(&mut self, object: usize, (func, sympos): FuncName<'_>) -> Result<(), Infallible> {
        self.objects[object].2.push((func.into(), sympos));
        Ok(())
    }
}

/// The nops of `new` when it replaces `old`.
fn replacing<P: Replacing<Error = Infallible> + Clone>(new: &P, old: &[P]) -> P {
    let mut patch = new.clone();
    let changes = [new].into_iter().chain(old).flat_map(changes);
    let mut keys: Vec<_> = changes
        .enumerate()
        .map(|(place, change)| (change.key(), place))
        .collect();
    let mut firsts = vec![0; keys.len()];

    find_firsts(&mut keys, &mut firsts);
    assert_eq!(add_nops(&mut patch, old, &mut firsts), Ok(()));
    patch
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
        let patch = replacing(&new, &old);
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
        let once = replacing(&new, &[old.clone()]);

        prop_assert_eq!(replacing(&once, &[old]), once);
    }
}

/// A patch of vmlinux that counts how many of its functions were looked at.
#[derive(Clone)]
struct Counting<'a> {
    funcs: Vec<CString>,
    looked_at: &'a Cell<usize>,
}

impl<'a> Counting<'a> {
    /// The functions of these numbers.
    fn new(funcs: Range<usize>, looked_at: &'a Cell<usize>) -> Self {
        let name = |number| CString::new(format!("func{number}")).unwrap();

        Counting {
            funcs: funcs.map(name).collect(),
            looked_at,
        }
    }
}

impl Changes for Counting<'_> {
    fn objects(&self) -> impl Iterator<Item = Option<&CStr>> {
        [None].into_iter()
    }

    fn funcs(&self, _object: usize) -> impl Iterator<Item = FuncName<'_>> {
        self.funcs.iter().map(|func| {
            self.looked_at.set(self.looked_at.get() + 1);
            (&**func, 0)
        })
    }
}

impl Replacing for Counting<'_> {
    type Error = Infallible;

    fn add_object(&mut self, _name: Option<&CStr>) -> Result<(), Infallible> {
        unreachable!()
    }

    fn add_nop(&mut self, _object: usize, (func, _): FuncName<'_>) -> Result<(), Infallible> {
        self.funcs.push(func.into());
        Ok(())
    }
}

/// Each function is looked at a number of times that does not depend on how many there are.
#[test]
fn not_all_pairs_are_compared() {
    for count in [1000, 2000] {
        let looked_at = Cell::new(0);
        let new = Counting::new(0..count, &looked_at);
        let old = [
            Counting::new(count / 2..count + count / 2, &looked_at),
            Counting::new(count..2 * count, &looked_at),
        ];

        assert_eq!(replacing(&new, &old).funcs.len(), 2 * count);
        assert_eq!(looked_at.get(), 2 * 3 * count);
    }
}
