// SPDX-License-Identifier: GPL-2.0

//! Calls that jump to a replacement, past the handler: what is at the call site is what counts.

use super::{
    attach::{
        DirectCaller,
        Owner, //
    },
    check,
    check_eq,
    one,
    patched,
    two,
    Livepatch,
    Scene,
    Sleeper,
    Snapshot, //
};
use crate::{
    abi,
    fault::{
        Fault,
        Point, //
    },
    registry, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*, //
};

/// A function of C.
type Function = unsafe extern "C" fn() -> c_int;

const NOWHERE: usize = 0;

/// The call site of `func`.
fn call_site(func: Function) -> usize {
    // SAFETY: Any address may be asked for.
    unsafe { bindings::ftrace_location(func as usize) }
}

/// Where calls of `func` jump to; [`NOWHERE`] if they come to a handler, or to the function.
fn target_of(func: Function) -> usize {
    // SAFETY: What is at the address is tried to be read.
    unsafe { bindings::klp_test_jump_target(call_site(func)) }
}

/// Where calls jump to that have to go to `replacement`, as far as this kernel can.
fn to(replacement: Function) -> usize {
    if cfg!(CONFIG_DYNAMIC_FTRACE_IPMODIFY_JMP) {
        replacement as usize
    } else {
        NOWHERE
    }
}

fn target_of_one() -> usize {
    target_of(bindings::klp_test_one)
}

fn target_of_two() -> usize {
    target_of(bindings::klp_test_two)
}

/// A tracer of a function.
struct Tracer(());

impl Tracer {
    fn of(func: Function) -> Result<Self> {
        // SAFETY: The address is searched for and not accessed. There is one at a time.
        to_result(unsafe { bindings::klp_test_trace(call_site(func)) })?;
        Ok(Tracer(()))
    }

    /// Ends, and returns how many calls it has seen.
    fn end(self) -> c_uint {
        core::mem::forget(self);
        // SAFETY: It is there.
        unsafe { bindings::klp_test_untrace() }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // SAFETY: It is there.
        unsafe { bindings::klp_test_untrace() };
    }
}

/// The administrator's switch.
struct Switch(());

impl Switch {
    fn off() -> Self {
        let switch = Switch(());

        switch.set(false);
        switch
    }

    /// As a write to the parameter, and the work item after it.
    fn set(&self, on: bool) {
        // SAFETY: A test writes to it while nobody else does; the core reads it at any time.
        unsafe { (&raw mut bindings::klp_jump).write_volatile(on) };
        // SAFETY: Nothing is asked of the caller.
        unsafe { abi::klp_rust_jump() };
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.set(true);
    }
}

#[kunit_tests(klp_core_jumps)]
mod tests {
    use super::*;

    #[test]
    fn calls_jump_to_what_all_tasks_run() -> Result {
        let scene = Scene::new()?;
        let older = Livepatch::new(0, &patched![one => v1, two => v1])?;
        let newer = Livepatch::new(1, &patched![one => v2])?;
        older.register()?;
        newer.register()?;
        check_eq!((target_of_one(), target_of_two()), (NOWHERE, NOWHERE));

        for _ in 0..2 {
            older.enable_and_settle(&scene.sysfs)?;
            check_eq!(target_of_one(), to(bindings::klp_test_one_v1));
            check_eq!(target_of_two(), to(bindings::klp_test_two_v1));
            check_eq!((one(), two()), (1, 1));

            newer.enable_and_settle(&scene.sysfs)?;
            check_eq!(target_of_one(), to(bindings::klp_test_one_v2));
            check_eq!(target_of_two(), to(bindings::klp_test_two_v1));
            check_eq!((one(), two()), (2, 1));

            newer.disable_and_settle(&scene.sysfs)?;
            check_eq!(target_of_one(), to(bindings::klp_test_one_v1));
            check_eq!((one(), two()), (1, 1));

            older.disable_and_settle(&scene.sysfs)?;
            check_eq!((target_of_one(), target_of_two()), (NOWHERE, NOWHERE));
            check_eq!((one(), two()), (0, 0));
        }
        newer.unregister()?;
        older.unregister()?;
        scene.end()
    }

