// SPDX-License-Identifier: GPL-2.0

//! Patched, stacked, reversed, replaced: which function is called is what counts.

use super::{
    check,
    check_eq,
    one,
    patched,
    two,
    wait_until,
    Livepatch,
    Patched,
    Scene,
    Sleeper,
    Snapshot, //
};
use crate::shim;
use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// A replacement in Rust.
extern "C" fn one_in_rust() -> c_int {
    4
}

/// What the callbacks below were called for, a digit each, newest last.
static CALLS: Atomic<i32> = Atomic::new(0);
/// What the pre-patch callback returns.
static VETO: Atomic<i32> = Atomic::new(0);

fn called(digit: i32) {
    CALLS.store(CALLS.load(Relaxed) * 10 + digit, Relaxed);
}

extern "C" fn pre_patch(_object: *mut bindings::klp_object) -> c_int {
    called(1);
    VETO.load(Relaxed)
}

extern "C" fn post_patch(_object: *mut bindings::klp_object) {
    called(2);
}

extern "C" fn pre_unpatch(_object: *mut bindings::klp_object) {
    called(3);
}

extern "C" fn post_unpatch(_object: *mut bindings::klp_object) {
    called(4);
}

const CALLBACKS: bindings::klp_callbacks = bindings::klp_callbacks {
    pre_patch: Some(pre_patch),
    post_patch: Some(post_patch),
    pre_unpatch: Some(pre_unpatch),
    post_unpatch: Some(post_unpatch),
    post_unpatch_enabled: false,
};

#[kunit_tests(klp_core_patching)]
mod tests {
    use super::*;

