// SPDX-License-Identifier: GPL-2.0

//! Walks over tasks.

use super::check;
use crate::shim;
use kernel::{
    bindings,
    prelude::*, //
};

#[kunit_tests(klp_core_tasks)]
mod cases {
    use super::*;

    /// Nobody who forks or exits waits for a walk: others hold the lock now and then, the walk
    /// never does.
    #[test]
    fn a_walk_holds_no_lock() -> Result {
        let mut met = 0;
        let mut free = 0;

        shim::each_task(|task| {
            // Else the walk begins once more.
            if task.is_none() {
                return;
            }
            met += 1;
            // SAFETY: Takes no pointer.
            free += usize::from(unsafe { bindings::klp_test_tasklist_is_free() });
        });
        // At least this task and the one that reaps zombies.
        check!(met >= 2);
        check!(free >= met / 2);
        Ok(())
    }
}
