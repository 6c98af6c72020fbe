// SPDX-License-Identifier: GPL-2.0

//! Modules that come and go while patches for them are there.

use crate::{
    model::protocol,
    ops::Ops,
    patch::Patch,
    registry::{
        self,
        Registry,
        Removal, //
    },
    transition::{
        ModulePart,
        Running, //
    },
};
use core::ptr;
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
    // SAFETY: By the contract of this function; the name is a string.
    unsafe { CStr::from_char_ptr(ptr::addr_of!((*module).name).cast()) }
}

/// Tells patches whether they may touch the module. Under `klp_mutex`.
///
/// # Safety
///
/// `module` must be valid.
unsafe fn set_alive(module: *mut bindings::module, alive: bool) {
    // SAFETY: By the contract of this function.
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
    // SAFETY: By the contract of this function.
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
    // SAFETY: By the contract of this function.
    unsafe { set_alive(module, true) };

    match registry.apply_to_module(name) {
        Ok(()) => 0,
        Err((at, error)) => {
            // SAFETY: By the contract of this function.
            unsafe { set_alive(module, false) };
            registry.revert_from_module(name, at);
            error.to_errno()
        }
    }
}

/// A module has run its last code, or was refused after [`klp_module_coming`]. May sleep.
///
/// # Safety
///
/// For the module loader: `module` must be valid.
#[export]
pub(crate) unsafe extern "C" fn klp_module_going(module: *mut bindings::module) {
    // SAFETY: By the contract of this function.
    let (state, name) = unsafe { ((*module).state, name_of(module)) };

    if warn_on!(
        state != bindings::module_state_MODULE_STATE_GOING
            && state != bindings::module_state_MODULE_STATE_COMING
    ) {
        return;
    }

    let mut registry = registry::lock();

    // SAFETY: By the contract of this function.
    unsafe { set_alive(module, false) };
    registry.revert_from_module(name, usize::MAX);
    drop(registry);

    // SAFETY: By the contract of this function.
    if unsafe { (*module).klp } {
        remove_patch_of(module);
    }
}

/// Removes the patch of a livepatch module that goes and has not done so itself.
///
/// An enabled patch keeps its module loaded. But the loader does not wait for anybody when the init
/// function of the module fails, or when the removal is forced (`rmmod -f`).
fn remove_patch_of(module: *mut bindings::module) {
    const LONGEST_PAUSE_MS: u32 = 1000;

    let mut told = false;
    let mut pause_ms = 1;

    loop {
        let removal = registry::lock().remove_patch_of(module, &mut told);

        match removal {
            Removal::Done => return,
            Removal::Release(patch) => patch.release(),
            Removal::Wait => {
                // SAFETY: May sleep.
                unsafe { bindings::msleep(pause_ms) };
                pause_ms = LONGEST_PAUSE_MS.min(2 * pause_ms);
            }
        }
    }
}

impl Registry {
    /// Applies all patches to the module `name`, which is coming.
    ///
    /// Fails with the position of the patch that is to blame, of which nothing remains.
    fn apply_to_module(&mut self, name: &CStr) -> Result<(), (usize, Error)> {
        let Registry {
            patches,
            ops,
            transition,
            ..
        } = self;

        for (at, patch) in patches.iter_mut().enumerate() {
            if patch.object_for(name).is_none() {
                continue;
            }
            let running = transition
                .as_ref()
                .filter(|running| running.patch == patch.id);

            apply_one(patch, name, ops, running).map_err(|error| {
                pr_warn!(
                    "patch '{}' failed for module '{}', refusing to load module '{}'\n",
                    &*patch.name,
                    name,
                    name
                );
                (at, error)
            })?;
        }
        Ok(())
    }

    /// Takes the first `limit` patches off the module `name`, which is loaded no longer.
    fn revert_from_module(&mut self, name: &CStr, limit: usize) {
        let Registry {
            patches,
            idle,
            ops,
            transition,
            ..
        } = self;

        for patch in idle {
            patch.unload_module(name);
        }
        for patch in patches.iter_mut().take(limit) {
            let Some(object) = patch.object_for(name).filter(|object| object.is_loaded()) else {
                continue;
            };
            let running = transition
                .as_ref()
                .filter(|running| running.patch == patch.id);

            if running.is_none() {
                object.pre_unpatch();
            }
            pr_notice!(
                "reverting patch '{}' on unloading module '{}'\n",
                &*patch.name,
                name
            );
            protocol::going(&mut ModulePart::new(patch, name, ops, running));

            if let Some(object) = patch.object_for(name) {
                object.post_unpatch();
            }
            patch.unload_module(name);
        }
    }
}

/// Applies one patch to the module `name`. `running` is the transition if it is the patch's own.
fn apply_one(patch: &mut Patch, name: &CStr, ops: &mut Ops, running: Option<&Running>) -> Result {
    patch.load_module(name).inspect_err(|error| {
        pr_warn!(
            "failed to initialize patch '{}' for module '{}' ({})\n",
            &*patch.name,
            name,
            error.to_errno()
        );
    })?;

    pr_notice!(
        "applying patch '{}' to loading module '{}'\n",
        &*patch.name,
        name
    );

    let applied = apply_loaded(patch, name, ops, running);
    if applied.is_err() {
        patch.unload_module(name);
    }
    applied
}

fn apply_loaded(
    patch: &mut Patch,
    name: &CStr,
    ops: &mut Ops,
    running: Option<&Running>,
) -> Result {
    if let Some(object) = patch.object_for(name) {
        object.pre_patch().inspect_err(|_| {
            pr_warn!("pre-patch callback failed for object '{}'\n", name);
        })?;
    }

    let applied = protocol::coming(&mut ModulePart::new(patch, name, ops, running));

    let Some(object) = patch.object_for(name) else {
        return applied;
    };
    match applied {
        Ok(()) if running.is_none() => object.post_patch(),
        Ok(()) => {}
        Err(error) => {
            pr_warn!(
                "failed to apply patch '{}' to module '{}' ({})\n",
                &*patch.name,
                name,
                error.to_errno()
            );
            object.post_unpatch();
        }
    }
    applied
}
