// SPDX-License-Identifier: GPL-2.0

//! An object, vmlinux or a module, and what a patch replaces in it.

use super::{
    callbacks,
    func::Func,
    owner::PatchModule,
    status::ObjectStatus, //
};
use crate::{
    descriptor::ObjectDescriptor,
    fault::{
        self,
        Point, //
    },
    func_stacks::{
        FuncStacks,
        Site, //
    },
    kobject::Directory,
    model::names,
    reloc::{
        self,
        Relocations, //
    },
    report, shim,
    symbols::{
        self,
        Wanted, //
    },
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings,
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// An object, vmlinux or a module, and what a patch replaces in it.
pub(crate) struct Object {
    /// `None` for vmlinux.
    name: Option<CString>,
    /// The descriptor, for callbacks. `None` for an object that the patch only has nops for.
    descriptor: Option<ObjectDescriptor>,
    funcs: KVVec<Func>,
    /// Discarded when the patches are gone that this one replaces.
    nops: KVVec<Func>,
    /// Whether the object is in memory and its functions are located. It is patched only if it is.
    loaded: bool,
    status: Arc<ObjectStatus>,
    directory: Directory<Arc<ObjectStatus>>,
}

impl Object {
    /// Makes an object without functions, of the descriptor in the patch module.
    pub(super) fn new(descriptor: ObjectDescriptor) -> Result<Self> {
        Self::with(descriptor.name(), Some(descriptor))
    }

    /// Makes an object for nops; `name` is `None` for vmlinux.
    pub(super) fn for_nops(name: Option<&CStr>) -> Result<Self> {
        Self::with(name, None)
    }

    fn with(name: Option<&CStr>, descriptor: Option<ObjectDescriptor>) -> Result<Self> {
        let status = Arc::new(ObjectStatus::new(), GFP_KERNEL)?;

        Ok(Object {
            name: name.map(CString::try_from).transpose()?,
            descriptor,
            funcs: KVVec::new(),
            nops: KVVec::new(),
            loaded: false,
            directory: Directory::new(status.clone())?,
            status,
        })
    }

    /// Adds a function that the patch replaces, or a nop. Not while the object is patched: the
    /// versions that are on stacks must not move.
    pub(super) fn push(&mut self, func: Func) -> Result {
        if self.is_patched() {
            return Err(EBUSY);
        }
        let list = if func.is_nop() {
            &mut self.nops
        } else {
            &mut self.funcs
        };
        Ok(list.push(func, GFP_KERNEL)?)
    }

    pub(crate) fn funcs(&self) -> impl Iterator<Item = &Func> + Clone {
        Iterator::chain(self.funcs.iter(), &self.nops)
    }

    fn funcs_mut(&mut self) -> impl Iterator<Item = &mut Func> {
        Iterator::chain(self.funcs.iter_mut(), &mut self.nops)
    }

    pub(super) fn name(&self) -> Option<&CStr> {
        self.name.as_deref()
    }

    /// The name in sysfs and in messages.
    pub(crate) fn label(&self) -> &CStr {
        names::object_label(self.name())
    }

    /// Is the function `name` at `sympos` among those of the object?
    pub(super) fn has(&self, name: &CStr, sympos: usize) -> bool {
        self.funcs().any(|func| func.is(name, sympos))
    }

    /// Is this the object for the module `name`?
    pub(super) fn is_module(&self, name: &CStr) -> bool {
        self.name() == Some(name)
    }

    /// Is there nothing in it but nops?
    pub(super) fn is_for_nops(&self) -> bool {
        self.descriptor.is_none()
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Whether the versions of the object's functions are on their stacks.
    pub(crate) fn is_patched(&self) -> bool {
        self.status.is_patched()
    }

    pub(super) fn set_patched(&mut self, patched: bool) {
        self.status.set_patched(patched);
        if let Some(descriptor) = self.descriptor {
            descriptor.set_patched(patched);
        }
    }

    fn set_module(&mut self, module: *mut bindings::module) {
        if let Some(descriptor) = self.descriptor {
            descriptor.set_module(module);
        }
    }

    /// Locates the functions that are not located yet, and applies the relocations of the patch
    /// module `patch` that refer to the object, if the object is in memory.
    ///
    /// May sleep. Errors are reported, and undone. What was located before stays, except that a nop
    /// may be left not located.
    pub(super) fn load(&mut self, patch: &PatchModule) -> Result {
        if self.loaded {
            return self.locate(patch, None);
        }
        let module = self.find_module();
        if module.is_none() && self.name().is_some() {
            return Ok(());
        }
        self.set_module(module.map_or(ptr::null_mut(), NonNull::as_ptr));
        self.resolve(patch)
            .inspect_err(|_| self.set_module(ptr::null_mut()))?;
        self.loaded = true;
        Ok(())
    }

    /// The module that the object is, if it is in memory; `None` for vmlinux.
    fn find_module(&self) -> Option<NonNull<bindings::module>> {
        NonNull::new(shim::find_module(self.name()?))
    }

    fn resolve(&mut self, patch: &PatchModule) -> Result {
        let relocations = match self.name() {
            Some(name) => Some(Relocations::collect(patch.elf(), name)?),
            // Those were applied when the patch module was loaded.
            None => None,
        };
        self.locate(patch, relocations)
    }

    /// Applies `relocations`, and learns where those functions are that are not located yet.
    fn locate(&mut self, patch: &PatchModule, relocations: Option<Relocations<'_>>) -> Result {
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

        for (func, &address) in self
            .funcs_mut()
            .filter(|func| !func.is_located())
            .zip(addresses)
        {
            let Some(address) = address else {
                func.set_gone();
                continue;
            };
            // SAFETY: The module was found under `klp_mutex`, which keeps it in memory.
            if module.is_some_and(|module| unsafe { shim::is_freed_init_text(module, address) }) {
                // As will be said in a moment, when its symbol has gone, too.
                pr_err!("symbol '{}' not found in symbol table\n", &*func.name);
                return Err(EINVAL);
            }
            func.locate(address)?;
        }
        self.drop_aliases()
    }

    /// What has one address is one function, whatever it is called. A nop gives way to a
    /// replacement, or to another nop; two replacements of one function are refused.
    fn drop_aliases(&mut self) -> Result {
        let mut by_address = KVVec::with_capacity(self.funcs().count(), GFP_KERNEL)?;
        for (at, func) in self.funcs().enumerate() {
            let address = func.old_func().map(|code| code.start);
            by_address.push((address, at), GFP_KERNEL)?;
        }
        // Of each address, what comes first in `funcs()` is first: a replacement before the nops.
        by_address.sort_unstable();

        let mut dropped = KVVec::from_elem(false, self.nops.len(), GFP_KERNEL)?;
        for same in by_address.chunk_by(|a, b| a.0.is_some() && a.0 == b.0) {
            for &(_, at) in same.iter().skip(1) {
                let nop = at.checked_sub(self.funcs.len());
                let Some(dropped) = nop.and_then(|nop| dropped.get_mut(nop)) else {
                    self.report_aliases(same);
                    // Not -EEXIST, by which the module loader says that a module is there already.
                    return Err(EINVAL);
                };
                *dropped = true;
            }
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

    fn report_aliases(&self, same: &[(Option<usize>, usize)]) {
        let mut names = same.iter().filter_map(|&(_, at)| self.funcs.get(at));

        if let (Some(one), Some(other)) = (names.next(), names.next()) {
            pr_err!(
                "object '{}': '{}' and '{}' are the same function\n",
                self.label(),
                &*one.name,
                &*other.name
            );
        }
    }

    /// Gives up the functions in the init section of `module`, which the object is. `patch` is the
    /// name of the patch. May sleep.
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
    ) {
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
        for func in self.funcs_mut().filter(|func| is_init(func)) {
            func.set_gone();
        }
    }

    /// Undoes [`Object::resolve`].
    fn forget(&mut self, patch: &PatchModule) {
        self.funcs_mut().for_each(Func::forget);
        if let Some(name) = self.name() {
            reloc::clear(patch.elf(), name);
        }
    }

    /// Undoes [`Object::load`]: the module goes away, or the patch does. Not while it is patched.
    pub(super) fn unload(&mut self, patch: &PatchModule) {
        self.forget(patch);
        self.loaded = false;
        self.set_module(ptr::null_mut());
    }

    /// Applies the functions of a loaded object: from here on the handler sees them.
    ///
    /// All or nothing. Errors are reported. May sleep.
    pub(crate) fn apply(&mut self, func_stacks: &mut FuncStacks) -> Result {
        if self.is_patched() {
            // Nobody applies an object twice.
            return Err(EBUSY);
        }
        self.funcs_mut().try_for_each(Func::find_call_site)?;

        let mut sites = KVVec::with_capacity(self.funcs().count(), GFP_KERNEL)?;
        for site in self.sites() {
            sites.push(site, GFP_KERNEL)?;
        }

        // SAFETY: The versions are on no stack: they get there only here, and the object is not
        // patched. They are kept in `funcs` and `nops`, whose elements do not move while it is, see
        // `push`, until the patch is freed or the nops are discarded; both happen after they were
        // taken off and after `synchronize`.
        unsafe { func_stacks.apply(&sites) }.map_err(|failed| {
            let of_ip = |func: &&Func| func.site().is_some_and(|site| Some(site.ip) == failed.ip);
            let func = self.funcs().find(of_ip);

            report::attach_failed(func.map(|func| &*func.name), &failed);
            failed.error
        })?;
        drop(sites);
        self.set_patched(true);
        Ok(())
    }

    /// Takes the functions off. The handler may see them until `synchronize` was called.
    pub(crate) fn revert(&mut self, func_stacks: &mut FuncStacks) {
        if self.is_patched() {
            func_stacks.remove(self.sites());
            self.set_patched(false);
        }
    }

    fn sites(&self) -> impl Iterator<Item = Site<'_>> + Clone {
        self.funcs().filter_map(Func::site)
    }

    /// Where the versions of the nops are.
    pub(super) fn nop_sites(&self) -> impl Iterator<Item = Site<'_>> {
        self.nops.iter().filter_map(Func::site)
    }

    /// Frees the nops, which are on no stack any more. After `synchronize`.
    pub(super) fn discard_nops(&mut self) {
        self.nops.iter_mut().for_each(Func::remove_from_sysfs);
        self.nops = KVVec::new();
        if self.is_for_nops() {
            self.directory.remove();
        }
    }

    /// Calls the callback before the functions are applied, which may refuse that.
    pub(crate) fn pre_patch(&self) -> Result {
        self.descriptor.map_or(Ok(()), callbacks::pre_patch)
    }

    /// Calls the callback after all tasks were moved to the patch.
    pub(crate) fn post_patch(&self) {
        self.descriptor.into_iter().for_each(callbacks::post_patch);
    }

    /// Calls the callback before tasks are moved away from the patch.
    pub(crate) fn pre_unpatch(&self) {
        self.descriptor.into_iter().for_each(callbacks::pre_unpatch);
    }

    /// Calls the callback after the functions were taken off.
    pub(crate) fn post_unpatch(&self) {
        self.descriptor
            .into_iter()
            .for_each(callbacks::post_unpatch);
    }

    /// There will be no [`Object::post_unpatch`] this time: the patch was replaced.
    pub(super) fn skip_post_unpatch(&self) {
        self.descriptor
            .into_iter()
            .for_each(callbacks::skip_post_unpatch);
    }

    /// Creates those of the directories that are not there yet.
    ///
    /// # Safety
    ///
    /// `parent` must be a kobject that is visible until [`Object::remove_from_sysfs`].
    pub(super) unsafe fn add_to_sysfs(&mut self, parent: *mut bindings::kobject) -> Result {
        fault::check(Point::ShowObject)?;
        // SAFETY: `parent` stays visible until the directory is removed, as the caller promises.
        unsafe {
            let label = names::object_label(self.name.as_deref());
            self.directory.add(parent, label, None)
        }?;

        let parent = self.directory.as_ptr();
        self.funcs_mut().try_for_each(|func| {
            // SAFETY: The directory of the object is visible now, and is removed after those of its
            // functions, in `remove_from_sysfs` and in `discard_nops`.
            unsafe { func.add_to_sysfs(parent) }
        })
    }

    pub(super) fn remove_from_sysfs(&mut self) {
        self.funcs_mut().for_each(Func::remove_from_sysfs);
        self.directory.remove();
    }
}
