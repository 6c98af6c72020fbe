// SPDX-License-Identifier: GPL-2.0

//! Large batches: what ftrace refuses of them, direct callers, and no memory when they go.

use super::{
    check,
    check_eq,
    faults::NoMemory,
    Scene, //
};
use crate::{
    fault::{
        Fault,
        Point, //
    },
    func_stacks::{
        AttachError,
        Site,
        Version, //
    },
    model::ip_table::{
        self,
        Slot, //
    },
    publish,
    registry, //
};
use core::{
    ops::Range,
    ptr,
    slice, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

const MANY: usize = bindings::KLP_TEST_MANY as usize;

/// What it takes at most to find one function among [`MANY`]: three changes of the filter whenever
/// the batch is halved, and one for the whole.
const STEPS: u32 = 3 * MANY.ilog2() + 1;

/// Many functions, and a version for each of them that runs the original.
struct Many {
    /// Sorted.
    ips: KVec<usize>,
    versions: KVec<Version>,
}

impl Many {
    fn new() -> Result<Self> {
        let mut ips = KVec::with_capacity(MANY, GFP_KERNEL)?;
        let mut versions = KVec::with_capacity(MANY, GFP_KERNEL)?;

        for nr in 0..MANY {
            // SAFETY: There is a function of that number.
            ips.push(unsafe { bindings::klp_test_many(nr as c_uint) }, GFP_KERNEL)?;
            versions.push(Version::new(0), GFP_KERNEL)?;
        }
        ips.sort_unstable();
        Ok(Many { ips, versions })
    }

    fn ip(&self, nr: usize) -> usize {
        self.ips.get(nr).copied().unwrap_or(0)
    }

    fn sites(&self, range: Range<usize>) -> impl Iterator<Item = Site<'_>> + Clone {
        let all = self.ips.iter().zip(&self.versions);

        all.map(|(&ip, version)| Site { ip, version })
            .skip(range.start)
            .take(range.len())
    }

    fn apply(&self, range: Range<usize>) -> Result<(), AttachError> {
        let mut sites = KVec::new();

        for site in self.sites(range) {
            sites.push(site, GFP_KERNEL)?;
        }
        // SAFETY: No test applies a version twice, and all of them are taken off in `drop`.
        unsafe { registry::lock().func_stacks.apply(&sites) }
    }

    fn remove(&self, range: Range<usize>) {
        registry::lock().func_stacks.remove(self.sites(range));
    }

    /// How many call sites are attached.
    fn attached(&self) -> usize {
        let registry = registry::lock();
        let in_use = registry.func_stacks.in_use();

        in_use.filter(|(_, attached, _)| *attached).count()
    }

    /// Applies a batch with the function `nr`, which ftrace refuses. Returns how often the filter
    /// was changed for that.
    fn is_refused(&self, range: Range<usize>, nr: usize) -> Result<u32> {
        let before = self.attached();

        // Counts, and does not fail.
        let fault = Fault::inject(Point::SetFilter, u32::MAX, EINVAL);
        let result = self.apply(range).map_err(|error| (error.ip, error.error));
        let steps = fault.reached();

        check_eq!(result, Err((Some(self.ip(nr)), EBUSY)));
        check_eq!(self.attached(), before);
        Ok(steps)
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        let func_stacks = &mut registry::lock().func_stacks;

        func_stacks.remove(self.sites(0..MANY));
        func_stacks.collect(&publish::synchronize());
    }
}

/// Another owner of a function.
pub(super) struct Owner(());

impl Owner {
    pub(super) fn of(ip: usize) -> Result<Self> {
        // SAFETY: `ip` is searched for and not accessed. There is one at a time.
        to_result(unsafe { bindings::klp_test_own(ip) })?;
        Ok(Owner(()))
    }

    /// Makes a new filter for the same function.
    pub(super) fn filter_again(&self, ip: usize) -> Result {
        // SAFETY: `ip` is searched for and not accessed.
        to_result(unsafe { bindings::klp_test_owner_filter(ip) })
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: It is there.
        unsafe { bindings::klp_test_disown() };
    }
}

/// A direct caller of functions.
pub(super) struct DirectCaller(());

