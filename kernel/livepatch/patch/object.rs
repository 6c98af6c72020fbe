// SPDX-License-Identifier: GPL-2.0

//! An object, vmlinux or a module, and what a patch replaces in it.

mod locate;

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
    report,
    shim, //
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
        self.funcs.iter().for_each(|func| func.set_patched(patched));
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

#[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
impl Object {
    /// Takes a function out, into an object of its own; `None` if it is the only one.
    pub(super) fn split(&mut self) -> Result<Option<Self>> {
        let mut other = Self::for_nops(self.name())?;

        if self.funcs.len() < 2 {
            return Ok(None);
        }
        if let Some(func) = self.funcs.pop() {
            other.push(func)?;
        }
        other.loaded = self.loaded;
        Ok(Some(other))
    }
}
