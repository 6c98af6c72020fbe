// SPDX-License-Identifier: GPL-2.0

//! What the core knows about a patch: its own copy of the descriptor, checked and resolved.
//!
//! The descriptor belongs to the patch module. It is read once, when the patch is made known. After
//! that only the fields are written that callbacks of the module, or debuggers, may look at.

mod callbacks;
mod func;
mod object;
mod owner;
mod read;
mod replace;
mod status;

pub(crate) use self::{
    callbacks::in_callback,
    func::{
        Code,
        Func, //
    },
    object::Object,
    owner::{
        ModuleId,
        ModuleRef,
        PatchId,
        PatchModule, //
    },
    status::{
        FuncStatus,
        ObjectStatus,
        PatchStatus, //
    },
};

use self::owner::Hold;
use crate::{
    descriptor::PatchDescriptor,
    fault::{
        self,
        Point, //
    },
    func_stacks::{
        FuncStacks,
        Site, //
    },
    kobject::{
        Directory,
        Root, //
    },
    model::{
        names,
        operation::Registration,
        phase::Phase, //
    },
    state::Declared,
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// What a new patch has beside its objects.
pub(crate) struct NewPatch {
    pub(crate) id: PatchId,
    pub(crate) registration: Registration,
    pub(crate) states: KVec<Declared>,
    pub(crate) module: PatchModule,
    /// A reference to `module`.
    pub(crate) hold: ModuleRef,
}

/// A patch that the core knows.
///
/// # Invariants
///
/// `descriptor`, and those of the objects, are in `module`.
pub(crate) struct Patch {
    pub(crate) id: PatchId,
    pub(crate) name: CString,
    descriptor: PatchDescriptor,
    objects: KVec<Object>,
    pub(crate) states: KVec<Declared>,
    pub(crate) registration: Registration,
    status: Arc<PatchStatus>,
    /// Shares the status, which the patch has anyway: a file that is open may keep the directory
    /// for longer than the patch.
    directory: Directory<Arc<PatchStatus>>,
    module: PatchModule,
    /// The last field: the module goes after all that refers to it.
    hold: Hold,
}

impl Patch {
    /// Makes a patch of its parts.
    fn new(descriptor: PatchDescriptor, new: NewPatch, objects: KVec<Object>) -> Result<Self> {
        let NewPatch {
            id,
            registration,
            states,
            module,
            hold,
        } = new;
        let status = Arc::new(PatchStatus::new(id, descriptor.replaces()), GFP_KERNEL)?;

        // INVARIANT: `module` was made of the descriptor, and the objects were read of it.
        Ok(Patch {
            id,
            name: CString::try_from(descriptor.name())?,
            descriptor,
            objects,
            states,
            registration,
            directory: Directory::new(status.clone())?,
            status,
            module,
            hold: Hold::Held(hold),
        })
    }

    /// The descriptor, to be linked with others.
    pub(crate) fn descriptor(&self) -> PatchDescriptor {
        self.descriptor
    }

    /// Whether this is the patch that `descriptor` describes.
    pub(crate) fn is(&self, descriptor: *const bindings::klp_patch) -> bool {
        self.descriptor.is_at(descriptor)
    }

    /// Does the patch replace all others?
    pub(crate) fn replaces(&self) -> bool {
        self.status.replace
    }

    pub(crate) fn module(&self) -> ModuleId {
        self.module.id()
    }

    /// Keeps the module loaded while the patch is in use; fails if the module is going.
    pub(crate) fn hold_module(&mut self) -> Result {
        self.hold.renew(&self.module)
    }

    /// Gives up the reference of [`Patch::hold_module`], for a patch that nobody can be running.
    /// The module is put when the result is dropped.
    #[must_use]
    pub(crate) fn release_module(&mut self) -> Option<ModuleRef> {
        self.hold.release()
    }

    /// The patch is removed by force: its code may be in use for as long as the system runs, so
    /// neither its module nor its relocations go.
    pub(crate) fn pin_forced(&mut self) {
        self.hold.pin();
        self.descriptor.set_forced();
    }

    /// Was the patch removed by force?
    pub(crate) fn is_forced(&self) -> bool {
        self.hold.is_forever()
    }

    pub(crate) fn phase(&self) -> Phase {
        self.status.phase()
    }

    pub(crate) fn set_phase(&mut self, phase: Phase) {
        self.status.set_phase(phase);
    }

    /// Tells users and C callbacks the state that tasks are moved to, once they are.
    pub(crate) fn publish_enabled(&mut self) {
        let enabled = self.phase().is_enabled();

        self.status.set_enabled(enabled);
        self.descriptor.set_enabled(enabled);
    }

    /// Tells debuggers, and who polls the attribute, that tasks are being moved to or from the
    /// patch, or that this is over. After [`Patch::set_phase`].
    pub(crate) fn publish_transition(&self, on: bool) {
        self.descriptor.set_in_transition(on);
        self.directory.notify(names::TRANSITION);
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter()
    }

    pub(crate) fn funcs(&self) -> impl Iterator<Item = &Func> + Clone {
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

    /// Says of the patched objects that match that they are not patched any more.
    fn set_unpatched(&mut self, which: impl Fn(&Object) -> bool) {
        for object in &mut self.objects {
            if object.is_patched() && which(object) {
                object.set_patched(false);
            }
        }
    }

    fn loaded_objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(|object| object.is_loaded())
    }

    /// Calls the `pre_patch` callback of each loaded object and applies it, one after the other.
    ///
    /// What was applied before a failure stays.
    pub(crate) fn apply(&mut self, func_stacks: &mut FuncStacks) -> Result {
        // What goes wrong here goes wrong again when it is the object's turn, after the callbacks
        // of those before it: then it is reported. Without memory for all, each may get its own.
        let _ = self.make_stacks(func_stacks);

        for object in self.objects.iter_mut().filter(|object| object.is_loaded()) {
            fault::check(Point::PrePatch)
                .and_then(|()| object.pre_patch())
                .inspect_err(|_| {
                    pr_warn!(
                        "pre-patch callback failed for object '{}'\n",
                        object.label()
                    );
                })?;
            object.apply(func_stacks).inspect_err(|_| {
                pr_warn!("failed to patch object '{}'\n", object.label());
            })?;
        }
        Ok(())
    }

    /// Makes the stacks of all loaded objects at once, if there are several: the table that the
    /// handler searches is replaced for that.
    fn make_stacks(&self, func_stacks: &mut FuncStacks) -> Result {
        if self.loaded_objects().nth(1).is_none() {
            return Ok(());
        }
        let mut ips = KVVec::new();

        let codes = self.funcs().filter_map(Func::old_func);
        for ip in codes.filter_map(Code::call_site) {
            ips.push(ip, GFP_KERNEL)?;
        }
        Ok(func_stacks.make_stacks(ips.iter().copied())?)
    }

    /// Calls the `pre_unpatch` callbacks.
    pub(crate) fn pre_unpatch(&self) {
        let patched = self.objects.iter().filter(|object| object.is_patched());

        patched.for_each(Object::pre_unpatch);
    }

    /// Calls the `post_patch` callbacks.
    pub(crate) fn post_patch(&self) {
        self.loaded_objects().for_each(Object::post_patch);
    }

    /// Calls the `post_unpatch` callbacks.
    pub(crate) fn post_unpatch(&self) {
        self.loaded_objects().for_each(Object::post_unpatch);
    }

    /// Has all calls of the patched functions come to the handler. Fails only if ftrace has shut
    /// down.
    pub(crate) fn leave_jumps(&self, func_stacks: &mut FuncStacks) -> Result {
        func_stacks.leave_jumps(self.patched_sites().map(|site| site.ip))
    }

    /// Takes all functions off, in one batch. The handler may see them until `synchronize` was
    /// called.
    pub(crate) fn revert(&mut self, func_stacks: &mut FuncStacks) {
        func_stacks.remove(self.patched_sites());
        self.set_unpatched(|_| true);
    }

    /// Resolves what is in memory of the patch's objects. May sleep. Errors are reported.
    pub(crate) fn load(&mut self) -> Result {
        func::measure_replacements(&self.module, self.funcs())?;
        self.objects
            .iter_mut()
            .try_for_each(|object| object.load(&self.module))
    }

    /// Undoes [`Patch::load`], for a patch that is not applied.
    pub(crate) fn unload(&mut self) {
        for object in self.objects.iter_mut().filter(|object| object.is_loaded()) {
            object.unload(&self.module);
        }
    }

    /// The object for the module `name`, if the patch has one.
    pub(crate) fn object_for(&self, name: &CStr) -> Option<&Object> {
        self.objects.iter().find(|object| object.is_module(name))
    }

    /// As [`Patch::object_for`].
    pub(crate) fn object_for_mut(&mut self, name: &CStr) -> Option<&mut Object> {
        self.objects
            .iter_mut()
            .find(|object| object.is_module(name))
    }

    /// Resolves the object for the module `name`, which is coming. As for [`Patch::load`].
    pub(crate) fn load_module(&mut self, name: &CStr) -> Result {
        let mut objects = self.objects.iter_mut();

        match objects.find(|object| object.is_module(name)) {
            Some(object) => {
                func::measure_replacements(&self.module, object.funcs())?;
                object.load(&self.module)
            }
            None => Ok(()),
        }
    }

    /// Forgets what was known about the module `name`, which goes.
    pub(crate) fn unload_module(&mut self, name: &CStr) {
        let mut objects = self.objects.iter_mut();

        if let Some(object) = objects.find(|object| object.is_module(name) && object.is_loaded()) {
            object.unload(&self.module);
        }
    }

    /// Gives up what the patch replaces in the init section of `module`, whose name is `name`.
    /// Returns whether there was anything.
    ///
    /// # Safety
    ///
    /// As for [`Object::leave_init_text`].
    pub(crate) unsafe fn leave_init_text(
        &mut self,
        module: NonNull<bindings::module>,
        name: &CStr,
        func_stacks: &mut FuncStacks,
    ) -> bool {
        let mut objects = self.objects.iter_mut();

        objects
            .find(|object| object.is_module(name))
            // SAFETY: As the caller promises.
            .is_some_and(|object| unsafe {
                object.leave_init_text(module, &self.name, func_stacks)
            })
    }

    /// Creates those of the patch's directories in sysfs that are not there yet. May sleep.
    pub(crate) fn add_to_sysfs(&mut self, root: &Root) -> Result {
        fault::check(Point::ShowPatch)?;
        // SAFETY: A `Root` is visible, and is never removed.
        unsafe { self.directory.add(root.as_ptr(), &self.name, None) }?;

        let parent = self.directory.as_ptr();
        self.objects.iter_mut().try_for_each(|object| {
            // SAFETY: The directory of the patch is visible now, and is removed after those of its
            // objects, in `remove_from_sysfs`.
            unsafe { object.add_to_sysfs(parent) }
        })
    }

    /// Removes the patch from sysfs and waits for those who read or write there.
    ///
    /// Must be called without `klp_mutex`, which writers take.
    pub(crate) fn remove_from_sysfs(&mut self) {
        self.objects.iter_mut().for_each(Object::remove_from_sysfs);
        self.directory.remove();
    }
}

#[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
impl Patch {
    /// Gives each function of the first object an object of its own, as if they were in so many
    /// modules. Only before the patch is applied and shown in sysfs. Returns how many there are.
    pub(crate) fn split(&mut self) -> Result<usize> {
        while let Some(object) = self.objects.first_mut().ok_or(EINVAL)?.split()? {
            self.objects.push(object, GFP_KERNEL)?;
        }
        Ok(self.objects.len())
    }
}
