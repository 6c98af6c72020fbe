// SPDX-License-Identifier: GPL-2.0

//! What the core knows about a patch: its own copy of the descriptor, checked and resolved.
//!
//! The descriptor belongs to the patch module. It is read once, when the patch is made known. After
//! that only the fields are written that callbacks of the module may look at.

use crate::{
    model::{
        names,
        phase::Phase, //
    },
    ops::{
        Ops,
        Site,
        Version, //
    },
    report,
    symbols::{
        self,
        Wanted, //
    },
    sysfs::{
        Directory,
        FuncView,
        ObjectView,
        PatchView, //
    },
};
use core::{
    mem,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    str::CString,
    sync::aref::ARef,
    workqueue::{
        self,
        impl_has_work,
        new_work,
        Work,
        WorkItem, //
    },
};

/// Identifies a patch for as long as the system runs; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PatchId(pub(crate) u64);

/// A reference to a module, which keeps its code and data in memory.
pub(crate) struct ModuleRef(NonNull<bindings::module>);

// SAFETY: Module references may be taken and dropped by any thread.
unsafe impl Send for ModuleRef {}

impl ModuleRef {
    /// Takes a reference; `None` if the module is going.
    ///
    /// # Safety
    ///
    /// `module` must be valid.
    pub(crate) unsafe fn get(module: NonNull<bindings::module>) -> Option<Self> {
        // SAFETY: By the contract of this function.
        unsafe { bindings::klp_shim_module_get(module.as_ptr()) }.then_some(ModuleRef(module))
    }
}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: The reference was taken in `get`.
        unsafe { bindings::klp_shim_module_put(self.0.as_ptr()) };
    }
}

/// Where a function and its replacement are; known while the object is loaded.
#[derive(Clone, Copy)]
pub(crate) struct Location {
    pub(crate) old_func: usize,
    pub(crate) old_size: usize,
    /// The call site as ftrace knows it; `None` until the function is first applied.
    ip: Option<usize>,
}

/// A function that a patch replaces.
pub(crate) struct Func {
    pub(crate) name: CString,
    sympos: usize,
    version: Version,
    location: Option<Location>,
    directory: ARef<Directory<FuncView>>,
}

impl Func {
    /// Makes a function that is not resolved yet. `new_func` is the address of the replacement.
    pub(crate) fn new(name: &CStr, sympos: usize, new_func: usize) -> Result<Self> {
        Ok(Func {
            name: CString::try_from(name)?,
            sympos,
            version: Version::new(new_func),
            location: None,
            directory: Directory::new(FuncView)?,
        })
    }

    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    pub(crate) fn location(&self) -> Option<&Location> {
        self.location.as_ref()
    }

    /// Where the version goes on a stack; `None` before the function was first applied.
    pub(crate) fn site(&self) -> Option<Site<'_>> {
        Some(Site {
            ip: self.location?.ip?,
            version: &self.version,
        })
    }

    pub(crate) fn sympos(&self) -> usize {
        self.sympos
    }

    /// Asks ftrace for the call site of the resolved function.
    fn find_call_site(&mut self) -> Result {
        let location = self.location.as_mut().ok_or(EINVAL)?;

        // SAFETY: Any address may be asked for.
        match unsafe { bindings::ftrace_location(location.old_func) } {
            0 => {
                pr_err!("failed to find location for function '{}'\n", &*self.name);
                Err(EINVAL)
            }
            ip => {
                location.ip = Some(ip);
                Ok(())
            }
        }
    }
}

/// An object, vmlinux or a module, and what a patch replaces in it.
pub(crate) struct Object {
    /// `None` for vmlinux.
    name: Option<CString>,
    /// The descriptor, for callbacks. Valid while the patch holds its module.
    descriptor: NonNull<bindings::klp_object>,
    pub(crate) funcs: KVVec<Func>,
    /// Whether the object is in memory and its functions are resolved.
    loaded: bool,
    directory: ARef<Directory<ObjectView>>,
}

// SAFETY: The descriptor is only used under `klp_mutex`.
unsafe impl Send for Object {}

