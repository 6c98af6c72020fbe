// SPDX-License-Identifier: GPL-2.0

//! Each step of register and enable fails, and then nothing has changed.

use super::{
    check,
    check_eq,
    wait_until,
    Livepatch,
    Patched,
    Scene,
    Snapshot, //
};
use crate::fault::{
    Fault,
    Point, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// What is done when a step fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// Register a patch.
    Register,
    /// Enable the first patch, which is registered.
    Enable,
    /// Enable a registered patch on top of another.
    EnableStacked,
    /// Enable a registered patch that replaces another.
    EnableReplacing,
    /// Enable a patch that is not registered, and that replaces another.
    EnableOneShot,
}

use Operation::{
    Enable,
    EnableOneShot,
    EnableReplacing,
    EnableStacked,
    Register, //
};

const OPERATIONS: [Operation; 5] = [
    Register,
    Enable,
    EnableStacked,
    EnableReplacing,
    EnableOneShot,
];

/// What the operation returns when the step fails, and which operations get to it.
///
/// A new point has to be added here.
fn expected(point: Point) -> (Error, &'static [Operation]) {
    const ADMIT: &[Operation] = &[Register, EnableOneShot];
    const ENABLE: &[Operation] = &[Enable, EnableStacked, EnableReplacing, EnableOneShot];
    const ENABLE_REGISTERED: &[Operation] = &[Enable, EnableStacked, EnableReplacing];
    const REPLACE: &[Operation] = &[EnableReplacing, EnableOneShot];
    // When enabled, a registered patch has nothing new but nops.
    const RESOLVE: &[Operation] = &[Register, EnableReplacing, EnableOneShot];

    match point {
        Point::MakeRoomToEnable => (ENOMEM, ENABLE_REGISTERED),
        Point::ReadStates => (ENOMEM, ADMIT),
        Point::CheckStates => (EINVAL, ENABLE),
        Point::HoldModule => (ENODEV, &OPERATIONS),
        Point::MakeRoom => (ENOMEM, ADMIT),
        Point::ReadObject => (ENOMEM, ADMIT),
        Point::ReadFunc => (ENOMEM, ADMIT),
        Point::NewPatch => (ENOMEM, ADMIT),
        Point::AddNops => (ENOMEM, REPLACE),
        Point::Search => (ENOMEM, RESOLVE),
        Point::Resolve => (EINVAL, RESOLVE),
        Point::Measure => (ENOENT, RESOLVE),
        // The directories that are there already are passed.
        Point::ShowPatch => (EEXIST, &OPERATIONS),
        Point::ShowObject => (EEXIST, &OPERATIONS),
        Point::ShowFunc => (EEXIST, &OPERATIONS),
        Point::PreviousStates => (ENOMEM, ENABLE),
        Point::PrePatch => (EPERM, ENABLE),
        Point::FindCallSite => (EINVAL, ENABLE),
        Point::MakeStacks => (ENOMEM, ENABLE),
        Point::SetFilter => (ENODEV, ENABLE),
        // Registered already when there is a patch.
        Point::RegisterHandler => (EBUSY, &[Enable]),
        Point::CollectRanges => (ENOMEM, ENABLE),
    }
}

/// All is ready for the operation.
///
/// The order of the fields is that in which a test that fails undoes things.
struct Stage {
    patch: Livepatch,
    /// What is enabled before, if anything is.
    older: Option<Livepatch>,
    scene: Scene,
    operation: Operation,
    before: Snapshot,
}

impl Stage {
    fn new(operation: Operation) -> Result<Self> {
        let scene = Scene::new()?;
        let older = match operation {
            Register | Enable => None,
            EnableStacked | EnableReplacing | EnableOneShot => Some(
                Livepatch::new(
                    0,
                    &[
                        Patched::new(c"klp_test_one", bindings::klp_test_one_v1),
                        Patched::new(c"klp_test_sleep", bindings::klp_test_sleep_v1),
                    ],
                )?
                .with_absent_object()
                .with_state(1, 1),
            ),
        };
        if let Some(older) = &older {
            older.register()?;
            older.enable_and_settle(&scene.sysfs)?;
        }

        let patch = Livepatch::new(
            1,
            &[
                Patched::new(c"klp_test_one", bindings::klp_test_one_v2),
                Patched::new(c"klp_test_two", bindings::klp_test_two_v2),
                Patched::at(c"klp_test_twin", 2, bindings::klp_test_twin_v2),
            ],
        )?
        .with_state(1, 2);
        let patch = match operation {
            // For these, nops make the object.
            EnableReplacing | EnableOneShot => patch.replacing(),
            Register | Enable | EnableStacked => patch.with_absent_object(),
        };
        if !matches!(operation, Register | EnableOneShot) {
            patch.register()?;
        }

        let before = Snapshot::take(&scene.sysfs)?;
        Ok(Stage {
            scene,
            operation,
            older,
            patch,
            before,
        })
    }