impl DirectCaller {
    /// It shares the functions with others, except for the one at `refuses`.
    pub(super) fn of(ips: &[usize], refuses: usize) -> Result<Self> {
        // SAFETY: `ips` has as many elements as is said, and is only read: its type is ftrace's
        // business. There is one at a time.
        to_result(unsafe {
            bindings::klp_test_direct_start(ips.as_ptr().cast_mut(), ips.len() as c_uint, refuses)
        })?;
        Ok(DirectCaller(()))
    }

    /// How often it asks for another try from now on; returns how often it has not come to that.
    fn be_busy(&self, times: c_int) -> c_int {
        // SAFETY: It is there.
        unsafe { bindings::klp_test_direct_be_busy(times) }
    }

    /// How many functions it still thinks that it shares, when it ends.
    fn end(self) -> c_int {
        core::mem::forget(self);
        // SAFETY: It is there.
        unsafe { bindings::klp_test_direct_stop() }
    }
}

impl Drop for DirectCaller {
    fn drop(&mut self) {
        // SAFETY: It is there.
        unsafe { bindings::klp_test_direct_stop() };
    }
}

/// How many `ftrace_ops` are registered.
fn ftrace_ops() -> c_uint {
    // SAFETY: Takes no pointer.
    unsafe { bindings::klp_test_ftrace_ops() }
}

#[kunit_tests(klp_core_attach)]
mod tests {
    use super::*;

    #[test]
    fn function_of_another_owner_is_found_by_halving() -> Result {
        let scene = Scene::new()?;
        let many = Many::new()?;

        // The handler is registered by the batch, or was before.
        for live in [0, 1] {
            check!(many.apply(0..live).is_ok());
            for nr in [1, 2, 31, 40, MANY - 1] {
                let owner = Owner::of(many.ip(nr))?;
                let steps = many.is_refused(live..MANY, nr)?;
                drop(owner);
                check!(steps <= STEPS);
            }
            check!(many.apply(live..MANY).is_ok());
            check_eq!(many.attached(), MANY);
            many.remove(0..MANY);
        }
        drop(many);
        scene.end()
    }

    #[test]
    fn direct_callers_of_a_batch_share_an_ops() -> Result {
        let scene = Scene::new()?;
        let many = Many::new()?;
        check!(many.apply(0..1).is_ok());

        let all = 1..MANY;
        for parts in [slice::from_ref(&all), &[1..20, 20..MANY]] {
            let caller = DirectCaller::of(&many.ips, 0)?;
            let before = ftrace_ops();

            check!(many.apply(all.clone()).is_ok());
            check_eq!(ftrace_ops(), before + 1);
            check_eq!(many.attached(), MANY);
            check_eq!(registry::lock().func_stacks.shared(), 1);

            for part in parts {
                check_eq!(ftrace_ops(), before + 1);
                many.remove(part.clone());
            }
            check_eq!(ftrace_ops(), before);
            check_eq!(many.attached(), 1);
            // It is told of those that are the last ones.
            let told = parts.last().map_or(0, Range::len);
            check_eq!(caller.end(), (MANY - 1 - told) as c_int);
        }
        drop(many);
        scene.end()
    }

    #[test]
    fn direct_caller_that_refuses_is_found_by_halving() -> Result {
        let scene = Scene::new()?;
        let many = Many::new()?;

        for live in [0, 1] {
            check!(many.apply(0..live).is_ok());
            for nr in [1, 40, MANY - 1] {
                let caller = DirectCaller::of(&many.ips, many.ip(nr))?;
                let before = ftrace_ops();
                let steps = many.is_refused(live..MANY, nr)?;
                check_eq!(ftrace_ops(), before);
                drop(caller);
                check!(steps <= STEPS);
            }
            many.remove(0..live);
        }
        drop(many);
        scene.end()
    }

    #[test]
    fn direct_caller_that_is_busy_is_asked_again() -> Result {
        let scene = Scene::new()?;
        let many = Many::new()?;
        let caller = DirectCaller::of(&many.ips, 0)?;

        caller.be_busy(10);
        check!(many.apply(0..MANY).is_ok());
        check_eq!(caller.be_busy(c_int::MAX), 0);
        many.remove(0..MANY);

        // But not for ever.
        let result = many.apply(0..MANY).map_err(|error| error.error);
        check_eq!(result, Err(EAGAIN));
        check_eq!(many.attached(), 0);
        check!(caller.be_busy(0) > 0);

        drop((caller, many));
        scene.end()
    }