impl Object {
    /// Makes an object without functions; `name` is `None` for vmlinux.
    ///
    /// # Safety
    ///
    /// `descriptor` must stay valid while a reference to the patch module is held, and the object
    /// must be used only under `klp_mutex` and while that is so.
    pub(crate) unsafe fn new(
        name: Option<&CStr>,
        descriptor: NonNull<bindings::klp_object>,
    ) -> Result<Self> {
        Ok(Object {
            name: name.map(CString::try_from).transpose()?,
            descriptor,
            funcs: KVVec::new(),
            loaded: false,
            directory: Directory::new(ObjectView::new())?,
        })
    }

    fn name(&self) -> Option<&CStr> {
        self.name.as_deref()
    }

    /// The name in sysfs and in messages.
    pub(crate) fn label(&self) -> &CStr {
        names::object_label(self.name())
    }

    /// Is the function `name` at `sympos` among those of the object?
    pub(crate) fn has(&self, name: &CStr, sympos: usize) -> bool {
        self.funcs.iter().any(|func| {
            names::same_function(
                (func.name.to_bytes(), func.sympos),
                (name.to_bytes(), sympos),
            )
        })
    }

    /// Is this the object for the module `name`?
    pub(crate) fn is_module(&self, name: &CStr) -> bool {
        self.name() == Some(name)
    }

    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Whether the versions of the object's functions are on their stacks.
    pub(crate) fn is_patched(&self) -> bool {
        self.directory.view().is_patched()
    }

    fn set_patched(&self, patched: bool) {
        self.directory.view().set_patched(patched);
        // SAFETY: The descriptor is valid by the contract of `new`. C callbacks read the field.
        unsafe { (*self.descriptor.as_ptr()).patched = patched };
    }

    fn set_module(&mut self, module: *mut bindings::module) {
        // SAFETY: As in `set_patched`.
        unsafe { (*self.descriptor.as_ptr()).mod_ = module };
    }

    /// Resolves the functions if the object is in memory. Returns whether it is.
    ///
    /// May sleep. Errors are reported.
    pub(crate) fn load(&mut self) -> Result<bool> {
        let mut module = ptr::null_mut();

        if let Some(name) = self.name() {
            // SAFETY: `name` is a valid string. The module cannot go away before
            // `klp_module_going` has told us, which needs `klp_mutex`.
            module = unsafe { bindings::klp_shim_find_module(name.as_char_ptr()) };
            if module.is_null() {
                return Ok(false);
            }
        }
        self.set_module(module);
        self.resolve()?;
        self.loaded = true;
        Ok(true)
    }

    fn resolve(&mut self) -> Result {
        let mut wanted = KVVec::with_capacity(self.funcs.len(), GFP_KERNEL)?;
        for func in &self.funcs {
            wanted.push(Wanted::new(&func.name, func.sympos), GFP_KERNEL)?;
        }
        symbols::search(self.name(), &mut wanted)?;

        let mut locations = KVVec::with_capacity(self.funcs.len(), GFP_KERNEL)?;
        for (func, found) in self.funcs.iter().zip(&wanted) {
            let old_func = found.resolved(self.name())?;
            let old_size = symbols::size_of(old_func).ok_or_else(|| {
                pr_err!("kallsyms size lookup failed for '{}'\n", &*func.name);
                ENOENT
            })?;
            let new_size = symbols::size_of(func.version.new_func()).ok_or_else(|| {
                pr_err!(
                    "kallsyms size lookup failed for '{}' replacement\n",
                    &*func.name
                );
                ENOENT
            })?;
            func.version.set_new_size(new_size);
            let location = Location {
                old_func,
                old_size,
                ip: None,
            };
            locations.push(location, GFP_KERNEL)?;
        }
        drop(wanted);
        for (func, location) in self.funcs.iter_mut().zip(locations) {
            func.location = Some(location);
        }
        Ok(())
    }

    /// Forgets what was known about a module that goes away.
    pub(crate) fn unload(&mut self) {
        self.loaded = false;
        self.set_module(ptr::null_mut());
        for func in &mut self.funcs {
            func.location = None;
        }
    }

