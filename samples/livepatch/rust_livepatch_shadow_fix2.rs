// SPDX-License-Identifier: GPL-2.0-or-later

//! Live patching demo for shadow variables, in Rust: one more variable.
//!
//! Does what `livepatch-shadow-fix2.c` does, on top of the fix of `rust_livepatch_shadow_fix1.rs`
//! or of its original in C: it counts how often each `Dummy` is looked at, and says so when the
//! dummy is freed. The counter is a shadow variable that is attached when it is first needed.

use kernel::{
    livepatch::{
        livepatch,
        replacement,
        ShadowData, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu, //
    },
    time::time_after, //
};

livepatch! {
    name: "rust_livepatch_shadow_fix2",
    authors: ["Rust for Linux Contributors"],
    description: "Live patching demo for shadow variables, in Rust",
    license: "GPL",
    objects: {
        livepatch_shadow_mod: {
            dummy_check: fn(*const Dummy, usize) -> bool => livepatch_fix2_dummy_check,
            dummy_free: fn(*mut Dummy) => livepatch_fix2_dummy_free,
        },
        rust_livepatch_shadow_mod: {
            dummy_check: fn(*const Dummy, usize) -> bool => livepatch_fix2_dummy_check,
            dummy_free: fn(*mut Dummy) => livepatch_fix2_dummy_free,
        },
    },
    shadows: {
        // Those of the other fix, which frees what is left of them.
        LEAK: Leak = 1 keep,
        COUNTER: Atomic<i32> = 2,
    },
}

/// The structure of the module.
#[repr(C)]
struct Dummy {
    list: [usize; 2],
    jiffies_expire: usize,
}

/// What the other fix attaches.
struct Leak(KBox<c_int>);

impl ShadowData for Leak {
    fn detached(&self, d: *const c_void) {
        pr_info!(
            "livepatch_fix2_dummy_leak_dtor: dummy @ {:p}, prevented leak @ {:p}\n",
            d,
            &*self.0
        );
    }
}

/// Takes the place of `bool dummy_check(struct dummy *d, unsigned long jiffies)`.
///
/// # Safety
///
/// `d` must be a valid dummy, and stay so during the call.
#[replacement]
unsafe fn livepatch_fix2_dummy_check(d: *const Dummy, jiffies: usize) -> bool {
    // Without memory for the counter, this one is not counted.
    if let Ok(counter) = COUNTER.get_or_alloc(d, Atomic::new(0), &rcu::read_lock()) {
        counter.fetch_add(1, Relaxed);
    }

    // SAFETY: `d` is valid, as the caller promises: that of `dummy_check()` holds the lock of the
    // list that it is on. `Dummy` has the layout of the structure in C, and nobody writes
    // `jiffies_expire` once a dummy is on the list.
    time_after(jiffies, unsafe { (*d).jiffies_expire })
}

/// Takes the place of `void dummy_free(struct dummy *d)`.
#[replacement]
fn livepatch_fix2_dummy_free(d: KBox<Dummy>) {
    if LEAK.contains(&*d) {
        LEAK.free(&*d);
    } else {
        pr_info!("livepatch_fix2_dummy_free: dummy @ {:p} leaked!\n", &*d);
    }

    let count = COUNTER
        .get(&*d, &rcu::read_lock())
        .map(|counter| counter.load(Relaxed));
    if let Some(count) = count {
        pr_info!(
            "livepatch_fix2_dummy_free: dummy @ {:p}, check counter = {}\n",
            &*d,
            count
        );
        COUNTER.free(&*d);
    }
}
