// SPDX-License-Identifier: GPL-2.0

//! Atomic replace: which functions of the replaced patches need a nop in the patch that replaces
//! them?
//!
//! A function that an older patch changes and the new one does not has to run its original code
//! again. So the new patch gets a nop for each of them; afterwards its functions are those of all
//! patches together, each of them once.

use super::names;
use core::ffi::CStr;

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

/// Adds nops to `patch` for those functions of `old`, a patch to be replaced, that it lacks.
///
/// After an error, what was added before it stays.
pub(crate) fn add_nops<P: Replacing>(patch: &mut P, old: &impl Changes) -> Result<(), P::Error> {
    for (from, name) in old.objects().enumerate() {
        let own = patch.objects().position(|own| own == name);
        let object = match own {
            Some(object) => object,
            None => {
                patch.add_object(name)?;
                patch.objects().count().saturating_sub(1)
            }
        };

        for func in old.funcs(from) {
            if !patch.funcs(object).any(|own| is_same(own, func)) {
                patch.add_nop(object, func)?;
            }
        }
    }
    Ok(())
}

fn is_same(a: FuncName<'_>, b: FuncName<'_>) -> bool {
    names::same_function((a.0.to_bytes(), a.1), (b.0.to_bytes(), b.1))
}
