// SPDX-License-Identifier: GPL-2.0

//! The four operations, and what ends a transition: does what `model/operation.rs` decides.

mod refuse;

use self::refuse::{
    check_module,
    check_name,
    check_states,
    decide, //
};
use crate::{
    descriptor::PatchDescriptor,
    kobject::Root,
    model::{
        operation::{
            self,
            Decision,
            Operation,
            Registration, //
        },
        phase::{
            PatchState,
            Phase, //
        },
    },
    patch::{
        self,
        ModuleId,
        NewPatch,
        Patch,
        PatchId, //
    },
    publish,
    reaper,
    registry::{
        self,
        Guard,
        Registry, //
    },
    shim,
    state,
    transition, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Creates /sys/kernel/livepatch. Before that, no patch is taken. May sleep.
pub(crate) fn init_sysfs() -> Result {
    let root = Root::new(c"livepatch")?;

    registry::lock().set_root(root);
    Ok(())
}

/// Takes `klp_mutex` for an operation. Refuses to wait for it in a callback, which runs under it.
fn lock(operation: &CStr) -> Result<Guard> {
    if patch::in_callback() {
        pr_err!("{} is not possible in a callback\n", operation);
        return Err(EBUSY);
    }
    Ok(registry::lock())
}

/// Makes a patch known, without using it. May sleep.
///
/// # Safety
///
/// As for `klp_enable_patch()`.
pub(crate) unsafe fn register(descriptor: *mut bindings::klp_patch) -> Result {
    let registry = lock(c"klp_register_patch()")?;
    // SAFETY: The descriptor is null or valid, as promised.
    let descriptor = unsafe { PatchDescriptor::check(descriptor) }?;

    admit(registry, descriptor, Operation::Register)
}

/// Enables a patch, and makes it known for as long as it is in use if it was not. May sleep.
///
/// # Safety
///
/// As for `klp_enable_patch()`.
pub(crate) unsafe fn enable(descriptor: *mut bindings::klp_patch) -> Result {
    let mut registry = lock(c"klp_enable_patch()")?;
    // SAFETY: The descriptor is null or valid, as promised.
    let descriptor = unsafe { PatchDescriptor::check(descriptor) }?;

    match find(&registry, descriptor.as_ptr()) {
        Some(id) => operate(&mut registry, id, Operation::Enable),
        None => admit(registry, descriptor, Operation::Enable),
    }
}

/// Disables a patch. May sleep.
pub(crate) fn disable(descriptor: *const bindings::klp_patch) -> Result {
    let mut registry = lock(c"klp_disable_patch()")?;
    let id = find(&registry, descriptor).ok_or(EINVAL)?;

    operate(&mut registry, id, Operation::Disable)
}

/// Forgets a registered patch. May sleep.
pub(crate) fn unregister(descriptor: *const bindings::klp_patch) -> Result {
    let mut registry = lock(c"klp_unregister_patch()")?;
    let id = find(&registry, descriptor).ok_or(EINVAL)?;
    let patch = take_unregistered(&mut registry, id)?;

    drop(registry);
    reaper::release(patch);
    Ok(())
}

/// Acts on a write to the attribute `enabled`. May sleep.
pub(crate) fn write_enabled(id: PatchId, enable: bool) -> Result {
    let mut registry = lock(c"a write to enabled")?;
    let operation = if enable {
        Operation::EnableBySysfs
    } else {
        Operation::Disable
    };

    operate(&mut registry, id, operation)
}

/// Acts on a write to the attribute `force`. May sleep.
pub(crate) fn write_force(id: PatchId, force: bool) -> Result {
    if !force {
        return Ok(());
    }
    let mut registry = lock(c"a write to force")?;
    let (subject, transition) = registry.subject(id).ok_or(EINVAL)?;

    transition
        .as_mut()
        .filter(|running| running.patch == id)
        .ok_or(EINVAL)?
        .force(subject);
    Ok(())
}

/// The position of a patch among the enabled ones, counted from 1; 0 if it is not enabled. May
/// sleep.
pub(crate) fn stack_order(id: PatchId) -> usize {
    registry::lock().position(id).map_or(0, |at| at + 1)
}

/// Tries again to complete the transition, if there is one. May sleep.
pub(crate) fn retry() {
    try_complete(&mut registry::lock());
}

/// Frees what was replaced when a module came or was refused, who did not wait for it. May sleep.
pub(crate) fn collect() {
    // Without `klp_mutex`: a CPU may be busy for long.
    let synchronized = publish::synchronize();

    registry::lock().collect(&synchronized);
}

/// Lets calls jump to replacements or not, as was just set. May sleep.
pub(crate) fn apply_jumps_allowed() {
    registry::lock().func_stacks.apply_jumps_allowed();
}

fn find(registry: &Registry, descriptor: *const bindings::klp_patch) -> Option<PatchId> {
    let patch = registry.all().find(|patch| patch.is(descriptor));

    patch.map(|patch| patch.id)
}

/// Takes the patch of a descriptor that is not known, to register or to enable it.
fn admit(mut registry: Guard, descriptor: PatchDescriptor, operation: Operation) -> Result {
    let Decision::Admit(registration) = operation::decide(operation, None).map_err(|_| EINVAL)?
    else {
        return Err(EINVAL);
    };
    let patch = read(&mut registry, descriptor, registration)?;

    let refused = match registration {
        Registration::OneShot => start_enable(&mut registry, patch),
        Registration::Registered => keep_registered(&mut registry, patch),
    };
    let Some(Refused { error, patch }) = refused else {
        return Ok(());
    };

    let patch = dismiss(&mut registry, patch);
    drop(registry);
    reaper::release(patch);
    Err(error)
}

/// Makes the core's copy of a descriptor, with room for it in all lists.
fn read(
    registry: &mut Registry,
    descriptor: PatchDescriptor,
    registration: Registration,
) -> Result<Patch> {
    let module = check_module(registry, descriptor)?;
    check_name(registry, module.id(), descriptor.name())?;

    let states = state::read(descriptor)?;
    if registration == Registration::OneShot {
        check_states(registry, descriptor.name(), &states, descriptor.replaces())?;
    }

    let hold = module.hold()?;
    registry.make_room()?;
    let new = NewPatch {
        id: registry.next_id(),
        registration,
        states,
        module,
        hold,
    };
    Patch::read(descriptor, new)
}

/// Resolves a patch and shows it in sysfs. What was done when it fails is undone by the caller.
fn load(registry: &Registry, patch: &mut Patch) -> Result {
    patch.load()?;
    registry.add_to_sysfs(patch)
}

/// A patch that was not taken, and why.
struct Refused {
    error: Error,
    patch: Patch,
}

/// Takes a new patch into the list of registered ones, unless that fails.
#[must_use]
fn keep_registered(registry: &mut Registry, mut patch: Patch) -> Option<Refused> {
    pr_notice!("registering patch '{}'\n", &*patch.name);
    if let Err(error) = load(registry, &mut patch) {
        return Some(Refused { error, patch });
    }
    registry.put_registered(patch);
    None
}

/// Puts a patch that is in no list behind the enabled ones, and starts its transition, unless that
/// fails.
#[must_use]
fn start_enable(registry: &mut Registry, mut patch: Patch) -> Option<Refused> {
    let id = patch.id;

    let prepared = patch
        .add_nops(&registry.enabled)
        .and_then(|()| load(registry, &mut patch));
    if let Err(error) = prepared {
        return Some(Refused { error, patch });
    }
    if let Some(patch) = registry.push_enabled(patch) {
        // There is room, so this does not happen.
        let error = ENOMEM;
        return Some(Refused { error, patch });
    }
    if let Err(error) = start(registry, id, PatchState::Patched) {
        let patch = registry.take_enabled(id)?;
        return Some(Refused { error, patch });
    }
    try_complete(registry);
    None
}

/// Enables or disables a patch that is known.
pub(crate) fn operate(registry: &mut Registry, id: PatchId, operation: Operation) -> Result {
    match decide(registry, id, operation)? {
        Decision::Start(PatchState::Patched) => return enable_registered(registry, id),
        Decision::Start(PatchState::Unpatched) => start(registry, id, PatchState::Unpatched)?,
        Decision::Reverse => {
            let (subject, transition) = registry.subject(id).ok_or(EINVAL)?;
            transition.as_mut().ok_or(EINVAL)?.reverse(subject);
        }
        Decision::Admit(_) | Decision::Forget => return Err(EINVAL),
    }
    try_complete(registry);
    Ok(())
}

/// Enables a registered patch. If that fails, it is as before.
fn enable_registered(registry: &mut Registry, id: PatchId) -> Result {
    registry.make_room_to_enable()?;

    let mut patch = registry.take_registered(id).ok_or(EINVAL)?;
    let usable = check_states(registry, &patch.name, &patch.states, patch.replaces())
        .and_then(|()| patch.hold_module());
    let refused = match usable {
        Ok(()) => start_enable(registry, patch),
        Err(error) => Some(Refused { error, patch }),
    };
    let Some(Refused { error, patch }) = refused else {
        return Ok(());
    };

    registry.put_registered(patch);
    Err(error)
}

/// Starts a transition of an enabled patch.
fn start(registry: &mut Registry, id: PatchId, target: PatchState) -> Result {
    let (subject, transition) = registry.subject(id).ok_or(EINVAL)?;

    if transition.is_some() {
        return Err(EBUSY);
    }
    *transition = Some(match target {
        PatchState::Patched => transition::enable(subject)?,
        PatchState::Unpatched => transition::disable(subject)?,
    });
    Ok(())
}

/// Tries to complete the transition, and retires the patches that are not in use any more.
pub(crate) fn try_complete(registry: &mut Registry) {
    let Some(mut running) = registry.transition.take() else {
        return;
    };
    let id = running.patch;

    // The patch of a transition is enabled, so there is a subject.
    let complete = registry
        .subject(id)
        .is_some_and(|(subject, _)| running.try_complete(subject));
    if complete {
        registry.remember(&running);
        retire_unused(registry, id);
    } else {
        registry.transition = Some(running);
    }
}

/// Retires what is not in use any more after the transition of the patch `id`.
fn retire_unused(registry: &mut Registry, id: PatchId) {
    let Some(patch) = registry.get(id) else {
        return;
    };

    if patch.phase() == Phase::Disabled {
        retire(registry, id);
    } else if patch.replaces() {
        if registry.first_before(id).is_some() {
            // As when one is disabled, see `complete` in model/protocol.rs. Nothing of this is
            // needed for the transition, only for the modules that may go now.
            shim::synchronize_tasks();
        }
        while let Some(old) = registry.first_before(id) {
            retire(registry, old);
        }
    }
}

/// Retires one enabled patch.
fn retire(registry: &mut Registry, id: PatchId) {
    if let Some(patch) = registry.take_enabled(id) {
        registry.retire(patch);
    }
}

/// Undoes [`Patch::load`]. The patch has to be released without `klp_mutex` then.
fn dismiss(registry: &mut Registry, mut patch: Patch) -> Patch {
    // The relocations of a forced patch are still needed by whoever runs it.
    if !patch.is_forced() {
        patch.unload();
    }
    registry.begin_removal(&patch);
    patch
}

/// Takes a registered patch out. It has to be released without `klp_mutex` then.
fn take_unregistered(registry: &mut Registry, id: PatchId) -> Result<Patch> {
    decide(registry, id, Operation::Unregister)?;

    let patch = registry.take_registered(id).ok_or(EINVAL)?;
    pr_notice!("unregistering patch '{}'\n", &*patch.name);
    Ok(dismiss(registry, patch))
}

/// How far the removal of a patch is whose module goes without it.
pub(crate) enum Removal {
    /// There is no such patch, or no more.
    Done,
    /// It has to be released, without `klp_mutex`.
    Release(Patch),
    /// It is in use, or on its way out. To be asked again.
    Wait,
}

/// Gets on with the removal of the patch of `module`, which is going: out of order if need be.
///
/// Says so, unless it was `told` already. May sleep.
pub(crate) fn remove_patch_of(module: ModuleId, told: &mut bool) -> Removal {
    let registry = &mut *registry::lock();

    let Some(patch) = registry.of_module(module) else {
        return if registry.is_removing(module) {
            Removal::Wait
        } else {
            Removal::Done
        };
    };
    if !core::mem::replace(told, true) {
        let name = &*patch.name;
        pr_err!("module '{name}' goes and its patch is still there: removing it\n");
    }
    let id = patch.id;
    match patch.phase() {
        // Somebody may be running its code for ever.
        Phase::Disabled if patch.is_forced() => {}
        Phase::Disabled => {
            if let Ok(patch) = take_unregistered(registry, id) {
                return Removal::Release(patch);
            }
        }
        Phase::Enabled if registry.transition.is_none() => {
            if start(registry, id, PatchState::Unpatched).is_ok() {
                try_complete(registry);
            }
        }
        Phase::Enabling => {
            let _ = operate(registry, id, Operation::Disable);
        }
        Phase::Enabled | Phase::Disabling => {}
    }
    Removal::Wait
}
