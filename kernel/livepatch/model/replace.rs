// SPDX-License-Identifier: GPL-2.0

//! Atomic replace: which functions of the replaced patches need a nop in the patch that replaces
//! them?
//!
//! A function that an older patch changes and the new one does not has to run its original code
//! again. So the new patch gets a nop for each of them; afterwards its functions are those of all
//! patches together, each of them once.

use super::names;
use core::{
    ffi::CStr,
    iter, //
};

/// A function as a descriptor names it: its name and its symbol position.
pub(crate) type FuncName<'a> = (&'a CStr, usize);

/// What a patch changes.
pub(crate) trait Changes {
    /// The names of its objects; `None` is vmlinux.
    fn objects(&self) -> impl Iterator<Item = Option<&CStr>>;

    /// The functions that it changes in the object at `object`, nops included.
    fn funcs(&self, object: usize) -> impl Iterator<Item = FuncName<'_>>;
}

/// A patch that replaces others.
pub(crate) trait Replacing: Changes {
    type Error;

    /// Adds an object after the others, without functions.
    fn add_object(&mut self, name: Option<&CStr>) -> Result<(), Self::Error>;

    /// Adds a nop to the object at `object`.
    fn add_nop(&mut self, object: usize, func: FuncName<'_>) -> Result<(), Self::Error>;
}

/// One of the things that a patch changes: an object, or a function of the one before it.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    object: Option<&'a CStr>,
    /// `None` for the object itself.
    func: Option<FuncName<'a>>,
}

/// What is equal if two patches change the same.
pub(crate) type Key<'a> = (Option<&'a CStr>, Option<FuncName<'a>>);

impl<'a> Change<'a> {
    pub(crate) fn key(self) -> Key<'a> {
        let func = self
            .func
            .map(|(name, sympos)| names::func_key(name, sympos));

        (self.object, func)
    }
}

/// All that `patch` changes, each object before its functions.
pub(crate) fn changes<'a>(patch: &'a impl Changes) -> impl Iterator<Item = Change<'a>> {
    patch.objects().enumerate().flat_map(|(at, object)| {
        let funcs = patch.funcs(at).map(Some);

        iter::once(None)
            .chain(funcs)
            .map(move |func| Change { object, func })
    })
}

/// Adds nops to `patch` for those functions of `old`, the patches to be replaced, that it lacks.
///
/// `firsts` is what [`find_firsts`] has found for the changes of `patch` and then those of `old`.
/// After an error, what was added before it stays.
///
/// [`find_firsts`]: super::duplicates::find_firsts
pub(crate) fn add_nops<P: Replacing>(
    patch: &mut P,
    old: &[impl Changes],
    firsts: &mut [usize],
) -> Result<(), P::Error> {
    let mut objects = 0;
    let mut place = 0;

    // From here on, the place of the first object of a name says where it is in `patch`.
    for change in changes(patch) {
        if change.func.is_none() {
            set(firsts, place, objects);
            objects += 1;
        }
        place += 1;
    }

    let mut object = 0;
    for change in old.iter().flat_map(changes) {
        let first = get(firsts, place);

        match change.func {
            None => {
                if first == place {
                    patch.add_object(change.object)?;
                    set(firsts, place, objects);
                    objects += 1;
                }
                object = get(firsts, first);
            }
            Some(func) if first == place => patch.add_nop(object, func)?,
            Some(_) => {}
        }
        place += 1;
    }
    Ok(())
}

fn get(firsts: &[usize], place: usize) -> usize {
    firsts.get(place).copied().unwrap_or(place)
}

fn set(firsts: &mut [usize], place: usize, object: usize) {
    if let Some(entry) = firsts.get_mut(place) {
        *entry = object;
    }
}