    /// Applies the functions of a loaded object: from here on the handler sees them.
    ///
    /// All or nothing. Errors are reported. May sleep.
    pub(crate) fn apply(&mut self, ops: &mut Ops) -> Result {
        for func in &mut self.funcs {
            func.find_call_site()?;
        }
        let mut sites = KVVec::with_capacity(self.funcs.len(), GFP_KERNEL)?;
        for site in self.sites() {
            sites.push(site, GFP_KERNEL)?;
        }

        // SAFETY: Versions get on a stack only here, and `revert` takes them off before they are
        // applied again. They are kept in `funcs`, whose elements do not move any more, until the
        // patch is freed, and that happens after `revert` and `synchronize`.
        unsafe { ops.apply(&sites) }.map_err(|failed| {
            let func = failed.index.and_then(|index| self.funcs.get(index));
            report::attach_failed(func.map(|func| &*func.name), &failed);
            failed.error
        })?;
        self.set_patched(true);
        Ok(())
    }

    /// Takes the functions off. The handler may see them until `synchronize` was called.
    pub(crate) fn revert(&self, ops: &mut Ops) {
        if self.is_patched() {
            ops.remove(self.sites());
            self.set_patched(false);
        }
    }

    fn sites(&self) -> impl Iterator<Item = Site<'_>> + Clone {
        self.funcs.iter().filter_map(Func::site)
    }

    /// Runs the callback before the functions are applied, which may veto that.
    pub(crate) fn pre_patch(&self) -> Result {
        let object = self.descriptor.as_ptr();

        // SAFETY: The descriptor is valid by the contract of `new`, and so is its callback.
        let done = unsafe {
            match (*object).callbacks.pre_patch {
                Some(callback) => to_result(callback(object)),
                None => Ok(()),
            }
        };
        // SAFETY: The descriptor is valid.
        unsafe { (*object).callbacks.post_unpatch_enabled = done.is_ok() };
        done
    }

    /// Runs the callback after all tasks were switched to the patch.
    pub(crate) fn post_patch(&self) {
        let object = self.descriptor.as_ptr();

        // SAFETY: As in `pre_patch`.
        unsafe {
            if let Some(callback) = (*object).callbacks.post_patch {
                callback(object);
            }
        }
    }

    /// Runs the callback before tasks are switched away from the patch.
    pub(crate) fn pre_unpatch(&self) {
        let object = self.descriptor.as_ptr();

        // SAFETY: As in `pre_patch`.
        unsafe {
            if let Some(callback) = (*object).callbacks.pre_unpatch {
                callback(object);
            }
        }
    }

    /// Runs the callback after the functions were taken off, if `pre_patch` had succeeded.
    pub(crate) fn post_unpatch(&self) {
        let object = self.descriptor.as_ptr();

        // SAFETY: As in `pre_patch`.
        unsafe {
            if mem::take(&mut (*object).callbacks.post_unpatch_enabled) {
                if let Some(callback) = (*object).callbacks.post_unpatch {
                    callback(object);
                }
            }
        }
    }
}

/// A patch that the core knows.
///
/// # Invariants
///
/// `descriptor`, and those of the objects, are valid: `module` holds the module that they are in.
pub(crate) struct Patch {
    pub(crate) id: PatchId,
    pub(crate) name: CString,
    descriptor: NonNull<bindings::klp_patch>,
    pub(crate) objects: KVec<Object>,
    directory: ARef<Directory<PatchView>>,
    /// Was the patch removed by force? Then its code may be in use for ever.
    pub(crate) forced: bool,
    /// Taken when the patch is freed.
    reaper: Option<Pin<KBox<Reaper>>>,
    /// The last field: the module goes after all that refers to it.
    module: ModuleRef,
}

// SAFETY: The descriptor is only used under `klp_mutex`.
unsafe impl Send for Patch {}

