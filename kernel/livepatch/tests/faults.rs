// SPDX-License-Identifier: GPL-2.0

//! Each step of register and enable fails, and then nothing has changed.

use super::{
    check,
    check_eq,
    patched,
    wait_until,
    Livepatch,
    Patched,
    Scene,
    Sleeper,
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

/// What is done when a step fails, and with what around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
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

use Case::{
    Enable,
    EnableOneShot,
    EnableReplacing,
    EnableStacked,
    Register, //
};

const CASES: [Case; 5] = [
    Register,
    Enable,
    EnableStacked,
    EnableReplacing,
    EnableOneShot,
];

/// What the operation returns when the step fails, and in which cases it gets there.
///
/// A new point has to be added here.
fn expected(point: Point) -> (Error, &'static [Case]) {
    const ENABLE: &[Case] = &[Enable, EnableStacked, EnableReplacing, EnableOneShot];
    // When enabled, a registered patch has nothing new but nops.
    const RESOLVE: &[Case] = &[Register, EnableReplacing, EnableOneShot];

    match point {
        Point::CheckStates => (EINVAL, ENABLE),
        Point::HoldModule => (ENODEV, &CASES),
        Point::Resolve => (EINVAL, RESOLVE),
        Point::Measure => (ENOENT, RESOLVE),
        // The directories that are there already are passed.
        Point::ShowPatch => (EEXIST, &CASES),
        Point::ShowObject => (EEXIST, &CASES),
        Point::ShowFunc => (EEXIST, &CASES),
        Point::PrePatch => (EPERM, ENABLE),
        Point::FindCallSite => (EINVAL, ENABLE),
        Point::LeaveJumps => (ENODEV, ENABLE),
        Point::SetFilter => (ENODEV, ENABLE),
        // Registered already when there is a patch.
        Point::RegisterHandler => (EBUSY, &[Enable]),
    }
}

/// All is ready for the operation.
///
/// The order of the fields is that in which a test that fails undoes things.
struct Setup {
    patch: Livepatch,
    /// What is enabled before, if anything is.
    older: Option<Livepatch>,
    scene: Scene,
    case: Case,
    before: Snapshot,
}

impl Setup {
    fn new(case: Case) -> Result<Self> {
        let scene = Scene::new()?;
        let older = match case {
            Register | Enable => None,
            EnableStacked | EnableReplacing | EnableOneShot => Some(
                Livepatch::new(0, &patched![one => v1, sleep => v1])?
                    .with_absent_object()
                    .with_state(1, 1),
            ),
        };
        if let Some(older) = &older {
            older.register()?;
            older.enable_and_settle(&scene.sysfs)?;
        }

        let patch =
            Livepatch::new(1, &patched![one => v2, two => v2, twin[2] => v2])?.with_state(1, 2);
        let patch = match case {
            // For these, nops make the object.
            EnableReplacing | EnableOneShot => patch.replacing(),
            Register | Enable | EnableStacked => patch.with_absent_object(),
        };
        if !matches!(case, Register | EnableOneShot) {
            patch.register()?;
        }

        let before = Snapshot::take(&scene.sysfs)?;
        Ok(Setup {
            scene,
            case,
            older,
            patch,
            before,
        })
    }

    fn operate(&self) -> Result {
        match self.case {
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
            match self.case {
                Register => (false, false),
                _ => (true, true),
            }
        );
        check_eq!(super::one(), if self.case == Register { 0 } else { 2 });

        if self.case == Register {
            self.patch.unregister()?;
        } else {
            self.patch.settle(sysfs)?;
            if matches!(self.case, EnableReplacing | EnableOneShot) {
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
        let Setup {
            scene,
            case,
            older,
            patch,
            ..
        } = self;

        if !matches!(case, Register | EnableOneShot) {
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
fn fail_at(setup: &Setup, point: Point, error: Error) -> Result<u32> {
    for spared in 0.. {
        let fault = Fault::inject(point, spared, error);
        let result = setup.operate();
        let reached = fault.reached();
        drop(fault);

        if reached <= spared {
            check_eq!(result, Ok(()));
            setup.check_done()?;
            return Ok(reached);
        }
        check_eq!(result, Err(error));
        setup.check_undone()?;
    }
    Err(EINVAL)
}

/// Lets each point fail that `case` gets to. Only those that it should get to.
fn fail_at_each_point(case: Case) -> Result {
    let setup = Setup::new(case)?;

    for &point in Point::ALL {
        let (error, cases) = expected(point);
        let wanted = cases.contains(&case);

        let reached = fail_at(&setup, point, error).inspect_err(|_| {
            pr_err!("{:?}: the fault was at {:?}\n", case, point);
        })?;
        if (reached > 0) != wanted {
            pr_err!("{:?}: {:?} was reached {} times\n", case, point, reached);
            return Err(EINVAL);
        }
    }
    setup.end()
}

/// Lets each allocation fail that is made in `case`.
fn fail_each_allocation(case: Case) -> Result {
    /// More than any operation makes.
    const MANY: c_uint = 1000;

    let setup = Setup::new(case)?;
    let nomem = NoMemory::start()?;
    let mut refused = 0;

    for nth in 1..MANY {
        let (result, met) = nomem.with(nth, || setup.operate());

        match result {
            Ok(()) => setup.check_done(),
            Err(ENOMEM) => {
                refused += 1;
                setup.check_undone()
            }
            Err(error) => Err(error),
        }
        .inspect_err(|_| {
            pr_err!("{:?}: allocation {} failed\n", case, nth);
        })?;
        if met < nth {
            check_eq!(result, Ok(()));
            drop(nomem);
            // Some can be done without: functions are attached in smaller batches then.
            pr_info!("{:?}: {} allocations, {} are needed\n", case, met, refused);
            check!(refused > 0);
            return setup.end();
        }
    }
    Err(EINVAL)
}

/// Lets allocations fail.
pub(super) struct NoMemory(());

impl NoMemory {
    pub(super) fn start() -> Result<Self> {
        // SAFETY: May sleep. There is one at a time: tests run one after the other.
        to_result(unsafe { bindings::klp_test_nomem_start() })?;
        Ok(NoMemory(()))
    }

    /// Calls `f`, in which allocation number `nth` fails. Returns how many there were, too.
    fn with<R>(&self, nth: c_uint, f: impl FnOnce() -> R) -> (R, c_uint) {
        self.with_some(nth, 1, f)
    }

    /// Calls `f`, in which the first `count` allocations fail. Returns how many there were, too.
    pub(super) fn with_first<R>(&self, count: c_uint, f: impl FnOnce() -> R) -> (R, c_uint) {
        self.with_some(1, count, f)
    }

    fn with_some<R>(&self, nth: c_uint, count: c_uint, f: impl FnOnce() -> R) -> (R, c_uint) {
        // SAFETY: Takes numbers; that `self` exists shows that it was started.
        unsafe { bindings::klp_test_nomem_arm(nth, count) };
        let result = f();
        // SAFETY: Takes no pointer; it was armed above.
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
    fn each_point_is_reached_in_some_case() -> Result {
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

    /// Nothing but time may be needed to get rid of a patch.
    #[test]
    fn no_allocation_is_needed_to_disable() -> Result {
        /// More than disabling makes.
        const MANY: c_uint = 100;

        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![one => v1, two => v1])?.with_state(1, 1);
        let above = Livepatch::new(1, &patched![one => v2])?.with_state(1, 2);
        patch.register()?;
        above.register()?;

        let nomem = NoMemory::start()?;
        for nth in 1..MANY {
            patch.enable_and_settle(&scene.sysfs)?;
            above.enable_and_settle(&scene.sysfs)?;

            let mut made = 0;
            for livepatch in [&above, &patch] {
                let (result, met) = nomem.with(nth, || livepatch.disable());
                check_eq!(result, Ok(()));
                livepatch.settle(&scene.sysfs)?;
                made += c_uint::from(met >= nth);
            }
            if made == 0 {
                drop(nomem);
                above.unregister()?;
                patch.unregister()?;
                return scene.end();
            }
        }
        Err(EINVAL)
    }

    /// Nor to take back what holds things up.
    #[test]
    fn no_allocation_is_needed_to_reverse() -> Result {
        const MANY: c_uint = 100;

        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![one => v1, sleep => v1])?;
        patch.register()?;
        patch.enable_and_settle(&scene.sysfs)?;

        let sleeper = Sleeper::new()?;
        patch.disable()?;
        let nomem = NoMemory::start()?;
        let mut none = 0;
        for nth in 1..MANY {
            // Back and forth: the sleeper stays in the new function.
            for operation in [Livepatch::enable, Livepatch::disable] {
                let (result, met) = nomem.with(nth, || operation(&patch));
                check_eq!(result, Ok(()));
                none += c_uint::from(met < nth);
            }
            if none >= 4 {
                break;
            }
        }
        drop(nomem);
        check!(none >= 4);
        check_eq!(sleeper.wake(), 1);
        patch.settle(&scene.sysfs)?;
        patch.unregister()?;
        scene.end()
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
        let sleep = patched![sleep => v1];
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