    #[test]
    fn calls_come_to_the_handler_in_a_transition() -> Result {
        let scene = Scene::new()?;
        let older = Livepatch::new(0, &patched![one => v1, two => v1])?;
        let newer = Livepatch::new(1, &patched![sleep => v1, one => v2])?;
        older.register()?;
        newer.register()?;
        older.enable_and_settle(&scene.sysfs)?;

        let sleeper = Sleeper::new()?;
        newer.enable()?;
        check_eq!(newer.attribute(&scene.sysfs, c"transition")?, 1);
        check_eq!(target_of_one(), NOWHERE);
        check_eq!(target_of(bindings::klp_test_sleep), NOWHERE);
        // That one has no part in it.
        check_eq!(target_of_two(), to(bindings::klp_test_two_v1));

        // Back and forth.
        newer.write(&scene.sysfs, c"enabled", b"0")?;
        newer.settle(&scene.sysfs)?;
        check_eq!(target_of_one(), to(bindings::klp_test_one_v1));
        newer.enable()?;
        check_eq!(target_of_one(), NOWHERE);
        check_eq!(sleeper.wake(), 0);
        newer.settle(&scene.sysfs)?;
        check_eq!(target_of_one(), to(bindings::klp_test_one_v2));
        check_eq!(
            target_of(bindings::klp_test_sleep),
            to(bindings::klp_test_sleep_v1)
        );

        let sleeper = Sleeper::new()?;
        newer.disable()?;
        check_eq!(newer.attribute(&scene.sysfs, c"transition")?, 1);
        check_eq!(target_of_one(), NOWHERE);
        check_eq!(target_of(bindings::klp_test_sleep), NOWHERE);
        check_eq!(sleeper.wake(), 1);
        newer.settle(&scene.sysfs)?;
        check_eq!(target_of_one(), to(bindings::klp_test_one_v1));

        older.disable_and_settle(&scene.sysfs)?;
        newer.unregister()?;
        older.unregister()?;
        scene.end()
    }

    #[test]
    fn calls_do_not_jump_to_the_original() -> Result {
        let scene = Scene::new()?;
        let first = Livepatch::new(0, &patched![sleep => v1, two => v1])?;
        let all = Livepatch::new(1, &patched![one => v3])?.replacing();
        first.register()?;
        first.enable_and_settle(&scene.sysfs)?;
        all.register()?;

        // In mid-transition, `two` has a nop.
        let sleeper = Sleeper::new()?;
        all.enable()?;
        check_eq!(all.attribute(&scene.sysfs, c"transition")?, 1);
        check_eq!((target_of_one(), target_of_two()), (NOWHERE, NOWHERE));

        check_eq!(sleeper.wake(), 1);
        all.settle(&scene.sysfs)?;
        check_eq!(target_of_one(), to(bindings::klp_test_one_v3));
        check_eq!(target_of_two(), NOWHERE);
        check_eq!((one(), two()), (3, 0));

        all.disable_and_settle(&scene.sysfs)?;
        all.unregister()?;
        first.unregister()?;
        scene.end()
    }

    #[test]
    fn tracer_sees_all_calls_while_it_is_there() -> Result {
        const CALLS: c_uint = 5;

        let scene = Scene::new()?;
        let older = Livepatch::new(0, &patched![one => v1])?;
        let newer = Livepatch::new(1, &patched![one => v2])?;
        older.register()?;
        newer.register()?;
        older.enable_and_settle(&scene.sysfs)?;

        for (patch, answer, target) in [
            (&newer, 2, bindings::klp_test_one_v2 as Function),
            (&newer, 1, bindings::klp_test_one_v1),
        ] {
            let tracer = Tracer::of(bindings::klp_test_one)?;
            check_eq!(target_of_one(), NOWHERE);
            // What is jumped to when the tracer has gone is what is there then.
            if answer == 2 {
                patch.enable_and_settle(&scene.sysfs)?;
            } else {
                patch.disable_and_settle(&scene.sysfs)?;
            }
            check_eq!(target_of_one(), NOWHERE);
            for _ in 0..CALLS {
                check_eq!(one(), answer);
            }
            check_eq!(tracer.end(), CALLS);
            check_eq!(target_of_one(), to(target));
            check_eq!(one(), answer);
        }

        // One that is there before, and after.
        older.disable_and_settle(&scene.sysfs)?;
        let tracer = Tracer::of(bindings::klp_test_one)?;
        older.enable_and_settle(&scene.sysfs)?;
        check_eq!(one(), 1);
        older.disable_and_settle(&scene.sysfs)?;
        check_eq!(one(), 0);
        check_eq!(target_of_one(), NOWHERE);
        check_eq!(tracer.end(), 2);
        newer.unregister()?;
        older.unregister()?;
        scene.end()
    }

