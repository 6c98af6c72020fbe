// SPDX-License-Identifier: GPL-2.0

//! What the core knows about a patch: its own copy of the descriptor, checked and resolved.
//!
//! The descriptor belongs to the patch module. It is read once, when the patch is made known. After
//! that only the fields are written that callbacks of the module may look at.

use crate::{
    fault::{
        self,
        Point, //
    },
    model::{
        names,
        operation::Registration,
        phase::Phase,
        replace::{
            self,
            Changes,
            FuncName,
            Replacing, //
        },
    },
    ops::{
        Ops,
        Site,
        Version, //
    },
    registry,
    reloc::{
        self,
        Relocations, //
    },
    report,
    state::Declared,
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
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        }, //
    },
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

/// Says which module something is about. Only to be compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ModuleId(*mut bindings::module);

// SAFETY: The address is not followed.
unsafe impl Send for ModuleId {}

impl ModuleId {
    pub(crate) fn of(module: *mut bindings::module) -> Self {
        ModuleId(module)
    }
}

/// The livepatch module that a patch is in.
///
/// # Invariants
///
/// It is a livepatch module, and in memory for as long as this exists.
pub(crate) struct PatchModule(NonNull<bindings::module>);

// SAFETY: Modules may be looked at by any thread.
unsafe impl Send for PatchModule {}

impl PatchModule {
    /// # Safety
    ///
    /// As the type invariants say. A patch that is in use holds a reference to its module; one that
    /// is not is removed by `klp_module_going()`.
    pub(crate) unsafe fn new(module: NonNull<bindings::module>) -> Self {
        // INVARIANT: By the contract of this function.
        PatchModule(module)
    }

    pub(crate) fn id(&self) -> ModuleId {
        ModuleId(self.0.as_ptr())
    }

    /// Takes a reference, which keeps the module loaded; `None` if it is going.
    pub(crate) fn hold(&self) -> Option<ModuleRef> {
        // SAFETY: The module is in memory by the type invariant.
        let held = unsafe { bindings::klp_shim_module_get(self.0.as_ptr()) };

        // Not `then_some`: a `ModuleRef` that is made and dropped puts the module.
        held.then(|| ModuleRef(self.0))
    }
}

/// A reference to a livepatch module, which keeps its code and data in memory.
pub(crate) struct ModuleRef(NonNull<bindings::module>);

