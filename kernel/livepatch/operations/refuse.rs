// SPDX-License-Identifier: GPL-2.0

//! What an operation is refused for, before anything is done.

use crate::{
    descriptor::PatchDescriptor,
    fault::{
        self,
        Point, //
    },
    model::{
        compatibility,
        operation::{
            self,
            Decision,
            Operation,
            Refusal,
            Registration, //
        },
    },
    patch::{
        ModuleId,
        PatchId,
        PatchModule, //
    },
    registry::Registry,
    state::Declared,
    transition::HAVE_RELIABLE_STACK, //
};
use kernel::prelude::*;

/// Asks the table what an operation on a patch that is known has to do. A refusal is reported where
/// the errno does not say it all.
pub(super) fn decide(registry: &Registry, id: PatchId, operation: Operation) -> Result<Decision> {
    operation::decide(operation, registry.known(id)).map_err(|refusal| match refusal {
        Refusal::Unknown | Refusal::Already => EINVAL,
        Refusal::Exists => {
            report_exists(registry, id);
            EEXIST
        }
        Refusal::Busy | Refusal::InUse => EBUSY,
        Refusal::Covered => {
            report_covered(registry, id);
            EBUSY
        }
    })
}

fn report_exists(registry: &Registry, id: PatchId) {
    if let Some(patch) = registry.get(id) {
        let state = match patch.registration {
            Registration::OneShot => "enabled",
            Registration::Registered => "registered",
        };
        pr_err!("patch '{}' is already {}\n", &*patch.name, state);
    }
}

fn report_covered(registry: &Registry, id: PatchId) {
    if let (Some(patch), Some(last)) = (registry.get(id), registry.enabled.last()) {
        pr_err!(
            "patch '{}' was enabled after '{}': disable it first\n",
            &*last.name,
            &*patch.name
        );
    }
}

/// Refuses a descriptor that is not in a livepatch module, or comes too early.
pub(super) fn check_module(
    registry: &Registry,
    descriptor: PatchDescriptor,
) -> Result<PatchModule> {
    let name = descriptor.name();

    if !descriptor.is_livepatch_module() {
        pr_err!("module {} is not marked as a livepatch module\n", name);
        return Err(EINVAL);
    }
    if !registry.is_ready() {
        return Err(ENODEV);
    }
    if !HAVE_RELIABLE_STACK {
        pr_warn!("This architecture doesn't have support for the livepatch consistency model.\n");
        pr_warn!("The livepatch transition may never complete.\n");
    }
    // SAFETY: The caller of the operation is in the module, so it is in memory. If this becomes a
    // part of a patch, klp_module_going() removes the patch before the memory goes.
    unsafe { PatchModule::of(descriptor) }.ok_or_else(|| {
        pr_err!(
            "patch '{}' comes before the init function of its module\n",
            name
        );
        EINVAL
    })
}

/// Refuses a patch of a module that has one already: both would have the same name.
pub(super) fn check_name(registry: &Registry, module: ModuleId, name: &CStr) -> Result {
    if let Some(patch) = registry.of_module(module) {
        decide(registry, patch.id, Operation::Register)?;
    }
    if registry.is_removing(module) {
        pr_err!("patch '{}' is still being removed, or was by force\n", name);
        return Err(EBUSY);
    }
    Ok(())
}

/// Refuses a patch that cannot cope with the states of those that are enabled.
pub(super) fn check_states(
    registry: &Registry,
    name: &CStr,
    states: &[Declared],
    replace: bool,
) -> Result {
    fault::check(Point::CheckStates)?;
    let new = states.iter().map(|declared| declared.state);

    let compatible = registry.enabled.iter().all(|old| {
        let old = old.states.iter().map(|declared| declared.state);
        compatibility::is_compatible(new.clone(), old, replace)
    });
    if !compatible {
        pr_err!(
            "Livepatch patch ({}) is not compatible with the already installed livepatches.\n",
            name
        );
        return Err(EINVAL);
    }
    Ok(())
}