    /// Who owns the function next has not asked for a jump.
    #[test]
    fn next_owner_does_not_inherit_the_jump() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![one => v1])?;
        patch.register()?;

        // The tracer keeps ftrace's record from being cleared.
        let tracer = Tracer::of(bindings::klp_test_one)?;
        patch.enable_and_settle(&scene.sysfs)?;
        patch.disable_and_settle(&scene.sysfs)?;
        let owner = Owner::of(call_site(bindings::klp_test_one))?;
        check_eq!(tracer.end(), 0);
        check_eq!(target_of_one(), NOWHERE);
        check_eq!(one(), 0);

        drop(owner);
        patch.unregister()?;
        scene.end()
    }

    #[test]
    fn direct_caller_comes_and_goes() -> Result {
        let scene = Scene::new()?;
        let ips = [call_site(bindings::klp_test_one)];
        let patch = Livepatch::new(0, &patched![one => v1, two => v1])?;
        patch.register()?;

        if !cfg!(CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS) {
            return Ok(());
        }
        let caller = DirectCaller::of(&ips, 0)?;
        patch.enable_and_settle(&scene.sysfs)?;
        check_eq!(target_of_one(), NOWHERE);
        check_eq!(target_of_two(), to(bindings::klp_test_two_v1));
        check_eq!((one(), two()), (1, 1));

        drop(caller);
        check_eq!(target_of_one(), to(bindings::klp_test_one_v1));
        check_eq!((one(), two()), (1, 1));

        patch.disable_and_settle(&scene.sysfs)?;
        patch.unregister()?;
        scene.end()
    }

    /// As if ftrace had shut down.
    #[test]
    fn patch_stays_enabled_if_its_jumps_do() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![one => v1])?;
        patch.register()?;
        patch.enable_and_settle(&scene.sysfs)?;
        let enabled = Snapshot::take(&scene.sysfs)?;

        let fault = Fault::inject(Point::LeaveJumps, 0, ENODEV);
        check_eq!(patch.disable(), Err(ENODEV));
        check_eq!(patch.write(&scene.sysfs, c"enabled", b"0"), Err(ENODEV));
        check_eq!(fault.reached(), 2);
        drop(fault);
        check!(Snapshot::take(&scene.sysfs)? == enabled);
        check_eq!(one(), 1);

        patch.disable_and_settle(&scene.sysfs)?;
        patch.unregister()?;
        scene.end()
    }

    #[test]
    fn administrator_can_switch_it_off() -> Result {
        let scene = Scene::new()?;
        let patch = Livepatch::new(0, &patched![one => v1])?;
        let other = Livepatch::new(1, &patched![sleep => v1])?;
        patch.register()?;
        other.register()?;
        patch.enable_and_settle(&scene.sysfs)?;
        check_eq!(target_of_one(), to(bindings::klp_test_one_v1));

        let switch = Switch::off();
        check_eq!(target_of_one(), NOWHERE);
        check_eq!(one(), 1);

        // In a transition, it is for those who have no part in that.
        let sleeper = Sleeper::new()?;
        other.enable()?;
        switch.set(true);
        check_eq!(target_of_one(), to(bindings::klp_test_one_v1));
        check_eq!(target_of(bindings::klp_test_sleep), NOWHERE);
        switch.set(false);
        check_eq!(sleeper.wake(), 0);
        other.settle(&scene.sysfs)?;
        check_eq!(registry::lock().func_stacks.jumping().count(), 0);
        check_eq!(target_of(bindings::klp_test_sleep), NOWHERE);
        drop(switch);
        check_eq!(target_of_one(), to(bindings::klp_test_one_v1));

        other.disable_and_settle(&scene.sysfs)?;
        patch.disable_and_settle(&scene.sysfs)?;
        other.unregister()?;
        patch.unregister()?;
        scene.end()
    }
}

