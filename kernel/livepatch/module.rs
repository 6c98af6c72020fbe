// SPDX-License-Identifier: GPL-2.0

//! Modules that come and go while patches for them are there.

use crate::{
    func_stacks::FuncStacks,
    model::protocol::{
        self,
        ModuleOps, //
    },
    operations::{
        self,
        Removal, //
    },
    patch::{
        ModuleId,
        Patch,
        PatchId, //
    },
    reaper,
    registry::{
        self,
        Registry, //
    },
    report, shim,
    stack_check::SpareRanges,
    transition::{
        self,
        Running, //
    },
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{
        atomic_store,
        Relaxed, //
    },
    warn_on,
};

/// The name of a module.
///
/// # Safety
///
/// `module` must stay valid for `'a`.
unsafe fn name_of<'a>(module: *mut bindings::module) -> &'a CStr {
    // SAFETY: The module stays for `'a`, as the caller promises, and the loader has made sure that
    // its name ends within the array.
    unsafe { CStr::from_char_ptr((&raw const (*module).name).cast()) }
}

/// Tells patches whether they may touch the module. Under `klp_mutex`.
///
/// # Safety
///
/// `module` must be valid.
unsafe fn set_alive(module: *mut bindings::module, alive: bool) {
    // SAFETY: The module is valid, as the caller promises. Who reads the field may not have the
    // lock.
    unsafe { atomic_store(&raw mut (*module).klp_alive, alive, Relaxed) };
}

/// A module was loaded and has not run any code yet: patches are applied to it.
///
/// Returns 0 or a negative errno: a module must not run without its patches. May sleep.
///
/// # Safety
///
/// For the module loader: `module` must be valid and in the state MODULE_STATE_COMING.
#[export]
pub(crate) unsafe extern "C" fn klp_module_coming(module: *mut bindings::module) -> c_int {
    // SAFETY: The loader keeps the module valid during the call.
    let (state, name) = unsafe { ((*module).state, name_of(module)) };

    if warn_on!(state != bindings::module_state_MODULE_STATE_COMING) {
        return EINVAL.to_errno();
    }
    if name == c"vmlinux" {
        pr_err!("vmlinux.ko: invalid module name\n");
        return EINVAL.to_errno();
    }

    let mut registry = registry::lock();

    // The module has to know this, patch or not: we cannot tell which one a later patch is for.
    // SAFETY: The loader keeps the module valid during the call.
    unsafe { set_alive(module, true) };

    let concerned = |patch: &Patch| patch.object_for(name).is_some();
    if !registry.enabled.iter().any(concerned) {
        return 0;
    }
    let applied = apply_all(&mut registry, name);
    if let Err(Refused { patch, .. }) = applied {
        // SAFETY: The loader keeps the module valid during the call.
        unsafe { set_alive(module, false) };
        revert_until(&mut registry, name, Some(patch), HasRun::No);
    }
    registry.func_stacks.jump();
    transition::loaded();
    shim::collect();
    applied.map_or_else(|refused| refused.error.to_errno(), |()| 0)
}

/// The init section of a module is about to be freed, and nobody runs anything there any more:
/// patches let go of what they replace in it. May sleep.
///
/// # Safety
///
/// For the module loader: `module` must be valid, and ftrace must still know its init section.
#[export]
pub(crate) unsafe extern "C" fn klp_module_live(module: *mut bindings::module) {
    let Some(module) = NonNull::new(module) else {
        return;
    };
    // SAFETY: The loader keeps the module valid during the call.
    let name = unsafe { name_of(module.as_ptr()) };
    let Registry {
        enabled,
        registered,
        func_stacks,
        spare_ranges,
        transition,
        ..
    } = &mut *registry::lock();

    for patch in Iterator::chain(enabled.iter_mut(), registered) {
        // SAFETY: The loader keeps the module, and frees its init section after this.
        let left = unsafe { patch.leave_init_text(module, name, func_stacks) };
        if !left {
            continue;
        }

        let mut part = PatchedModule::new(patch, name, func_stacks, spare_ranges, transition);
        if part.running.is_some() {
            // Other code will be at these addresses, which stacks must not be searched for any
            // more. Without memory they are: that delays the transition, until it is reversed at
            // worst.
            let _ = part.refresh_ranges();
            shim::collect();
        }
    }
    func_stacks.detach_overdue();
}

/// A module has run its last code, or was refused after [`klp_module_coming`]. May sleep.
///
/// # Safety
///
/// For the module loader: `module` must be valid.
#[export]
pub(crate) unsafe extern "C" fn klp_module_going(module: *mut bindings::module) {
    // SAFETY: The loader keeps the module valid during the call.
    let (state, name, is_livepatch) = unsafe { ((*module).state, name_of(module), (*module).klp) };

    if warn_on!(
        state != bindings::module_state_MODULE_STATE_GOING
            && state != bindings::module_state_MODULE_STATE_COMING
    ) {
        return;
    }

    let has_run = if state == bindings::module_state_MODULE_STATE_GOING {
        HasRun::Perhaps
    } else {
        HasRun::No
    };
    let mut registry = registry::lock();

    // SAFETY: The loader keeps the module valid during the call.
    unsafe { set_alive(module, false) };
    revert_until(&mut registry, name, None, has_run);
    drop(registry);

    if is_livepatch {
        remove_patch_of(ModuleId::of(module));
    }
}

/// Removes the patch of a livepatch module that goes and has not done so itself.
///
/// An enabled patch keeps its module loaded. But the loader does not wait for anybody when the init
/// function of the module fails, or when the removal is forced (`rmmod -f`).
fn remove_patch_of(module: ModuleId) {
    const LONGEST_PAUSE_MS: u32 = 1000;

    let mut told = false;
    let mut pause_ms = 1;

    loop {
        match operations::remove_patch_of(module, &mut told) {
            Removal::Done => return,
            Removal::Release(patch) => reaper::release(patch),
            Removal::Wait => {
                shim::msleep(pause_ms);
                pause_ms = LONGEST_PAUSE_MS.min(2 * pause_ms);
            }
        }
    }
}

