// SPDX-License-Identifier: GPL-2.0

//! What callbacks and debuggers find in the descriptors of a patch.

use super::{
    check,
    check_eq,
    patched,
    registry,
    Livepatch,
    Scene,
    Sleeper, //
};
use core::ptr;
use kernel::{
    bindings,
    prelude::*, //
};

/// The state of a function.
#[derive(Debug, PartialEq)]
struct Func {
    old_func: usize,
    has_sizes: bool,
    patched: bool,
    transition: bool,
}

/// What is in the descriptors of a patch that replaces two functions of vmlinux, and one of an
/// absent module.
struct Content {
    patch: *mut bindings::klp_patch,
    funcs: [Func; 3],
    objects_patched: [bool; 2],
    /// Which patch is in transition.
    transition: *mut bindings::klp_patch,
}

impl Content {
    fn of(livepatch: &Livepatch) -> Result<Self> {
        let guard = registry::lock();
        let patch = livepatch.patch();
        let raw = livepatch.descriptor.as_ref().ok_or(EINVAL)?.get();

        // SAFETY: The descriptor is valid, and under the lock nobody changes it.
        let (descriptor, enabled, transition) = unsafe {
            (
                &*raw,
                nodes(&raw mut bindings::klp_patches)?,
                bindings::klp_transition_patch,
            )
        };
        let [vmlinux, absent, _] = &descriptor.objects;
        let [one, two, ..] = &descriptor.vmlinux_funcs;
        let [other, _] = &descriptor.absent_funcs;

        // SAFETY: The lists are linked since the patch was made known.
        unsafe {
            check_eq!(
                nodes(&descriptor.patch.obj_list)?,
                [&vmlinux.node, &absent.node].map(ptr::from_ref)
            );
            check_eq!(
                nodes(&vmlinux.func_list)?,
                [&one.node, &two.node].map(ptr::from_ref)
            );
            check_eq!(nodes(&absent.func_list)?, [&other.node].map(ptr::from_ref));
        }
        let is_listed = enabled.contains(&ptr::from_ref(&descriptor.patch.list));
        check_eq!(is_listed, guard.enabled.iter().any(|known| known.is(patch)));
        check_eq!(enabled.len(), guard.enabled.len());

        Ok(Content {
            patch,
            funcs: [one, two, other].map(|func| Func {
                old_func: func.old_func as usize,
                has_sizes: func.old_size > 0 && func.new_size > 0,
                patched: func.patched,
                transition: func.transition,
            }),
            objects_patched: [vmlinux.patched, absent.patched],
            transition,
        })
    }

    /// Compares all with what it should be: the functions of vmlinux are located, the other one is
    /// not.
    fn expect(&self, patched: bool, transition: bool) -> Result {
        let [one, two, other] = &self.funcs;

        for (func, addr) in [
            (one, bindings::klp_test_one as *const () as usize),
            (two, bindings::klp_test_sleep as *const () as usize),
        ] {
            let expected = Func {
                old_func: addr,
                has_sizes: true,
                patched,
                transition,
            };
            check_eq!(*func, expected);
        }
        let expected = Func {
            old_func: 0,
            has_sizes: false,
            patched: false,
            transition,
        };
        check_eq!(*other, expected);
        check_eq!(self.objects_patched, [patched, false]);
        check_eq!(
            self.transition,
            if transition {
                self.patch
            } else {
                ptr::null_mut()
            }
        );
        Ok(())
    }
}

/// The elements of a list, if it is one that holds together in both directions.
///
/// # Safety
///
/// `head` must point to a list that nobody changes, or to zeroes.
unsafe fn nodes(head: *const bindings::list_head) -> Result<KVec<*const bindings::list_head>> {
    let mut nodes = KVec::new();
    let mut last = head;

    loop {
        // SAFETY: An element of the list, which is not changed, as the caller promises.
        let next = unsafe { (*last).next.cast_const() };

        check!(!next.is_null() && nodes.len() < 10);
        // SAFETY: As above; it is not null.
        check!(unsafe { (*next).prev }.cast_const() == last);
        if next == head {
            return Ok(nodes);
        }
        nodes.push(next, GFP_KERNEL)?;
        last = next;
    }
}

#[kunit_tests(klp_core_descriptor)]
mod tests {
    use super::*;

    #[test]
    fn descriptor_follows_the_patch() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![one => v1, sleep => v1])?.with_absent_object();
        let above = Livepatch::new(1, &patched![one => v2, two => v2])?.with_absent_object();

        patch.register()?;
        for _ in 0..2 {
            Content::of(&patch)?.expect(false, false)?;

            let sleeper = Sleeper::new()?;
            patch.enable()?;
            Content::of(&patch)?.expect(true, true)?;
            check_eq!(sleeper.wake(), 0);
            patch.settle(&scene.sysfs)?;
            Content::of(&patch)?.expect(true, false)?;

            above.register()?;
            above.enable_and_settle(&scene.sysfs)?;
            Content::of(&above)?;
            Content::of(&patch)?.expect(true, false)?;
            above.disable_and_settle(&scene.sysfs)?;
            above.unregister()?;

            let sleeper = Sleeper::new()?;
            patch.disable()?;
            Content::of(&patch)?.expect(true, true)?;
            check_eq!(sleeper.wake(), 1);
            patch.settle(&scene.sysfs)?;
        }
        patch.unregister()?;
        // As when an object goes.
        check_eq!(Content::of(&patch)?.funcs.map(|func| func.old_func), [0; 3]);
        scene.end()
    }
}