#[cfg(CONFIG_DYNAMIC_FTRACE_IPMODIFY_JMP)]
#[kunit_tests(klp_core_ftrace_jumps)]
mod ftrace {
    use super::*;

    /// Lets the owner of `func` jump to `target`.
    fn set(func: Function, target: usize) -> Result {
        // SAFETY: ftrace looks at the addresses; a test that has it jump knows where to.
        to_result(unsafe { bindings::klp_test_owner_jumps(call_site(func), target) })
    }

    fn clear(func: Function) -> Result {
        // SAFETY: As in `set`.
        to_result(unsafe { bindings::klp_test_owner_calls(call_site(func)) })
    }

    #[test]
    fn what_cannot_be_is_refused() -> Result {
        let scene = Scene::new()?;
        let target = bindings::klp_test_one_v1 as *const () as usize;
        let other = bindings::klp_test_one_v2 as *const () as usize;

        // Nobody owns it, or was the owner once.
        drop(Owner::of(call_site(bindings::klp_test_one))?);
        check_eq!(set(bindings::klp_test_one, target), Err(EINVAL));

        let owner = Owner::of(call_site(bindings::klp_test_one))?;
        check_eq!(set(bindings::klp_test_two, target), Err(ENOENT));
        check_eq!(set(bindings::klp_test_one, 0), Err(EINVAL));
        check_eq!(set(bindings::klp_test_one, target + 1), Err(EINVAL));
        // Half an instruction.
        if cfg!(any(CONFIG_ARM64, CONFIG_LOONGARCH)) {
            check_eq!(set(bindings::klp_test_one, target + 2), Err(EINVAL));
        }
        // A trampoline of s390 may have any address.
        if !cfg!(CONFIG_S390) {
            check_eq!(set(bindings::klp_test_one, target ^ (1 << 40)), Err(EINVAL));
        }
        check_eq!(target_of_one(), NOWHERE);
        // There is nothing to be done for these.
        check_eq!(clear(bindings::klp_test_one), Ok(()));
        check_eq!(clear(bindings::klp_test_two), Ok(()));

        set(bindings::klp_test_one, target)?;
        check_eq!((target_of_one(), one()), (target, 1));
        check_eq!(set(bindings::klp_test_one, target), Ok(()));
        check_eq!(set(bindings::klp_test_one, other), Err(EBUSY));
        check_eq!((target_of_one(), one()), (target, 1));

        // A new filter with the same function does not change that, nor what follows.
        owner.filter_again(call_site(bindings::klp_test_one))?;
        check_eq!((target_of_one(), one()), (target, 1));
        drop(Tracer::of(bindings::klp_test_one)?);
        check_eq!((target_of_one(), one()), (target, 1));

        // While others are there, it does not jump, and the target can be changed.
        let tracer = Tracer::of(bindings::klp_test_one)?;
        check_eq!(set(bindings::klp_test_one, other), Ok(()));
        check_eq!((target_of_one(), one()), (NOWHERE, 0));
        check_eq!(tracer.end(), 1);
        check_eq!((target_of_one(), one()), (other, 2));

        check_eq!(clear(bindings::klp_test_one), Ok(()));
        check_eq!((target_of_one(), one()), (NOWHERE, 0));
        set(bindings::klp_test_one, target)?;
        check_eq!((target_of_one(), one()), (target, 1));

        // It jumps until the last moment.
        drop(owner);
        check_eq!((target_of_one(), one()), (NOWHERE, 0));
        check_eq!(clear(bindings::klp_test_one), Err(EINVAL));
        scene.end()
    }
}
