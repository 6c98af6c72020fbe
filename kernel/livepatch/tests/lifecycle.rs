// SPDX-License-Identifier: GPL-2.0

//! Who may do what, when; and descriptors that are refused.

use super::{
    check,
    check_eq,
    one,
    patched,
    Descriptor,
    Livepatch,
    Scene,
    Snapshot, //
};
use crate::{
    abi,
    model::operation::Operation,
    operations,
    reaper,
    registry,
    shim, //
};
use core::{
    mem,
    ptr, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// Longer than any name may be, with an end.
static LONG: [u8; bindings::KSYM_NAME_LEN as usize + 1] = {
    let mut long = [b'x'; bindings::KSYM_NAME_LEN as usize + 1];
    long[bindings::KSYM_NAME_LEN as usize] = 0;
    long
};

/// A mistake in a descriptor and the error that it leads to.
struct Mistake {
    make: fn(&mut Descriptor),
    error: Error,
}

/// What nobody should write.
fn mistakes() -> [Mistake; 13] {
    fn vmlinux(descriptor: &mut Descriptor) -> &mut bindings::klp_object {
        &mut descriptor.objects[0]
    }
    fn absent(descriptor: &mut Descriptor) -> &mut bindings::klp_object {
        &mut descriptor.objects[1]
    }
    fn second_func(descriptor: &mut Descriptor) -> &mut bindings::klp_func {
        &mut descriptor.vmlinux_funcs[1]
    }
    let mistake = |error, make| Mistake { make, error };

    [
        mistake(EINVAL, |all| all.patch.mod_ = ptr::null_mut()),
        mistake(EINVAL, |all| all.patch.objs = ptr::null_mut()),
        mistake(EINVAL, |all| absent(all).funcs = ptr::null_mut()),
        mistake(EINVAL, |all| absent(all).name = c"".as_char_ptr()),
        mistake(EINVAL, |all| absent(all).name = LONG.as_ptr().cast()),
        mistake(EEXIST, |all| absent(all).name = c"enabled".as_char_ptr()),
        mistake(EEXIST, |all| absent(all).name = vmlinux(all).name),
        mistake(EINVAL, |all| second_func(all).old_name = ptr::null()),
        mistake(EINVAL, |all| second_func(all).new_func = ptr::null_mut()),
        mistake(EINVAL, |all| {
            second_func(all).old_name = LONG.as_ptr().cast();
        }),
        mistake(EEXIST, |all| {
            second_func(all).old_name = c"klp_test_one".as_char_ptr();
        }),
        mistake(EINVAL, |all| {
            second_func(all).old_name = c"klp_test_no_such_function".as_char_ptr();
        }),
        // Not the address of a function.
        mistake(ENOENT, |all| {
            second_func(all).new_func = ptr::without_provenance_mut(8);
        }),
    ]
}

fn patch_with_two_objects() -> Result<Livepatch> {
    let patch = Livepatch::new(0, &patched![one => v1, two => v1])?;
    Ok(patch.with_absent_object())
}

#[kunit_tests(klp_core_lifecycle)]
mod tests {
    use super::*;

    #[test]
    fn register_and_unregister() -> Result {
        let scene = Scene::new()?;
        let patch = patch_with_two_objects()?;

        for _ in 0..2 {
            patch.register()?;
            check!(patch.is_visible(&scene.sysfs));
            for (attribute, value) in [
                (c"enabled", 0),
                (c"transition", 0),
                (c"replace", 0),
                (c"stack_order", 0),
                (c"vmlinux/patched", 0),
                (c"klp_test_absent/patched", 0),
            ] {
                check_eq!(patch.attribute(&scene.sysfs, attribute)?, value);
            }
            // It does not keep its module.
            check_eq!(patch.references(), 0);
            check_eq!(one(), 0);
            patch.unregister()?;
            check!(!patch.is_visible(&scene.sysfs));
        }
        scene.end()
    }

    #[test]
    fn operations_at_the_wrong_time() -> Result {
        let scene = Scene::new()?;
        let patch = patch_with_two_objects()?;
        // The module of the first one has a second patch.
        let twin = patch_with_two_objects()?;

        check_eq!(patch.disable(), Err(EINVAL));
        check_eq!(patch.unregister(), Err(EINVAL));

        patch.register()?;
        let registered = Snapshot::take(&scene.sysfs)?;
        check_eq!(patch.register(), Err(EEXIST));
        check_eq!(twin.register(), Err(EEXIST));
        check_eq!(twin.enable(), Err(EEXIST));
        check_eq!(patch.disable(), Err(EINVAL));
        check_eq!(patch.write(&scene.sysfs, c"enabled", b"0"), Err(EINVAL));
        check_eq!(patch.write(&scene.sysfs, c"enabled", b"x"), Err(EINVAL));
        check_eq!(patch.write(&scene.sysfs, c"force", b"1"), Err(EINVAL));
        check!(Snapshot::take(&scene.sysfs)? == registered);

        patch.enable_and_settle(&scene.sysfs)?;
        let enabled = Snapshot::take(&scene.sysfs)?;
        check_eq!(patch.register(), Err(EEXIST));
        check_eq!(patch.enable(), Err(EINVAL));
        check_eq!(patch.unregister(), Err(EBUSY));
        check_eq!(patch.write(&scene.sysfs, c"enabled", b"1"), Err(EINVAL));
        check_eq!(patch.write(&scene.sysfs, c"force", b"1"), Err(EINVAL));
        check!(Snapshot::take(&scene.sysfs)? == enabled);

        patch.disable_and_settle(&scene.sysfs)?;
        patch.unregister()?;
        scene.end()
    }

    #[test]
    fn malformed_descriptors_are_refused() -> Result {
        let scene = Scene::new()?;

        // SAFETY: Null is allowed.
        let null = unsafe { abi::klp_register_patch(ptr::null_mut()) };
        check_eq!(to_result(null), Err(EINVAL));
        for Mistake { make, error } in mistakes() {
            let patch = patch_with_two_objects()?;
            patch.edit(make);

            check_eq!(patch.register(), Err(error));
            check!(Snapshot::take(&scene.sysfs)? == scene.before);
            check_eq!(patch.enable(), Err(error));
            check!(Snapshot::take(&scene.sysfs)? == scene.before);
        }
        scene.end()
    }

    #[test]
    fn unsuitable_modules_are_refused() -> Result {
        let scene = Scene::new()?;
        let patch = patch_with_two_objects()?;

        patch.edit_module(|module| module.klp = false);
        let refused = (patch.register(), patch.enable());
        patch.edit_module(|module| module.klp = true);
        check_eq!(refused, (Err(EINVAL), Err(EINVAL)));

        // Before the init function.
        let info = patch.edit_module(|module| mem::replace(&mut module.klp_info, ptr::null_mut()));
        let refused = (patch.register(), patch.enable());
        patch.edit_module(|module| module.klp_info = info);
        check_eq!(refused, (Err(EINVAL), Err(EINVAL)));

        patch.edit_module(|module| module.state = bindings::module_state_MODULE_STATE_GOING);
        let refused = (patch.register(), patch.enable());
        patch.edit_module(|module| module.state = bindings::module_state_MODULE_STATE_LIVE);
        check_eq!(refused, (Err(ENODEV), Err(ENODEV)));
        check!(Snapshot::take(&scene.sysfs)? == scene.before);

        // One that is registered does not hold its module yet.
        patch.register()?;
        let registered = Snapshot::take(&scene.sysfs)?;
        patch.edit_module(|module| module.state = bindings::module_state_MODULE_STATE_GOING);
        let refused = patch.enable();
        patch.edit_module(|module| module.state = bindings::module_state_MODULE_STATE_LIVE);
        check_eq!(refused, Err(ENODEV));
        check!(Snapshot::take(&scene.sysfs)? == registered);

        patch.unregister()?;
        scene.end()
    }

    #[test]
    fn incompatible_states_are_refused() -> Result {
        let scene = Scene::new()?;
        let new = Livepatch::new(0, &patched![one => v2])?.with_state(7, 2);
        let old = Livepatch::new(1, &patched![one => v1])?.with_state(7, 1);

        new.register()?;
        new.enable_and_settle(&scene.sysfs)?;
        let enabled = Snapshot::take(&scene.sysfs)?;
        // One that is only registered does no harm.
        check_eq!(old.enable(), Err(EINVAL));
        check!(Snapshot::take(&scene.sysfs)? == enabled);
        old.register()?;
        let registered = Snapshot::take(&scene.sysfs)?;
        check_eq!(old.enable(), Err(EINVAL));
        check!(Snapshot::take(&scene.sysfs)? == registered);
        new.disable_and_settle(&scene.sysfs)?;

        old.enable_and_settle(&scene.sysfs)?;
        new.enable_and_settle(&scene.sysfs)?;
        check_eq!(one(), 2);
        new.disable_and_settle(&scene.sysfs)?;
        old.disable_and_settle(&scene.sysfs)?;
        old.unregister()?;
        new.unregister()?;
        scene.end()
    }

    #[test]
    fn the_module_can_go_when_the_directory_has_gone() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![one => v1])?;
        patch.enable_and_settle(&scene.sysfs)?;
        check_eq!(patch.references(), 1);

        // With the lock, so that the reaper does not come first.
        let outgoing = {
            let mut registry = registry::lock();
            let id = registry.enabled.first().ok_or(EINVAL)?.id;

            operations::operate(&mut registry, id, Operation::Disable)?;
            while registry.transition.is_some() {
                shim::msleep(1);
                operations::try_complete(&mut registry);
            }
            registry.take_outgoing().ok_or(EINVAL)?
        };
        // Whoever has the lock now: this is done without it.
        let module = reaper::dismantle(outgoing).ok_or(EINVAL)?;
        check!(!patch.is_visible(&scene.sysfs));
        check_eq!(patch.references(), 0);

        // The module cannot come back yet.
        check_eq!(patch.enable(), Err(EBUSY));
        registry::lock().end_removal(module);
        patch.enable_and_settle(&scene.sysfs)?;
        patch.disable()?;
        scene.end()
    }
}
