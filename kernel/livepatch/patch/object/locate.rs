// SPDX-License-Identifier: GPL-2.0

//! Where the functions of an object are: found by name, the same if their addresses are, and gone
//! with the init section that they were in.

use super::Object;
use crate::{
    fault::{
        self,
        Point, //
    },
    func_stacks::FuncStacks,
    model::ip_table::{
        self,
        Slot, //
    },
    patch::{
        func::Func,
        owner::PatchModule, //
    },
    reloc::Relocations,
    shim,
    symbols::{
        self,
        Sizes,
        Wanted, //
    },
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*, //
};

impl Object {
    /// Applies `relocations`, and learns where those functions are that are not located yet.
    pub(super) fn locate(
        &mut self,
        patch: &PatchModule,
        relocations: Option<Relocations<'_>>,
    ) -> Result {
        let unknown = self.funcs().filter(|func| !func.is_located()).count();
        // A malformed relocation refers to nothing, and has to be reported.
        if unknown == 0 && relocations.is_none() {
            return Ok(());
        }
        let addresses = self.search(relocations.as_ref())?;
        let located = addresses.and_then(|addresses| self.set_locations(&addresses));

        located.inspect_err(|_| {
            if relocations.is_some() {
                self.forget(patch);
            }
        })
    }

    /// Looks up all that is wanted in one pass over the symbols, and applies the relocations.
    ///
    /// The outer error means that nothing has changed; with the inner one, the relocations are
    /// applied. Returns the addresses of the functions that are not located yet.
    fn search(
        &self,
        relocations: Option<&Relocations<'_>>,
    ) -> Result<Result<KVVec<Option<usize>>>> {
        let references = relocations.map_or(0, Relocations::len);
        let unknown = || self.funcs().filter(|func| !func.is_located());

        let mut wanted = KVVec::with_capacity(references + unknown().count(), GFP_KERNEL)?;
        for symbol in relocations.into_iter().flat_map(Relocations::wanted) {
            wanted.push(symbol, GFP_KERNEL)?;
        }
        for func in unknown() {
            wanted.push(func.wanted(self.name()), GFP_KERNEL)?;
        }
        symbols::search(&mut wanted)?;

        // The memory first: what follows the relocations has to undo them.
        let mut addresses = KVVec::with_capacity(unknown().count(), GFP_KERNEL)?;
        if let Some(relocations) = relocations {
            relocations.apply(wanted.iter())?;
        }
        let symbols = wanted.iter().skip(references);
        let found = unknown().zip(symbols).try_for_each(|(func, symbol)| {
            addresses.push(Self::resolved(func, symbol)?, GFP_KERNEL)?;
            Ok(())
        });
        Ok(found.map(|()| addresses))
    }

    /// The address that was found. `None` for a nop of a function that is gone: the replaced patch
    /// has found it when the init section of the module was there.
    fn resolved(func: &Func, symbol: &Wanted<'_>) -> Result<Option<usize>> {
        fault::check(Point::Resolve)?;
        if func.is_nop() && symbol.is_absent() {
            return Ok(None);
        }
        symbol.resolved().map(Some)
    }

    fn set_locations(&mut self, addresses: &[Option<usize>]) -> Result {
        let module = self.find_module();
        // SAFETY: The module was found under `klp_mutex`, which keeps it in memory.
        let sizes = unsafe { Sizes::measure(module, addresses.iter().flatten().copied()) }?;

        for (func, &address) in self
            .funcs_mut()
            .filter(|func| !func.is_located())
            .zip(addresses)
        {
            let is_gone = |&address: &usize| {
                // SAFETY: The module was found under `klp_mutex`, which keeps it in memory.
                module.is_some_and(|module| unsafe { shim::is_freed_init_text(module, address) })
            };
            match address.filter(|address| !is_gone(address)) {
                Some(address) => func.locate(address, sizes.get(address))?,
                None if func.is_nop() => func.set_gone(),
                None => {
                    // As will be said in a moment, when its symbol has gone, too.
                    pr_err!("symbol '{}' not found in symbol table\n", &*func.name);
                    return Err(EINVAL);
                }
            }
        }
        self.drop_aliases()
    }

    /// What has one address is one function, whatever it is called. A nop gives way to a
    /// replacement, or to another nop; two replacements of one function are refused.
    fn drop_aliases(&mut self) -> Result {
        let slots = ip_table::slots_for(self.funcs().count()).ok_or(ENOMEM)?;
        let mut by_address = KVVec::from_elem(Slot::free(0), slots, GFP_KERNEL)?;

        // Replacements come before nops in `funcs()`.
        let mut dropped = KVVec::from_elem(false, self.nops.len(), GFP_KERNEL)?;
        for (at, func) in self.funcs().enumerate() {
            let Some(code) = func.old_func() else {
                continue;
            };
            if ip_table::insert(&mut by_address, code.start, at) {
                continue;
            }
            if let Some(nop) = at.checked_sub(self.funcs.len()) {
                dropped
                    .get_mut(nop)
                    .into_iter()
                    .for_each(|dropped| *dropped = true);
                continue;
            }
            let first = ip_table::find(&by_address, code.start);
            if let Some(first) = first.and_then(|&first| self.funcs.get(first)) {
                pr_err!(
                    "object '{}': '{}' and '{}' are the same function\n",
                    self.label(),
                    &*first.name,
                    &*func.name
                );
            }
            // Not -EEXIST, by which the module loader says that a module is there already.
            return Err(EINVAL);
        }

        let mut dropped = dropped.iter();
        self.nops.retain(|nop| {
            let keep = dropped.next() != Some(&true);
            if !keep {
                nop.remove_from_sysfs();
            }
            keep
        });
        Ok(())
    }

    /// Gives up the functions in the init section of `module`, which the object is, and returns
    /// whether there were any. `patch` is the name of the patch. May sleep.
    ///
    /// Nobody runs them any more, nor their replacements, so that no task has to be waited for.
    ///
    /// # Safety
    ///
    /// `module` must be in memory, and not have freed its init section yet.
    pub(crate) unsafe fn leave_init_text(
        &mut self,
        module: NonNull<bindings::module>,
        patch: &CStr,
        func_stacks: &mut FuncStacks,
    ) -> bool {
        let is_init = |func: &Func| {
            func.old_func()
                // SAFETY: The module is in memory, as the caller promises.
                .is_some_and(|code| unsafe { shim::is_init_text(module, code.start) })
        };

        if self.is_patched() {
            let leaving = self.funcs().filter(|func| is_init(func));
            leaving.clone().for_each(|func| {
                pr_notice!(
                    "patch '{}': '{}' of '{}' is not patched any more: its init section goes\n",
                    patch,
                    &*func.name,
                    self.label()
                );
            });
            func_stacks.remove(leaving.filter_map(Func::site));
        }
        let leaving = self.funcs_mut().filter(|func| is_init(func));

        leaving.map(Func::set_gone).count() > 0
    }
}