impl Patch {
    /// Makes a patch from its parts.
    ///
    /// # Safety
    ///
    /// `descriptor` and the descriptors of `objects` must be in the module that `module` holds.
    pub(crate) unsafe fn new(
        id: PatchId,
        name: &CStr,
        descriptor: NonNull<bindings::klp_patch>,
        module: ModuleRef,
        objects: KVec<Object>,
    ) -> Result<Self> {
        // INVARIANT: By the contract of this function.
        Ok(Patch {
            id,
            name: CString::try_from(name)?,
            descriptor,
            objects,
            directory: Directory::new(PatchView::new(id))?,
            forced: false,
            reaper: Some(KBox::pin_init(Reaper::new(), GFP_KERNEL)?),
            module,
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        self.directory.view().phase()
    }

    pub(crate) fn set_phase(&mut self, phase: Phase) {
        self.directory.view().set_phase(phase);
    }

    /// Shows the side that tasks are moved to, once they are: to users, and to C callbacks.
    pub(crate) fn show_enabled(&mut self) {
        let enabled = self.phase().is_enabled();

        self.directory.view().set_enabled(enabled);
        // SAFETY: The descriptor is valid by the type invariant.
        unsafe { (*self.descriptor.as_ptr()).enabled = enabled };
    }

    pub(crate) fn funcs(&self) -> impl Iterator<Item = &Func> {
        self.objects.iter().flat_map(|object| &object.funcs)
    }

    /// Those functions whose versions are on their stacks.
    pub(crate) fn patched_funcs(&self) -> impl Iterator<Item = &Func> + Clone {
        self.objects
            .iter()
            .filter(|object| object.is_patched())
            .flat_map(|object| &object.funcs)
    }

    /// Takes all functions off, in one batch. The handler may see them until `synchronize` was
    /// called.
    pub(crate) fn revert(&self, ops: &mut Ops) {
        ops.remove(self.patched_funcs().filter_map(Func::site));
        for object in &self.objects {
            if object.is_patched() {
                object.set_patched(false);
            }
        }
    }

    /// Creates the patch's directories in sysfs.
    pub(crate) fn show(&self, root: *mut bindings::kobject) -> Result {
        // SAFETY: `root` is the kobject of /sys/kernel/livepatch, which stays.
        unsafe { self.directory.add(root, &self.name, None) }?;
        for object in &self.objects {
            // SAFETY: The directories live as long as the patch, and `hide` removes the inner ones
            // first.
            unsafe {
                object
                    .directory
                    .add(self.directory.kobject(), object.label(), None)
            }?;
            for func in &object.funcs {
                let sympos = names::shown_sympos(func.sympos);
                // SAFETY: As above.
                unsafe {
                    func.directory
                        .add(object.directory.kobject(), &func.name, Some(sympos))
                }?;
            }
        }
        Ok(())
    }

    /// Removes the patch from sysfs and waits for those who read or write there.
    ///
    /// Must be called without `klp_mutex`, which writers take.
    fn hide(&self) {
        for object in &self.objects {
            for func in &object.funcs {
                func.directory.remove();
            }
            object.directory.remove();
        }
        self.directory.remove();
    }

    /// Frees a patch that is neither on a stack nor in the registry, and lets its module go.
    ///
    /// May sleep. Must be called without `klp_mutex`.
    pub(crate) fn release(self) {
        self.hide();

        if self.forced {
            // A task may run the module's code for as long as it likes: the module stays.
            let Patch { module, .. } = self;
            mem::forget(module);
        }
    }

    /// Like [`Patch::release`], from a workqueue: a write to sysfs may be what disabled the patch.
    pub(crate) fn release_later(mut self) {
        match self.reaper.take() {
            Some(mut reaper) => {
                *reaper.as_mut().project().patch = Some(self);
                workqueue::system_long().enqueue(reaper);
            }
            None => pr_err!("leaked patch '{}'\n", &*self.name),
        }
    }
}

/// The work item that frees a patch; made with the patch, since freeing must not fail.
#[pin_data]
struct Reaper {
    #[pin]
    work: Work<Reaper>,
    patch: Option<Patch>,
}

impl_has_work! {
    impl HasWork<Self> for Reaper { self.work }
}

impl Reaper {
    fn new() -> impl PinInit<Self> {
        pin_init!(Reaper {
            work <- new_work!("klp::Reaper"),
            patch: None,
        })
    }
}

impl WorkItem for Reaper {
    type Pointer = Pin<KBox<Self>>;

    fn run(mut this: Pin<KBox<Self>>) {
        if let Some(patch) = this.as_mut().project().patch.take() {
            patch.release();
        }
    }
}