// SAFETY: Module references may be taken and dropped by any thread.
unsafe impl Send for ModuleRef {}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: The reference was taken in `hold`.
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
///
/// Or one that it gives back: a patch that replaces other patches has a nop for each function of
/// theirs that it does not touch itself. A nop's version runs the original function.
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

    fn nop(name: &CStr, sympos: usize) -> Result<Self> {
        Self::new(name, sympos, 0)
    }

    fn is_nop(&self) -> bool {
        self.version.new_func() == 0
    }

    /// Learns where the function is. Errors are reported.
    fn locate(&mut self, old_func: usize) -> Result {
        let old_size = symbols::size_of(old_func).ok_or_else(|| {
            pr_err!("kallsyms size lookup failed for '{}'\n", &*self.name);
            ENOENT
        })?;
        let new_size = if self.is_nop() {
            old_size
        } else {
            symbols::size_of(self.version.new_func()).ok_or_else(|| {
                pr_err!(
                    "kallsyms size lookup failed for '{}' replacement\n",
                    &*self.name
                );
                ENOENT
            })?
        };
        self.version.set_new_size(new_size);
        self.location = Some(Location {
            old_func,
            old_size,
            ip: None,
        });
        Ok(())
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

/// The task that is in a callback of a patch; null if none is. Only changed under `klp_mutex`.
static CALLING: Atomic<*mut bindings::task_struct> = Atomic::new(ptr::null_mut());

fn current() -> *mut bindings::task_struct {
    // SAFETY: Asking for current is always possible.
    unsafe { bindings::get_current() }
}

/// Whether the caller was called by a callback of a patch, and hence under `klp_mutex`.
pub(crate) fn in_callback() -> bool {
    CALLING.load(Relaxed) == current()
}

fn calling<R>(callback: impl FnOnce() -> R) -> R {
    CALLING.store(current(), Relaxed);
    let result = callback();
    CALLING.store(ptr::null_mut(), Relaxed);
    result
}

/// An object, vmlinux or a module, and what a patch replaces in it.
pub(crate) struct Object {
    /// `None` for vmlinux.
    name: Option<CString>,
    /// The descriptor, for callbacks. In the patch module. `None` for an object that the patch only
    /// has nops for.
    descriptor: Option<NonNull<bindings::klp_object>>,
    funcs: KVVec<Func>,
    /// Discarded when the patches are gone that this one replaces.
    nops: KVVec<Func>,
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
    /// `descriptor` must be in the patch module, and the object must be used only under `klp_mutex`
    /// and while the patch is known.
    pub(crate) unsafe fn new(
        name: Option<&CStr>,
        descriptor: NonNull<bindings::klp_object>,
    ) -> Result<Self> {
        Self::with_descriptor(name, Some(descriptor))
    }

    fn with_descriptor(
        name: Option<&CStr>,
        descriptor: Option<NonNull<bindings::klp_object>>,
    ) -> Result<Self> {
        Ok(Object {
            name: name.map(CString::try_from).transpose()?,
            descriptor,
            funcs: KVVec::new(),
            nops: KVVec::new(),
            loaded: false,
            directory: Directory::new(ObjectView::new())?,
        })
    }

    /// Adds a function that the patch replaces.
    pub(crate) fn push(&mut self, func: Func) -> Result {
        Ok(self.funcs.push(func, GFP_KERNEL)?)
    }

    pub(crate) fn funcs(&self) -> impl Iterator<Item = &Func> + Clone {
        Iterator::chain(self.funcs.iter(), &self.nops)
    }

    fn funcs_mut(&mut self) -> impl Iterator<Item = &mut Func> {
        Iterator::chain(self.funcs.iter_mut(), &mut self.nops)
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
        self.funcs().any(|func| {
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
        if let Some(descriptor) = self.descriptor {
            // SAFETY: The descriptor is valid by the contract of `new`. C callbacks read the field.
            unsafe { (*descriptor.as_ptr()).patched = patched };
        }
    }

    fn set_module(&mut self, module: *mut bindings::module) {
        if let Some(descriptor) = self.descriptor {
            // SAFETY: As in `set_patched`.
            unsafe { (*descriptor.as_ptr()).mod_ = module };
        }
    }

    /// Resolves the functions that are not resolved yet, and the relocations of the patch module
    /// `patch` that refer to the object, if the object is in memory.
    ///
    /// May sleep. Errors are reported, and undone. What was resolved before stays, except that a
    /// nop may be left unresolved.
    fn load(&mut self, patch: &PatchModule) -> Result {
        let mut module = ptr::null_mut();

        if self.loaded {
            return self.locate(patch, None);
        }
        if let Some(name) = self.name() {
            // SAFETY: `name` is a valid string. The module cannot go away before
            // `klp_module_going` has told us, which needs `klp_mutex`.
            module = unsafe { bindings::klp_shim_find_module(name.as_char_ptr()) };
            if module.is_null() {
                return Ok(());
            }
        }
        self.set_module(module);
        self.resolve(patch)
            .inspect_err(|_| self.set_module(ptr::null_mut()))?;
        self.loaded = true;
        Ok(())
    }

    fn resolve(&mut self, patch: &PatchModule) -> Result {
        let relocations = match self.name() {
            // SAFETY: By the type invariant of `patch`.
            Some(name) => Some(unsafe { Relocations::collect(patch.0, name) }?),
            // Those were applied when the patch module was loaded.
            None => None,
        };
        self.locate(patch, relocations)
    }

    /// Applies `relocations`, and learns where those functions are that are not located yet.
    fn locate(&mut self, patch: &PatchModule, relocations: Option<Relocations>) -> Result {
        let references = relocations.as_ref().map_or(0, Relocations::len);
        let unknown = |func: &&Func| func.location.is_none();

        // One pass over the symbols for all.
        let count = references + self.funcs().filter(unknown).count();
        // A malformed relocation is no reference, and has to be reported.
        if count == 0 && relocations.is_none() {
            return Ok(());
        }
        let mut wanted = KVVec::with_capacity(count, GFP_KERNEL)?;
        for symbol in relocations.iter().flat_map(Relocations::wanted) {
            wanted.push(symbol, GFP_KERNEL)?;
        }
        for func in self.funcs().filter(unknown) {
            let symbol = Wanted::new(self.name(), &func.name, func.sympos);
            wanted.push(symbol, GFP_KERNEL)?;
        }
        fault::check(Point::Search)?;
        symbols::search(&mut wanted)?;

        // The memory first: what follows the relocations has to undo them.
        let mut addresses = KVVec::with_capacity(count, GFP_KERNEL)?;
        if let Some(relocations) = &relocations {
            relocations.apply(wanted.iter())?;
        }
        let found = wanted.iter().skip(references).try_for_each(|symbol| {
            fault::check(Point::Resolve)?;
            addresses.push(symbol.resolved()?, GFP_KERNEL)?;
            Ok(())
        });
        drop(wanted);

        let mut addresses = addresses.into_iter();
        let located = found.and_then(|()| {
            self.funcs_mut()
                .filter(|func| func.location.is_none())
                .zip(&mut addresses)
                .try_for_each(|(func, address)| {
                    fault::check(Point::Measure)?;
                    func.locate(address)
                })
        });
        located.inspect_err(|_| {
            if relocations.is_some() {
                self.forget(patch);
            }
        })
    }

    /// Undoes [`Object::resolve`].
    fn forget(&mut self, patch: &PatchModule) {
        for func in self.funcs_mut() {
            func.location = None;
        }
        if let Some(name) = self.name() {
            // SAFETY: By the type invariant of `patch`, whose relocations were applied.
            unsafe { reloc::clear(patch.0, name) };
        }
    }

    /// Forgets what was known about a module that goes away.
    fn unload(&mut self, patch: &PatchModule) {
        self.forget(patch);
        self.loaded = false;
        self.set_module(ptr::null_mut());
    }

    /// Applies the functions of a loaded object: from here on the handler sees them.
    ///
    /// All or nothing. Errors are reported. May sleep.
    pub(crate) fn apply(&mut self, ops: &mut Ops) -> Result {
        for func in self.funcs_mut() {
            fault::check(Point::FindCallSite)?;
            func.find_call_site()?;
        }
        let mut sites = KVVec::with_capacity(self.funcs().count(), GFP_KERNEL)?;
        for site in self.sites() {
            sites.push(site, GFP_KERNEL)?;
        }

        // SAFETY: Versions get on a stack only here, and `revert` takes them off before they are
        // applied again. They are kept in `funcs` and `nops`, whose elements do not move any more,
        // until the patch is freed or the nops are discarded, and that happens after they were
        // taken off and after `synchronize`.
        unsafe { ops.apply(&sites) }.map_err(|failed| {
            let func = failed.index.and_then(|index| self.funcs().nth(index));
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
        self.funcs().filter_map(Func::site)
    }

    /// The callback that `which` takes from the descriptor, and what to pass to it.
    fn callback<T>(
        &self,
        which: impl FnOnce(&mut bindings::klp_callbacks) -> Option<T>,
    ) -> Option<(T, *mut bindings::klp_object)> {
        let object = self.descriptor?.as_ptr();

        // SAFETY: The descriptor is valid by the contract of `new`, and nobody else uses its
        // callbacks now.
        let callback = which(unsafe { &mut (*object).callbacks })?;
        Some((callback, object))
    }

    /// Runs the callback before the functions are applied, which may veto that.
    pub(crate) fn pre_patch(&self) -> Result {
        let done = match self.callback(|callbacks| callbacks.pre_patch) {
            // SAFETY: A callback of the patch is called as C calls it, and so below.
            Some((callback, object)) => match calling(|| unsafe { callback(object) }) {
                // Not 0 and no errno is a veto, too.
                1.. => Err(EINVAL),
                ret => to_result(ret),
            },
            None => Ok(()),
        };
        self.callback(|callbacks| {
            callbacks.post_unpatch_enabled = done.is_ok();
            None::<()>
        });
        done
    }

    /// Runs the callback after all tasks were switched to the patch.
    pub(crate) fn post_patch(&self) {
        if let Some((callback, object)) = self.callback(|callbacks| callbacks.post_patch) {
            // SAFETY: As in `pre_patch`.
            calling(|| unsafe { callback(object) });
        }
    }

    /// Runs the callback before tasks are switched away from the patch.
    pub(crate) fn pre_unpatch(&self) {
        if let Some((callback, object)) = self.callback(|callbacks| callbacks.pre_unpatch) {
            // SAFETY: As in `pre_patch`.
            calling(|| unsafe { callback(object) });
        }
    }

    /// There will be no `post_unpatch` for the last `pre_patch`: the patch was replaced.
    fn skip_post_unpatch(&self) {
        self.callback(|callbacks| {
            callbacks.post_unpatch_enabled = false;
            None::<()>
        });
    }

    /// Runs the callback after the functions were taken off, if `pre_patch` had succeeded.
    pub(crate) fn post_unpatch(&self) {
        let callback = self.callback(|callbacks| {
            callbacks
                .post_unpatch_enabled
                .then_some(callbacks.post_unpatch)
                .flatten()
        });
        if let Some((callback, object)) = callback {
            // SAFETY: As in `pre_patch`.
            calling(|| unsafe { callback(object) });
        }
        self.skip_post_unpatch();
    }

    fn show(&self, patch: &Directory<PatchView>) -> Result {
        fault::check(Point::ShowObject)?;
        // SAFETY: The directories live as long as the patch, and the inner ones are removed first.
        unsafe { self.directory.add(patch.kobject(), self.label(), None) }?;
        for func in self.funcs() {
            let sympos = names::shown_sympos(func.sympos);
            fault::check(Point::ShowFunc)?;
            // SAFETY: As above.
            unsafe {
                func.directory
                    .add(self.directory.kobject(), &func.name, Some(sympos))
            }?;
        }
        Ok(())
    }

    fn hide(&self) {
        for func in self.funcs() {
            func.directory.remove();
        }
        self.directory.remove();
    }
}

/// A patch that the core knows.
///
/// # Invariants
///
/// `descriptor`, and those of the objects, are in `module`.
pub(crate) struct Patch {
    pub(crate) id: PatchId,
    pub(crate) name: CString,
    descriptor: NonNull<bindings::klp_patch>,
    pub(crate) objects: KVec<Object>,
    pub(crate) states: KVec<Declared>,
    pub(crate) registration: Registration,
    /// Does the patch replace all others?
    pub(crate) replace: bool,
    directory: ARef<Directory<PatchView>>,
    /// Was the patch removed by force? Then its code may be in use for ever.
    pub(crate) forced: bool,
    /// Was the reference given up that keeps the module of a forced patch for ever?
    pinned: bool,
    /// Taken when the patch is freed.
    reaper: Option<Pin<KBox<Reaper>>>,
    module: PatchModule,
    /// Held while the patch is in use. The last field: the module goes after all that refers to it.
    hold: Option<ModuleRef>,
}

// SAFETY: The descriptor is only used under `klp_mutex`.
unsafe impl Send for Patch {}

impl Patch {
    /// Makes a patch from its parts.
    ///
    /// # Safety
    ///
    /// `descriptor` and the descriptors of `objects` must be in the module that `hold` is of.
    pub(crate) unsafe fn new(
        id: PatchId,
        name: &CStr,
        descriptor: NonNull<bindings::klp_patch>,
        hold: ModuleRef,
        objects: KVec<Object>,
        states: KVec<Declared>,
        registration: Registration,
    ) -> Result<Self> {
        // SAFETY: By the contract of this function.
        let replace = unsafe { (*descriptor.as_ptr()).replace };

        // INVARIANT: By the contract of this function.
        Ok(Patch {
            id,
            name: CString::try_from(name)?,
            descriptor,
            objects,
            states,
            registration,
            replace,
            directory: Directory::new(PatchView::new(id, replace))?,
            forced: false,
            pinned: false,
            reaper: Some(KBox::pin_init(Reaper::new(), GFP_KERNEL)?),
            // INVARIANT: As for the one that `hold` was taken from, which was of the same patch.
            module: PatchModule(hold.0),
            hold: Some(hold),
        })
    }

    /// Whether this is the patch that `descriptor` describes.
    pub(crate) fn is(&self, descriptor: *mut bindings::klp_patch) -> bool {
        self.descriptor.as_ptr() == descriptor
    }

    pub(crate) fn module(&self) -> ModuleId {
        self.module.id()
    }

    /// Keeps the module loaded while the patch is in use; fails if the module is going.
    pub(crate) fn hold_module(&mut self) -> Result {
        self.hold = Some(self.module.hold().ok_or(ENODEV)?);
        Ok(())
    }

    /// Undoes [`Patch::hold_module`], for a patch that nobody can be running.
    pub(crate) fn let_module_go(&mut self) {
        if self.forced && !mem::replace(&mut self.pinned, true) {
            // A task may run the module's code for as long as it likes: the module stays.
            mem::forget(self.hold.take());
        }
        self.hold = None;
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
        self.objects.iter().flat_map(Object::funcs)
    }

    /// Those functions whose versions are on their stacks.
    pub(crate) fn patched_funcs(&self) -> impl Iterator<Item = &Func> + Clone {
        self.objects
            .iter()
            .filter(|object| object.is_patched())
            .flat_map(Object::funcs)
    }

    fn patched_sites(&self) -> impl Iterator<Item = Site<'_>> + Clone {
        self.patched_funcs().filter_map(Func::site)
    }

    fn show_reverted<'a>(objects: impl Iterator<Item = &'a Object>) {
        for object in objects.filter(|object| object.is_patched()) {
            object.set_patched(false);
        }
    }

    /// Calls the `pre_patch` callback of each loaded object and applies it, one after the other.
    ///
    /// What was applied before a failure stays.
    pub(crate) fn apply(&mut self, ops: &mut Ops) -> Result {
        for object in self.objects.iter_mut().filter(|object| object.is_loaded()) {
            fault::check(Point::PrePatch)
                .and_then(|()| object.pre_patch())
                .inspect_err(|_| {
                    pr_warn!(
                        "pre-patch callback failed for object '{}'\n",
                        object.label()
                    );
                })?;
            object.apply(ops).inspect_err(|_| {
                pr_warn!("failed to patch object '{}'\n", object.label());
            })?;
        }
        Ok(())
    }

    /// Calls the `pre_unpatch` callbacks.
    pub(crate) fn pre_unpatch(&self) {
        for object in self.objects.iter().filter(|object| object.is_patched()) {
            object.pre_unpatch();
        }
    }

    /// Calls the `post_patch` callbacks.
    pub(crate) fn post_patch(&self) {
        for object in self.objects.iter().filter(|object| object.is_loaded()) {
            object.post_patch();
        }
    }

    /// Calls the `post_unpatch` callbacks.
    pub(crate) fn post_unpatch(&self) {
        for object in self.objects.iter().filter(|object| object.is_loaded()) {
            object.post_unpatch();
        }
    }

    /// Takes all functions off, in one batch. The handler may see them until `synchronize` was
    /// called.
    pub(crate) fn revert(&self, ops: &mut Ops) {
        ops.remove(self.patched_sites());
        Self::show_reverted(self.objects.iter());
    }

    /// Adds nops for those functions of `old`, a patch to be replaced, that the patch lacks.
    pub(crate) fn add_nops(&mut self, old: &Patch) -> Result {
        replace::add_nops(self, old)
    }

    /// Takes off all functions of the patches `replaced`, and the nops that stood for them, in one
    /// batch. As for [`Patch::revert`].
    pub(crate) fn revert_replaced(&self, replaced: &mut [Patch], ops: &mut Ops) {
        for old in &*replaced {
            ops.take_off(old.patched_sites());
        }
        // The nops come last: without them, a task would find the functions below.
        let nops = self
            .objects
            .iter()
            .filter(|object| object.is_patched())
            .flat_map(|object| &object.nops)
            .filter_map(Func::site);
        ops.take_off(nops);
        ops.leave_unused();

        for old in replaced {
            Self::show_reverted(old.objects.iter());
            old.objects.iter().for_each(Object::skip_post_unpatch);
            old.set_phase(Phase::Disabled);
            old.show_enabled();
        }
        Self::show_reverted(self.objects.iter().filter(|own| own.descriptor.is_none()));
    }

    /// Frees the nops, which are on no stack any more. After `synchronize`.
    pub(crate) fn discard_nops(&mut self) {
        for object in &mut self.objects {
            for nop in &object.nops {
                nop.directory.remove();
            }
            object.nops = KVVec::new();
            if object.descriptor.is_none() {
                object.directory.remove();
            }
        }
        self.objects.retain(|object| object.descriptor.is_some());
    }

    /// Resolves what is in memory of the patch's objects. May sleep. Errors are reported.
    pub(crate) fn load(&mut self) -> Result {
        let Patch {
            objects, module, ..
        } = self;

        objects
            .iter_mut()
            .try_for_each(|object| object.load(module))
    }

    /// Undoes [`Patch::load`], for a patch that is not applied.
    pub(crate) fn unload(&mut self) {
        let Patch {
            objects, module, ..
        } = self;

        for object in objects.iter_mut().filter(|object| object.is_loaded()) {
            object.unload(module);
        }
    }

    /// The object for the module `name`, if the patch has one.
    pub(crate) fn object_for(&self, name: &CStr) -> Option<&Object> {
        self.objects.iter().find(|object| object.is_module(name))
    }

    fn object_for_mut(&mut self, name: &CStr) -> Option<(&mut Object, &PatchModule)> {
        let object = self
            .objects
            .iter_mut()
            .find(|object| object.is_module(name))?;
        Some((object, &self.module))
    }

    /// Resolves the object for the module `name`, which is coming. As for [`Patch::load`].
    pub(crate) fn load_module(&mut self, name: &CStr) -> Result {
        match self.object_for_mut(name) {
            Some((object, patch)) => object.load(patch),
            None => Ok(()),
        }
    }

    /// Applies the object for the module `name`. As for [`Object::apply`].
    pub(crate) fn apply_module(&mut self, name: &CStr, ops: &mut Ops) -> Result {
        match self.object_for_mut(name) {
            Some((object, _)) => object.apply(ops),
            None => Ok(()),
        }
    }

    /// Forgets what was known about the module `name`, which goes.
    pub(crate) fn unload_module(&mut self, name: &CStr) {
        let object = self.object_for_mut(name);

        if let Some((object, patch)) = object.filter(|(object, _)| object.is_loaded()) {
            object.unload(patch);
        }
    }

    /// Creates those of the patch's directories in sysfs that are not there yet.
    pub(crate) fn show(&self, root: *mut bindings::kobject) -> Result {
        fault::check(Point::ShowPatch)?;
        // SAFETY: `root` is the kobject of /sys/kernel/livepatch, which stays.
        unsafe { self.directory.add(root, &self.name, None) }?;
        self.objects
            .iter()
            .try_for_each(|object| object.show(&self.directory))
    }

    /// Removes the patch from sysfs and waits for those who read or write there.
    ///
    /// Must be called without `klp_mutex`, which writers take.
    fn hide(&self) {
        self.objects.iter().for_each(Object::hide);
        self.directory.remove();
    }

    /// Frees a patch that is neither on a stack nor in the registry, and lets its module go.
    ///
    /// May sleep. Must be called without `klp_mutex`.
    pub(crate) fn release(mut self) {
        self.hide();

        if self.forced {
            // A task may run the module's code for as long as it likes: the patch never leaves.
            self.let_module_go();
        } else {
            let (module, hold) = (self.module(), self.hold.take());
            drop(self);
            registry::has_left(module, hold);
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
        let object = Object::with_descriptor(name, None)?;
        Ok(self.objects.push(object, GFP_KERNEL)?)
    }

    fn add_nop(&mut self, object: usize, (name, sympos): FuncName<'_>) -> Result {
        let object = self.objects.get_mut(object).ok_or(EINVAL)?;
        Ok(object.nops.push(Func::nop(name, sympos)?, GFP_KERNEL)?)
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