/// Has any code of a module been run?
#[derive(Clone, Copy)]
enum HasRun {
    No,
    Perhaps,
}

/// Which patch could not be applied to a module, and why.
struct Refused {
    patch: PatchId,
    error: Error,
}

/// Applies all patches to the module `name`, which is coming. Nothing remains of the one that is to
/// blame for a failure.
fn apply_all(registry: &mut Registry, name: &CStr) -> Result<(), Refused> {
    let Registry {
        enabled,
        func_stacks,
        spare_ranges,
        transition,
        ..
    } = registry;

    let concerned = |patch: &&mut Patch| patch.object_for(name).is_some();

    for patch in enabled.iter_mut().filter(concerned) {
        let mut part = PatchedModule::new(patch, name, func_stacks, spare_ranges, transition);

        let come = part.come();
        report::module_come(&patch.name, name, come);
        come.map_err(|error| Refused {
            patch: patch.id,
            error,
        })?;
    }
    Ok(())
}

/// Takes the patches off the module `name`, which is loaded no longer: those before the patch
/// `until`, or all.
fn revert_until(registry: &mut Registry, name: &CStr, until: Option<PatchId>, has_run: HasRun) {
    let Registry {
        enabled,
        registered,
        func_stacks,
        spare_ranges,
        transition,
        ..
    } = registry;

    for patch in registered {
        patch.unload_module(name);
    }
    for patch in enabled
        .iter_mut()
        .take_while(|patch| Some(patch.id) != until)
    {
        if patch
            .object_for(name)
            .is_some_and(|object| object.is_loaded())
        {
            PatchedModule::new(patch, name, func_stacks, spare_ranges, transition).go(has_run);
        }
    }
    func_stacks.detach_overdue();
}

/// The functions of one module, of a patch that may be in transition.
struct PatchedModule<'a> {
    patch: &'a mut Patch,
    module: &'a CStr,
    func_stacks: &'a mut FuncStacks,
    spare_ranges: &'a mut SpareRanges,
    /// The transition of the patch.
    running: Option<&'a Running>,
}

impl<'a> PatchedModule<'a> {
    fn new(
        patch: &'a mut Patch,
        module: &'a CStr,
        func_stacks: &'a mut FuncStacks,
        spare_ranges: &'a mut SpareRanges,
        transition: &'a Option<Running>,
    ) -> Self {
        let running = transition.as_ref();

        PatchedModule {
            running: running.filter(|running| running.patch == patch.id),
            patch,
            module,
            func_stacks,
            spare_ranges,
        }
    }

    /// Applies the patch to the module, which is coming.
    fn come(&mut self) -> Result {
        self.patch.load_module(self.module).inspect_err(|error| {
            pr_warn!(
                "failed to initialize patch '{}' for module '{}' ({})\n",
                &*self.patch.name,
                self.module,
                error.to_errno()
            );
        })?;

        pr_notice!(
            "applying patch '{}' to loading module '{}'\n",
            &*self.patch.name,
            self.module
        );
        self.apply_loaded()
            .inspect_err(|_| self.patch.unload_module(self.module))
    }

    fn apply_loaded(&mut self) -> Result {
        if let Some(object) = self.patch.object_for(self.module) {
            object.pre_patch().inspect_err(|_| {
                pr_warn!("pre-patch callback failed for object '{}'\n", self.module);
            })?;
        }

        let applied = protocol::coming(self);

        let Some(object) = self.patch.object_for(self.module) else {
            return applied;
        };
        match applied {
            Ok(()) if self.running.is_none() => object.post_patch(),
            Ok(()) => {}
            Err(error) => {
                pr_warn!(
                    "failed to apply patch '{}' to module '{}' ({})\n",
                    &*self.patch.name,
                    self.module,
                    error.to_errno()
                );
                object.post_unpatch();
            }
        }
        applied
    }

    /// Takes the patch off the module, which is going.
    fn go(&mut self, has_run: HasRun) {
        if let (Some(object), None) = (self.patch.object_for(self.module), self.running) {
            object.pre_unpatch();
        }
        pr_notice!(
            "reverting patch '{}' on unloading module '{}'\n",
            &*self.patch.name,
            self.module
        );
        match has_run {
            HasRun::No => protocol::refused(self),
            HasRun::Perhaps => protocol::going(self),
        }

        if let Some(object) = self.patch.object_for(self.module) {
            object.post_unpatch();
        }
        self.patch.unload_module(self.module);
        report::module_gone(&self.patch.name, self.module);
    }
}

impl ModuleOps for PatchedModule<'_> {
    type Error = Error;

    fn apply(&mut self) -> Result {
        match self.patch.object_for_mut(self.module) {
            Some(object) => object.apply(self.func_stacks),
            None => Ok(()),
        }
    }

    fn revert(&mut self) {
        if let Some(object) = self.patch.object_for_mut(self.module) {
            object.revert(self.func_stacks);
        }
    }

    fn refresh_ranges(&mut self) -> Result {
        // Also for a transition that comes later: disabling must not need memory.
        self.spare_ranges.reserve(self.patch, self.func_stacks)?;
        if let Some(running) = self.running {
            self.spare_ranges
                .publish(self.patch, self.func_stacks, running.target);
        }
        Ok(())
    }

    fn synchronize(&mut self) {
        transition::synchronize(self.func_stacks, self.spare_ranges);
    }

    fn synchronize_tasks(&mut self) {
        shim::synchronize_tasks();
    }
}
