// SPDX-License-Identifier: GPL-2.0

//! Transitions that an administrator ends by force.

use super::{
    check,
    check_eq,
    one,
    patched,
    wait_until,
    Livepatch,
    Scene,
    Sleeper,
    Snapshot, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// For the patch that stays. No other test uses it.
const MODULE: c_uint = bindings::KLP_TEST_MODULES - 1;

/// Does the descriptor of the patch say that it was forced?
fn is_marked(patch: &Livepatch) -> bool {
    // SAFETY: The descriptor is valid, and written by this thread or before the transition ended.
    unsafe { (*patch.patch()).forced }
}

#[kunit_tests(klp_core_force)]
mod tests {
    use super::*;

    #[test]
    fn forced_to_the_patch_it_can_go() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![sleep => v1, one => v1])?;
        patch.register()?;

        let sleeper = Sleeper::new()?;
        patch.enable()?;
        check_eq!(patch.attribute(&scene.sysfs, c"transition")?, 1);
        // Not what it is for.
        patch.write(&scene.sysfs, c"force", b"0")?;
        check_eq!(patch.attribute(&scene.sysfs, c"transition")?, 1);

        patch.write(&scene.sysfs, c"force", b"1")?;
        patch.settle(&scene.sysfs)?;
        check_eq!(one(), 1);
        check_eq!(patch.attribute(&scene.sysfs, c"enabled")?, 1);
        check_eq!(sleeper.wake(), 0);
        check!(!is_marked(&patch));

        patch.disable_and_settle(&scene.sysfs)?;
        check_eq!(patch.references(), 0);
        patch.unregister()?;
        scene.end()
    }

    #[test]
    fn forced_off_it_never_puts_its_module() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(MODULE, &patched![sleep => v1, one => v1])?;
        patch.register()?;
        patch.enable_and_settle(&scene.sysfs)?;

        let sleeper = Sleeper::new()?;
        patch.disable()?;
        check_eq!(patch.attribute(&scene.sysfs, c"transition")?, 1);
        patch.write(&scene.sysfs, c"force", b"1")?;
        patch.settle(&scene.sysfs)?;
        check_eq!(one(), 0);
        check_eq!(patch.attribute(&scene.sysfs, c"enabled")?, 0);
        // The sleeper is still in there.
        check_eq!(patch.references(), 1);
        check!(is_marked(&patch));
        check_eq!(sleeper.wake(), 1);
        check_eq!(patch.references(), 1);

        // It can be used again, and needs no other reference for that.
        patch.enable_and_settle(&scene.sysfs)?;
        check_eq!(one(), 1);
        check_eq!(patch.references(), 1);
        patch.disable_and_settle(&scene.sysfs)?;
        check_eq!(one(), 0);
        check_eq!(patch.references(), 1);

        // It is removed from sysfs, and nobody else gets its place.
        patch.unregister()?;
        check!(!patch.is_visible(&scene.sysfs));
        check_eq!(patch.references(), 1);
        check_eq!(patch.register(), Err(EBUSY));
        check_eq!(patch.enable(), Err(EBUSY));
        patch.leave_behind();

        // What stays is this, and others work as before.
        let after = Snapshot::take(&scene.sysfs)?;
        check!(after.is_unused());
        let other = Livepatch::new(0, &patched![sleep => v1])?;
        other.enable_and_settle(&scene.sysfs)?;
        let sleeper = Sleeper::new()?;
        check_eq!(sleeper.wake(), 1);
        other.disable()?;
        wait_until(|| Ok(Snapshot::take(&scene.sysfs)? == after))
    }
}