    fn operate(&self) -> Result {
        match self.operation {
            Register => self.patch.register(),
            _ => self.patch.enable(),
        }
    }

    /// After the operation has failed: nothing is left of it.
    fn check_undone(&self) -> Result {
        let after = Snapshot::take(&self.scene.sysfs)?;

        if after != self.before {
            after.print_difference(&self.before);
        }
        check!(after == self.before);
        Ok(())
    }

    /// After the operation has succeeded: does it all, and undoes it.
    fn check_done(&self) -> Result {
        let sysfs = &self.scene.sysfs;
        let patched = super::twins().contains(&2);

        check_eq!(
            (super::two() == 2, patched),
            match self.operation {
                Register => (false, false),
                _ => (true, true),
            }
        );
        check_eq!(super::one(), if self.operation == Register { 0 } else { 2 });

        if self.operation == Register {
            self.patch.unregister()?;
        } else {
            self.patch.settle(sysfs)?;
            if matches!(self.operation, EnableReplacing | EnableOneShot) {
                if let Some(older) = &self.older {
                    // It was replaced: put it below again.
                    self.patch.disable()?;
                    wait_until(|| Ok(Snapshot::take(sysfs)?.is_settled()))?;
                    older.enable_and_settle(sysfs)?;
                }
            } else {
                self.patch.disable_and_settle(sysfs)?;
            }
        }
        // The end of a one-shot patch is in a work item.
        wait_until(|| Ok(Snapshot::take(sysfs)? == self.before)).inspect_err(|_| {
            let _ = self.check_undone();
        })
    }

    fn end(self) -> Result {
        let Stage {
            scene,
            operation,
            older,
            patch,
            ..
        } = self;

        if !matches!(operation, Register | EnableOneShot) {
            patch.unregister()?;
        }
        if let Some(older) = older {
            older.disable_and_settle(&scene.sysfs)?;
            older.unregister()?;
        }
        scene.end()
    }
}

/// Lets `point` fail when it is reached for the first time, for the second time, ... until it is
/// not reached so often. Returns how often it was reached.
fn fail_at(stage: &Stage, point: Point, error: Error) -> Result<u32> {
    for spared in 0.. {
        let fault = Fault::inject(point, spared, error);
        let result = stage.operate();
        let reached = fault.reached();
        drop(fault);

        if reached <= spared {
            check_eq!(result, Ok(()));
            stage.check_done()?;
            return Ok(reached);
        }
        check_eq!(result, Err(error));
        stage.check_undone()?;
    }
    Err(EINVAL)
}

/// Lets each point fail that `operation` gets to. Only those that it should get to.
fn fail_at_each_point(operation: Operation) -> Result {
    let stage = Stage::new(operation)?;

    for &point in Point::ALL {
        let (error, operations) = expected(point);
        let wanted = operations.contains(&operation);

        let reached = fail_at(&stage, point, error).inspect_err(|_| {
            pr_err!("{:?}: the fault was at {:?}\n", operation, point);
        })?;
        if (reached > 0) != wanted {
            pr_err!(
                "{:?}: {:?} was reached {} times\n",
                operation,
                point,
                reached
            );
            return Err(EINVAL);
        }
    }
    stage.end()
}