    /// Call sites that ftrace does not know keep none of the others.
    #[test]
    fn unknown_call_sites_are_left_out() -> Result {
        let scene = Scene::new()?;
        let many = Many::new()?;
        check!(many.apply(0..MANY).is_ok());

        for nr in [5, 6, 30] {
            // SAFETY: `ip` is searched for and not accessed.
            to_result(unsafe { bindings::klp_test_lose(many.ip(nr)) })?;
        }
        many.remove(1..MANY);
        check_eq!(many.attached(), 1);
        check_eq!(registry::lock().func_stacks.shared(), 1);
        for nr in [1, 4, 7, MANY - 1] {
            drop(Owner::of(many.ip(nr))?);
        }
        drop(many);
        scene.end()
    }

    /// The handler searches the table in C.
    #[test]
    fn handler_finds_what_is_in_the_table() -> Result {
        const SLOTS: usize = 16;

        // Any numbers will do that are all over the table, and are the same each time.
        let mut random = 1u64;
        let mut next = || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 32) as usize
        };

        for _ in 0..2000 {
            let mut slots = [const { Slot::free(Atomic::new(ptr::null_mut())) }; SLOTS];
            let mut ips = [0; SLOTS];
            for ip in ips.iter_mut() {
                *ip = next() << 4 | 1;
            }
            let (present, absent) = ips.split_at(SLOTS / 2);

            for &ip in present {
                // Nobody follows this pointer.
                let top = ptr::without_provenance_mut::<bindings::klp_version>(ip);
                ip_table::insert(&mut slots, ip, Atomic::new(top));
            }
            let calls = bindings::klp_calls {
                slots: slots.as_ptr().cast(),
                shift: usize::BITS - SLOTS.trailing_zeros(),
            };
            for &ip in Iterator::chain(present.iter(), absent) {
                let expected = ip_table::find(&slots, ip);
                let expected = expected.map_or(ptr::null_mut(), |top| top.load(Relaxed));
                // SAFETY: `calls` describes the table above, half of which is free.
                let found = unsafe { bindings::klp_test_find_call(&raw const calls, ip) };
                check_eq!(found, expected);
            }
        }
        // SAFETY: That there is no table is known to it.
        check!(unsafe { bindings::klp_test_find_call(ptr::null(), 1) }.is_null());
        Ok(())
    }

    /// Whatever ftrace says: what cannot be detached without memory stays, and does nothing.
    #[test]
    fn detaching_does_not_wait_for_memory() -> Result {
        let scene = Scene::new()?;
        let many = Many::new()?;
        let nomem = NoMemory::start()?;
        check!(many.apply(0..MANY).is_ok());

        let ((), met) = nomem.with_first(3000, || many.remove(1..20));
        check!(0 < met && met < 10);
        check_eq!(many.attached(), MANY);

        // With the next change that finds memory, it goes.
        many.remove(20..21);
        check_eq!(many.attached(), MANY - 20);

        // To unregister takes none.
        let ((), met) = nomem.with_first(3000, || many.remove(0..MANY));
        check_eq!(met, 0);
        check_eq!(many.attached(), 0);

        drop((nomem, many));
        scene.end()
    }

    /// Except if it is in memory that goes.
    #[test]
    fn detaching_from_a_module_waits_for_memory() -> Result {
        const FAILING: c_uint = 50;

        let scene = Scene::new()?;
        let many = Many::new()?;
        let nomem = NoMemory::start()?;
        check!(many.apply(0..MANY).is_ok());

        let ((), met) = nomem.with_first(FAILING, || {
            let func_stacks = &mut registry::lock().func_stacks;
            func_stacks.remove(many.sites(1..20));
            func_stacks.detach_overdue();
        });
        check!(met > FAILING);
        check_eq!(many.attached(), MANY - 19);

        drop((nomem, many));
        scene.end()
    }
}
