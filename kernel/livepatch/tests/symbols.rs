// SPDX-License-Identifier: GPL-2.0

//! From names to functions, when a name is not unique.

use super::{
    check,
    check_eq,
    patched,
    twins,
    wait_until,
    Livepatch,
    Patched,
    Scene,
    Snapshot, //
};
use crate::symbols::{
    search,
    Wanted, //
};
use kernel::{
    bindings,
    prelude::*, //
};

const TWIN: &CStr = c"klp_test_twin";

/// The addresses of the functions of one name, in the order of the symbol table.
fn sorted() -> Result<[usize; 2]> {
    // SAFETY: They take no pointer, and return those of functions.
    let (first, second) = unsafe {
        (
            bindings::klp_test_first_twin(),
            bindings::klp_test_second_twin(),
        )
    };
    let (first, second) = (first.ok_or(EINVAL)?, second.ok_or(EINVAL)?);
    let mut sorted = [
        first as *const () as usize,
        second as *const () as usize, //
    ];

    sorted.sort_unstable();
    Ok(sorted)
}

#[kunit_tests(klp_core_symbols)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_found_at_once() -> Result {
        let mut wanted = [
            Wanted::new(None, c"klp_test_one", 0),
            Wanted::new(None, TWIN, 2),
            Wanted::new(None, c"klp_test_no_such_function", 0),
            Wanted::new(None, TWIN, 1),
            Wanted::new(None, c"klp_test_one", 1),
            Wanted::new(None, TWIN, 3),
            Wanted::new(None, TWIN, 0),
            Wanted::new(Some(c"klp_test_absent"), c"klp_test_one", 0),
        ];
        let [low, high] = sorted()?;
        let one = bindings::klp_test_one as *const () as usize;

        search(&mut wanted)?;
        let found = wanted.each_ref().map(Wanted::resolved);
        check_eq!(
            found,
            [
                Ok(one),
                Ok(high),
                Err(EINVAL),
                Ok(low),
                Ok(one),
                Err(EINVAL),
                Err(EINVAL),
                Err(EINVAL),
            ]
        );
        Ok(())
    }

    #[test]
    fn duplicate_needs_a_position_that_exists() -> Result {
        let scene = Scene::new()?;

        for position in [0, 3] {
            let patch = Livepatch::new(0, &patched![one => v1, twin[position] => v1])?;
            check_eq!(patch.register(), Err(EINVAL));
            check!(Snapshot::take(&scene.sysfs)? == scene.before);
            check_eq!(patch.enable(), Err(EINVAL));
            check!(Snapshot::take(&scene.sysfs)? == scene.before);
        }
        scene.end()
    }

    #[test]
    fn position_says_which_duplicate() -> Result {
        let scene = Scene::new()?;
        let [low, _] = sorted()?;
        // SAFETY: Takes no pointer, and returns that of a function.
        let first = unsafe { bindings::klp_test_first_twin() }.ok_or(EINVAL)?;
        // Which one is where is up to the linker.
        let first_is_low = first as *const () as usize == low;

        for (position, is_first) in [(1, first_is_low), (2, !first_is_low)] {
            let patch = Livepatch::new(0, &patched![twin[position] => v1])?;
            patch.enable_and_settle(&scene.sysfs)?;
            check_eq!(twins(), if is_first { [1, 0] } else { [0, 1] });
            patch.disable()?;
            wait_until(|| Ok(Snapshot::take(&scene.sysfs)? == scene.before))?;
        }

        let patch = Livepatch::new(0, &patched![twin[2] => v2, twin[1] => v1])?;
        patch.enable_and_settle(&scene.sysfs)?;
        check_eq!(twins(), if first_is_low { [1, 2] } else { [2, 1] });
        patch.disable()?;
        scene.end()
    }

    #[test]
    fn function_that_is_not_traced_is_refused() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(
            0,
            &[
                Patched::new(c"klp_test_one", bindings::klp_test_one_v1),
                Patched::new(c"klp_test_untraced", bindings::klp_test_one_v1),
            ],
        )?;

        // ftrace is asked when the patch is enabled.
        patch.register()?;
        let registered = Snapshot::take(&scene.sysfs)?;
        check_eq!(patch.enable(), Err(EINVAL));
        check!(Snapshot::take(&scene.sysfs)? == registered);
        patch.unregister()?;

        check_eq!(patch.enable(), Err(EINVAL));
        scene.end()
    }
}
