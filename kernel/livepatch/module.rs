// SPDX-License-Identifier: GPL-2.0

//! Modules that come and go while patches for them are there.

use crate::{
    publish,
    registry::{
        self,
        Registry, //
    },
    transition, //
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

/// A module was loaded and has not run any code yet.
///
/// Refuses the module if a patch is meant for it: patching it now is not there yet, and running it
/// unpatched would be wrong. May sleep.
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

    let registry = registry::lock();

    // The module has to know this, patch or not: we cannot tell which one a later patch is for.
    // SAFETY: By the contract of this function.
    unsafe { set_alive(module, true) };

    for patch in &registry.patches {
        if patch.objects.iter().any(|object| object.is_module(name)) {
            pr_err!(
                "patch '{}' cannot be applied to a module that is loaded later yet\n",
                &*patch.name
            );
            pr_warn!(
                "patch '{}' failed for module '{}', refusing to load module '{}'\n",
                &*patch.name,
                name,
                name
            );
            // SAFETY: By the contract of this function.
            unsafe { set_alive(module, false) };
            return EOPNOTSUPP.to_errno();
        }
    }
    0
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
    registry.revert_module(name);
}

impl Registry {
    /// Takes all patches off the module `name`, which is loaded no longer.
    fn revert_module(&mut self, name: &CStr) {
        let Registry {
            patches,
            ops,
            transition,
            ..
        } = self;

        for patch in patches {
            let id = patch.id;
            let running = transition.as_mut().filter(|running| running.patch == id);
            let at = patch
                .objects
                .iter()
                .position(|object| object.is_module(name) && object.is_loaded());
            let Some(object) = at.and_then(|at| patch.objects.get(at)) else {
                continue;
            };

            if running.is_none() {
                object.pre_unpatch();
            }
            pr_notice!(
                "reverting patch '{}' on unloading module '{}'\n",
                &*patch.name,
                name
            );
            object.revert(ops);
            if let Some(running) = running {
                running.refresh_ranges(patch, ops);
            }
            // As at the end of a transition: nobody is on the way to the patch when the callback
            // runs and the module's memory goes.
            ops.collect(&publish::synchronize());
            transition::synchronize_tasks();

            if let Some(object) = at.and_then(|at| patch.objects.get_mut(at)) {
                object.post_unpatch();
                object.unload();
            }
        }
    }
}