    #[test]
    fn replacement_runs_while_enabled() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![one => v1, two => v2])?.with_absent_object();

        patch.register()?;
        let registered = Snapshot::take(&scene.sysfs)?;
        for _ in 0..3 {
            check_eq!((one(), two()), (0, 0));
            patch.enable_and_settle(&scene.sysfs)?;
            check_eq!((one(), two()), (1, 2));
            check_eq!(patch.references(), 1);
            check_eq!(patch.attribute(&scene.sysfs, c"enabled")?, 1);
            check_eq!(patch.attribute(&scene.sysfs, c"stack_order")?, 1);
            check_eq!(patch.attribute(&scene.sysfs, c"vmlinux/patched")?, 1);
            check_eq!(
                patch.attribute(&scene.sysfs, c"klp_test_absent/patched")?,
                0
            );

            patch.disable_and_settle(&scene.sysfs)?;
            check!(Snapshot::take(&scene.sysfs)? == registered);
        }
        patch.unregister()?;
        scene.end()
    }

    #[test]
    fn one_shot_patch_goes_when_disabled() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![one => v1])?;

        for _ in 0..2 {
            patch.enable_and_settle(&scene.sysfs)?;
            check_eq!(one(), 1);
            // Each door has its own answer.
            check_eq!(patch.enable(), Err(EEXIST));
            check_eq!(patch.write(&scene.sysfs, c"enabled", b"1"), Err(EINVAL));
            check_eq!(patch.unregister(), Err(EINVAL));

            patch.write(&scene.sysfs, c"enabled", b"0")?;
            wait_until(|| Ok(!patch.is_visible(&scene.sysfs)))?;
            wait_until(|| Ok(patch.references() == 0))?;
            check_eq!(one(), 0);
        }
        scene.end()
    }

    #[test]
    fn replacement_in_rust() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &[Patched::new(c"klp_test_one", one_in_rust)])?;

        patch.enable_and_settle(&scene.sysfs)?;
        check_eq!(one(), 4);
        patch.disable()?;
        scene.end()
    }

    #[test]
    fn newest_of_stacked_patches_runs() -> Result {
        let scene = Scene::new()?;
        let older = Livepatch::new(0, &patched![one => v1, two => v1])?;
        let newer = Livepatch::new(1, &patched![one => v2])?;
        let newest = Livepatch::new(2, &patched![one => v3])?;

        for (patch, at, answer) in [(&older, 1, 1), (&newer, 2, 2), (&newest, 3, 3)] {
            patch.register()?;
            patch.enable_and_settle(&scene.sysfs)?;
            check_eq!((one(), two()), (answer, 1));
            check_eq!(patch.attribute(&scene.sysfs, c"stack_order")?, at);
        }

        // Only in the reverse order.
        check_eq!(older.disable(), Err(EBUSY));
        check_eq!(newer.disable(), Err(EBUSY));
        check_eq!((one(), two()), (3, 1));

        for (patch, answers) in [(&newest, (2, 1)), (&newer, (1, 1)), (&older, (0, 0))] {
            check_eq!(patch.unregister(), Err(EBUSY));
            patch.disable_and_settle(&scene.sysfs)?;
            check_eq!((one(), two()), answers);
            patch.unregister()?;
        }
        scene.end()
    }

    /// A stack that is there and not in use, as others are, is as good as a new one.
    #[test]
    fn function_is_patched_again_beside_a_new_one() -> Result {
        let scene = Scene::new()?;
        let stays = Livepatch::new(0, &patched![two => v1])?;
        let goes = Livepatch::new(1, &patched![one => v1])?;
        let comes = Livepatch::new(2, &patched![one => v2, sleep => v1])?;

        for patch in [&stays, &goes, &comes] {
            patch.register()?;
        }
        stays.enable_and_settle(&scene.sysfs)?;
        goes.enable_and_settle(&scene.sysfs)?;
        goes.disable_and_settle(&scene.sysfs)?;
        check_eq!((one(), two()), (0, 1));

        comes.enable_and_settle(&scene.sysfs)?;
        check_eq!((one(), two()), (2, 1));
        comes.disable_and_settle(&scene.sysfs)?;
        stays.disable_and_settle(&scene.sysfs)?;
        for patch in [&stays, &goes, &comes] {
            patch.unregister()?;
        }
        scene.end()
    }

    #[test]
    fn enabling_is_reversed() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![sleep => v1, one => v1])?;
        let other = Livepatch::new(1, &patched![two => v1])?;
        other.register()?;
        patch.register()?;
        let registered = Snapshot::take(&scene.sysfs)?;

        let sleeper = Sleeper::new()?;
        patch.enable()?;
        // As long as somebody is in the old function, it does not end.
        for _ in 0..20 {
            shim::msleep(1);
            check_eq!(patch.attribute(&scene.sysfs, c"transition")?, 1);
        }
        check_eq!(patch.attribute(&scene.sysfs, c"enabled")?, 1);
        check_eq!(patch.references(), 1);
        // Nobody else can do anything meanwhile.
        check_eq!(other.enable(), Err(EBUSY));
        check_eq!(patch.unregister(), Err(EBUSY));
        check_eq!(patch.enable(), Err(EINVAL));

        // The sleeper is where it should be now, so this ends while it sleeps.
        patch.write(&scene.sysfs, c"enabled", b"0")?;
        check_eq!(patch.attribute(&scene.sysfs, c"enabled")?, 0);
        patch.settle(&scene.sysfs)?;
        check_eq!(one(), 0);
        check!(Snapshot::take(&scene.sysfs)? == registered);

        check_eq!(sleeper.wake(), 0);
        patch.unregister()?;
        other.unregister()?;
        scene.end()
    }

    #[test]
    fn disabling_is_reversed() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![sleep => v1, one => v1])?;
        patch.register()?;
        patch.enable_and_settle(&scene.sysfs)?;
        let enabled = Snapshot::take(&scene.sysfs)?;

        let sleeper = Sleeper::new()?;
        patch.disable()?;
        for _ in 0..20 {
            shim::msleep(1);
            check_eq!(patch.attribute(&scene.sysfs, c"transition")?, 1);
        }
        check_eq!(patch.attribute(&scene.sysfs, c"enabled")?, 0);
        check_eq!(patch.references(), 1);

        patch.write(&scene.sysfs, c"enabled", b"1")?;
        patch.settle(&scene.sysfs)?;
        check_eq!(one(), 1);
        check!(Snapshot::take(&scene.sysfs)? == enabled);

        // And again, to the end.
        patch.disable()?;
        check_eq!(sleeper.wake(), 1);
        patch.settle(&scene.sysfs)?;
        check_eq!(one(), 0);
        patch.unregister()?;
        scene.end()
    }

    #[test]
    fn waiting_transition_ends_when_the_sleeper_wakes() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![sleep => v1])?;
        patch.register()?;

        let sleeper = Sleeper::new()?;
        patch.enable()?;
        check_eq!(patch.attribute(&scene.sysfs, c"transition")?, 1);
        check_eq!(sleeper.wake(), 0);
        patch.settle(&scene.sysfs)?;

        let sleeper = Sleeper::new()?;
        patch.disable()?;
        check_eq!(patch.attribute(&scene.sysfs, c"transition")?, 1);
        check_eq!(sleeper.wake(), 1);
        patch.settle(&scene.sysfs)?;
        patch.unregister()?;
        scene.end()
    }

    #[test]
    fn atomic_replace_takes_everything_over() -> Result {
        let scene = Scene::new()?;
        let first = Livepatch::new(0, &patched![one => v1, two => v1])?;
        let second = Livepatch::new(1, &patched![one => v2])?;
        let all = Livepatch::new(2, &patched![one => v3])?.replacing();

        first.register()?;
        first.enable_and_settle(&scene.sysfs)?;
        // One of each kind is replaced.
        second.enable_and_settle(&scene.sysfs)?;
        check_eq!((one(), two()), (2, 1));

        all.register()?;
        all.enable_and_settle(&scene.sysfs)?;
        // The one that it does not have is the original again, and the nop for it is gone.
        check_eq!((one(), two()), (3, 0));
        check!(sysfs_has_no_nop(&all, &scene)?);
        check_eq!(all.attribute(&scene.sysfs, c"stack_order")?, 1);
        check_eq!(first.attribute(&scene.sysfs, c"enabled")?, 0);
        check_eq!(first.references(), 0);
        wait_until(|| Ok(second.references() == 0 && !second.is_visible(&scene.sysfs)))?;

        // The one that is registered can come back on top.
        first.enable_and_settle(&scene.sysfs)?;
        check_eq!((one(), two()), (1, 1));
        first.disable_and_settle(&scene.sysfs)?;
        check_eq!((one(), two()), (3, 0));
        all.disable_and_settle(&scene.sysfs)?;
        check_eq!((one(), two()), (0, 0));

        all.unregister()?;
        first.unregister()?;
        scene.end()
    }

    #[test]
    fn atomic_replace_is_reversed() -> Result {
        let scene = Scene::new()?;
        let first = Livepatch::new(0, &patched![sleep => v1, two => v1])?;
        let all = Livepatch::new(1, &patched![one => v3])?.replacing();

        first.register()?;
        first.enable_and_settle(&scene.sysfs)?;
        all.register()?;
        let registered = Snapshot::take(&scene.sysfs)?;

        // In a function for which the new patch has a nop.
        let sleeper = Sleeper::new()?;
        all.enable()?;
        check_eq!(all.attribute(&scene.sysfs, c"transition")?, 1);
        check!(!sysfs_has_no_nop(&all, &scene)?);
        all.disable_and_settle(&scene.sysfs)?;
        check_eq!((one(), two()), (0, 1));
        check!(Snapshot::take(&scene.sysfs)? == registered);

        check_eq!(sleeper.wake(), 1);
        first.disable_and_settle(&scene.sysfs)?;
        all.unregister()?;
        first.unregister()?;
        scene.end()
    }

    #[test]
    fn callbacks_run_in_order_and_can_refuse() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![one => v1])?.with_callbacks(CALLBACKS);

        CALLS.store(0, Relaxed);
        VETO.store(0, Relaxed);
        patch.register()?;
        check_eq!(CALLS.load(Relaxed), 0);
        patch.enable_and_settle(&scene.sysfs)?;
        check_eq!(CALLS.load(Relaxed), 12);
        patch.disable_and_settle(&scene.sysfs)?;
        check_eq!(CALLS.load(Relaxed), 1234);

        let registered = Snapshot::take(&scene.sysfs)?;
        for (veto, error) in [(EDOM.to_errno(), EDOM), (1, EINVAL)] {
            CALLS.store(0, Relaxed);
            VETO.store(veto, Relaxed);
            check_eq!(patch.enable(), Err(error));
            // There was no success to be undone.
            check_eq!(CALLS.load(Relaxed), 1);
            check!(Snapshot::take(&scene.sysfs)? == registered);
        }
        patch.unregister()?;
        scene.end()
    }
}

/// Has `patch` no directory for functions that only others have?
fn sysfs_has_no_nop(patch: &Livepatch, scene: &Scene) -> Result<bool> {
    let mut count = 0;

    scene
        .sysfs
        .list(&patch.path(c"vmlinux")?, |_, is_directory| {
            count += usize::from(is_directory);
            Ok(())
        })?;
    Ok(count == 1)
}
