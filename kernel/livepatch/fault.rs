// SPDX-License-Identifier: GPL-2.0

//! The steps of register and enable that can fail, and faults that the KUnit tests inject there.
//!
//! `tests/faults.rs` lets each of them fail. A step that has no point here is found by
//! `fault-points.py`, a tool beside these tests, and one that takes memory is failed without a
//! point as well.

use kernel::prelude::*;

macro_rules! points {
    ($($(#[$doc:meta])* $point:ident,)*) => {
        /// A step that can fail, in the order in which they happen.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Point {
            $($(#[$doc])* $point,)*
        }

        #[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
        impl Point {
            pub(crate) const ALL: &'static [Point] = &[$(Point::$point),*];
        }
    };
}

points! {
    /// Compare the states with those of the enabled patches.
    CheckStates,
    /// Take a reference to the patch's module.
    HoldModule,
    /// Was the symbol found, and only once?
    Resolve,
    /// Ask for the sizes of a function and its replacement.
    Measure,
    /// Create the patch's directory in sysfs.
    ShowPatch,
    /// Create an object's directory in sysfs.
    ShowObject,
    /// Create a function's directory in sysfs.
    ShowFunc,
    /// Call the pre-patch callback of an object.
    PrePatch,
    /// Ask ftrace for a function's call site.
    FindCallSite,
    /// Have calls come to the handler that jump past it.
    LeaveJumps,
    /// Tell ftrace which functions.
    SetFilter,
    /// Tell ftrace to call the handler.
    RegisterHandler,
}

/// Fails if the tests want the step to fail that comes next. Under `klp_mutex`.
#[cfg(not(CONFIG_LIVEPATCH_RUST_KUNIT_TEST))]
#[inline(always)]
pub(crate) fn check(_point: Point) -> Result {
    Ok(())
}

#[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
pub(crate) use injection::{
    check,
    Fault, //
};

#[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
mod injection {
    use super::*;
    use kernel::sync::atomic::{
        Atomic,
        Relaxed, //
    };

    /// The point that fails, as an index into [`Point::ALL`]; negative for none.
    static POINT: Atomic<i32> = Atomic::new(-1);
    static ERRNO: Atomic<i32> = Atomic::new(0);
    /// How often the point is passed before it fails.
    static SPARED: Atomic<u32> = Atomic::new(0);
    static REACHED: Atomic<u32> = Atomic::new(0);

    /// Fails if the tests want the step to fail that comes next. Under `klp_mutex`.
    pub(crate) fn check(point: Point) -> Result {
        if POINT.load(Relaxed) != point as i32 {
            return Ok(());
        }
        if REACHED.fetch_add(1, Relaxed) < SPARED.load(Relaxed) {
            return Ok(());
        }
        Err(Error::from_errno(ERRNO.load(Relaxed)))
    }

    /// Lets a point fail until it is dropped. There is one at a time.
    pub(crate) struct Fault(());

    impl Fault {
        /// `point` fails with `error`, from the time on when it was reached `spared` times.
        pub(crate) fn inject(point: Point, spared: u32, error: Error) -> Self {
            ERRNO.store(error.to_errno(), Relaxed);
            SPARED.store(spared, Relaxed);
            REACHED.store(0, Relaxed);
            POINT.store(point as i32, Relaxed);
            Fault(())
        }

        /// How often the point was reached so far.
        pub(crate) fn reached(&self) -> u32 {
            REACHED.load(Relaxed)
        }
    }

    impl Drop for Fault {
        fn drop(&mut self) {
            POINT.store(-1, Relaxed);
        }
    }
}
