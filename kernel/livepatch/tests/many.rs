// SPDX-License-Identifier: GPL-2.0

//! What must not cost more for each function when there are many.

use super::{
    check,
    check_eq,
    one,
    patched,
    twins,
    two,
    Livepatch,
    Patched,
    Scene, //
};
use crate::{
    descriptor::PatchDescriptor,
    model::operation::Registration,
    patch::{
        NewPatch,
        Patch,
        PatchModule, //
    },
    publish,
    registry::{
        self,
        Registry, //
    },
};
use core::ptr;
use kernel::prelude::*;

/// The core's own copy of a patch, which it does not know otherwise.
fn read(registry: &mut Registry, livepatch: &Livepatch) -> Result<Patch> {
    // SAFETY: The descriptor is valid by the type invariant of `Livepatch`, which the caller keeps
    // for longer than the result.
    let descriptor = unsafe { PatchDescriptor::check(livepatch.patch()) }?;
    // SAFETY: The module is static.
    let module = unsafe { PatchModule::of(descriptor) }.ok_or(EINVAL)?;
    let hold = module.hold()?;

    Patch::read(
        descriptor,
        NewPatch {
            id: registry.next_id(),
            registration: Registration::OneShot,
            states: KVec::new(),
            module,
            hold,
        },
    )
}

/// What was found while a patch was applied.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    objects: usize,
    /// How many of the handler's tables were replaced.
    tables: usize,
    answers: (c_int, c_int, [c_int; 2]),
}

fn answers() -> (c_int, c_int, [c_int; 2]) {
    (one(), two(), twins())
}

/// Applies a patch with each of its functions in an object of its own, and takes it off again.
fn apply_in_pieces(livepatch: &Livepatch) -> Result<Found> {
    let registry = &mut *registry::lock();
    let mut patch = read(registry, livepatch)?;
    let func_stacks = &mut registry.func_stacks;

    patch.load()?;
    let objects = patch.split()?;
    let before = func_stacks.retired();
    let applied = patch.apply(func_stacks);
    let found = Found {
        objects,
        tables: func_stacks.retired() - before,
        answers: answers(),
    };

    patch.revert(func_stacks);
    func_stacks.collect(&publish::synchronize());
    patch.unload();
    applied.map(|()| found)
}

#[kunit_tests(klp_core_many)]
mod tests {
    use super::*;

    /// The handler's table is replaced once for a patch, however many objects that has.
    #[test]
    fn objects_are_applied_with_one_table() -> Result {
        let scene = Scene::new()?;
        let livepatch = Livepatch::new(
            0,
            &patched![one => v1, two => v1, twin[1] => v1, twin[2] => v1],
        )?;

        check_eq!(
            apply_in_pieces(&livepatch)?,
            Found {
                objects: 4,
                tables: 1,
                answers: (1, 1, [1, 1]),
            }
        );
        check_eq!(answers(), (0, 0, [0, 0]));
        scene.end()
    }

    /// Of two mistakes, the first one is reported.
    #[test]
    fn first_mistake_counts() -> Result {
        let [one, two, again] = patched![one => v1, two => v1, one[1] => v2];
        let malformed = Patched {
            new_func: ptr::null_mut(),
            ..two
        };

        for (funcs, error) in [
            ([one, two, again, malformed], EEXIST),
            ([one, two, malformed, again], EINVAL),
            ([malformed, one, two, again], EINVAL),
            ([one, again, malformed, two], EEXIST),
        ] {
            let patch = Livepatch::new(0, &funcs)?;
            check_eq!(patch.register(), Err(error));
            check!(!patch.is_known());
        }
        Ok(())
    }
}