/// Lets each allocation fail that `operation` makes.
fn fail_each_allocation(operation: Operation) -> Result {
    /// More than any operation makes.
    const MANY: c_uint = 1000;

    let stage = Stage::new(operation)?;
    let nomem = NoMemory::start()?;
    let mut refused = 0;

    for nth in 1..MANY {
        let (result, met) = nomem.with(nth, || stage.operate());

        match result {
            Ok(()) => stage.check_done(),
            Err(ENOMEM) => {
                refused += 1;
                stage.check_undone()
            }
            Err(error) => Err(error),
        }
        .inspect_err(|_| {
            pr_err!("{:?}: allocation {} failed\n", operation, nth);
        })?;
        if met < nth {
            check_eq!(result, Ok(()));
            drop(nomem);
            // Some can be done without: functions are attached one by one then.
            pr_info!(
                "{:?}: {} allocations, {} are needed\n",
                operation,
                met,
                refused
            );
            check!(refused > 0);
            return stage.end();
        }
    }
    Err(EINVAL)
}

/// Lets allocations fail.
struct NoMemory(());

impl NoMemory {
    fn start() -> Result<Self> {
        // SAFETY: May sleep. There is one at a time: tests run one after the other.
        to_result(unsafe { bindings::klp_test_nomem_start() })?;
        Ok(NoMemory(()))
    }

    /// Calls `f`, in which allocation number `nth` fails. Returns how many there were, too.
    fn with<R>(&self, nth: c_uint, f: impl FnOnce() -> R) -> (R, c_uint) {
        // SAFETY: Always possible, and so below.
        unsafe { bindings::klp_test_nomem_arm(nth) };
        let result = f();
        // SAFETY: As above.
        (result, unsafe { bindings::klp_test_nomem_disarm() })
    }
}

impl Drop for NoMemory {
    fn drop(&mut self) {
        // SAFETY: Was started.
        unsafe { bindings::klp_test_nomem_stop() };
    }
}

#[kunit_tests(klp_core_faults)]
mod tests {
    use super::*;

    #[test]
    fn each_point_is_reached_by_some_operation() -> Result {
        for &point in Point::ALL {
            check!(!expected(point).1.is_empty());
        }
        Ok(())
    }

    #[test]
    fn each_point_of_register() -> Result {
        fail_at_each_point(Register)
    }

    #[test]
    fn each_point_of_enable() -> Result {
        fail_at_each_point(Enable)
    }

    #[test]
    fn each_point_of_enable_on_top_of_another() -> Result {
        fail_at_each_point(EnableStacked)
    }

    #[test]
    fn each_point_of_enable_in_place_of_another() -> Result {
        fail_at_each_point(EnableReplacing)
    }

    #[test]
    fn each_point_of_enable_without_register() -> Result {
        fail_at_each_point(EnableOneShot)
    }

    #[test]
    fn each_allocation_of_register() -> Result {
        fail_each_allocation(Register)
    }

    #[test]
    fn each_allocation_of_enable() -> Result {
        fail_each_allocation(Enable)
    }

    #[test]
    fn each_allocation_of_enable_on_top_of_another() -> Result {
        fail_each_allocation(EnableStacked)
    }

    #[test]
    fn each_allocation_of_enable_in_place_of_another() -> Result {
        fail_each_allocation(EnableReplacing)
    }

    #[test]
    fn each_allocation_of_enable_without_register() -> Result {
        fail_each_allocation(EnableOneShot)
    }

    #[test]
    fn function_of_another_owner_is_refused() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(
            0,
            &[
                Patched::new(c"klp_test_one", bindings::klp_test_one_v1),
                Patched::new(c"klp_test_two", bindings::klp_test_two_v1),
                // Which is not called.
                Patched::new(c"should_failslab", bindings::klp_test_one_v1),
            ],
        )?;
        patch.register()?;

        let owner = NoMemory::start()?;
        // ftrace refuses all of them when nothing is attached, and to add them otherwise.
        let sleep = [Patched::new(c"klp_test_sleep", bindings::klp_test_sleep_v1)];
        for funcs in [&[], &sleep[..]] {
            let older = Livepatch::new(1, funcs)?;
            older.enable_and_settle(&scene.sysfs)?;
            let before = Snapshot::take(&scene.sysfs)?;
            check_eq!(patch.enable(), Err(EBUSY));
            check!(Snapshot::take(&scene.sysfs)? == before);
            older.disable()?;
            wait_until(|| Ok(older.references() == 0 && !older.is_visible(&scene.sysfs)))?;
        }
        drop(owner);

        patch.unregister()?;
        scene.end()
    }
}
