// SPDX-License-Identifier: GPL-2.0

//! Atomic replace: the nops of a patch, and how it takes those off that it replaces.

use super::{
    func::Func,
    object::Object,
    Patch, //
};
use crate::{
    func_stacks::FuncStacks,
    model::{
        duplicates,
        phase::Phase,
        replace::{
            self,
            Changes,
            FuncName,
            Replacing, //
        },
    },
};
use kernel::prelude::*;

impl Changes for Patch {
    fn objects(&self) -> impl Iterator<Item = Option<&CStr>> {
        self.objects.iter().map(Object::name)
    }

    fn funcs(&self, object: usize) -> impl Iterator<Item = FuncName<'_>> {
        let object = self.objects.get(object).into_iter();

        object
            .flat_map(Object::funcs)
            .map(|func| (&*func.name, func.sympos))
    }
}

impl Replacing for Patch {
    type Error = Error;

    fn add_object(&mut self, name: Option<&CStr>) -> Result {
        Ok(self.objects.push(Object::for_nops(name)?, GFP_KERNEL)?)
    }

    fn add_nop(&mut self, object: usize, (name, sympos): FuncName<'_>) -> Result {
        let object = self.objects.get_mut(object).ok_or(EINVAL)?;

        object.push(Func::nop(name, sympos)?)
    }
}

impl Patch {
    /// Adds nops for those functions of `replaced` that the patch lacks, if it replaces others.
    ///
    /// After an error, what was added before it stays until [`Patch::discard_nops`].
    pub(crate) fn add_nops(&mut self, replaced: &[Patch]) -> Result {
        if !self.replaces() || replaced.is_empty() {
            return Ok(());
        }
        let mut firsts = self.first_changes(replaced)?;

        replace::add_nops(self, replaced, &mut firsts)
    }

    /// Finds out which changes of this patch, and then of `replaced`, are there for the first time.
    fn first_changes(&self, replaced: &[Patch]) -> Result<KVVec<usize>> {
        let changes = || Iterator::chain([self].into_iter(), replaced).flat_map(replace::changes);
        let count = changes().count();

        let mut keys = KVVec::with_capacity(count, GFP_KERNEL)?;
        for (place, change) in changes().enumerate() {
            keys.push((change.key(), place), GFP_KERNEL)?;
        }
        let mut firsts = KVVec::from_elem(0, count, GFP_KERNEL)?;
        duplicates::find_firsts(&mut keys, &mut firsts);
        Ok(firsts)
    }

    /// Takes off all functions of the patches `replaced`, and the nops that stood for them, in one
    /// batch. As for [`Patch::revert`].
    pub(crate) fn revert_replaced(&mut self, replaced: &mut [Patch], stacks: &mut FuncStacks) {
        // The newest first, which is next to the top of each stack.
        for old in replaced.iter().rev() {
            stacks.take_off(old.patched_sites());
        }
        // The nops come last: without them, a task would find the functions below.
        let patched = self.objects.iter().filter(|object| object.is_patched());
        stacks.take_off(patched.flat_map(Object::nop_sites));
        stacks.detach_unused();

        for old in replaced {
            old.set_unpatched(|_| true);
            old.objects.iter().for_each(Object::skip_post_unpatch);
            old.set_phase(Phase::Disabled);
            old.publish_enabled();
        }
        self.set_unpatched(Object::is_for_nops);
    }

    /// Frees the nops, which are on no stack any more. After `synchronize`.
    pub(crate) fn discard_nops(&mut self) {
        self.objects.iter_mut().for_each(Object::discard_nops);
        self.objects.retain(|object| !object.is_for_nops());
    }
}
