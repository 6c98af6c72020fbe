// SPDX-License-Identifier: GPL-2.0-or-later

//! Live patching demo for shadow variables, in Rust: the fix of a memory leak.
//!
//! Does what `livepatch-shadow-fix1.c` does, for `rust_livepatch_shadow_mod` and for the module in
//! C that is the original of it. The function which makes a `Dummy` no longer loses the other
//! allocation: it attaches it to the dummy, as a shadow variable. The function that frees the dummy
//! frees the variable, if there is one: dummies may be older than this livepatch.

use kernel::{
    livepatch::{
        livepatch,
        replacement,
        ShadowData, //
    },
    prelude::*,
    time::{
        jiffies,
        msecs_to_jiffies, //
    }, //
};

livepatch! {
    name: "rust_livepatch_shadow_fix1",
    authors: ["Rust for Linux Contributors"],
    description: "Live patching demo for shadow variables, in Rust",
    license: "GPL",
    objects: {
        livepatch_shadow_mod: {
            dummy_alloc: fn() -> *mut Dummy => livepatch_fix1_dummy_alloc,
            dummy_free: fn(*mut Dummy) => livepatch_fix1_dummy_free,
        },
        rust_livepatch_shadow_mod: {
            dummy_alloc: fn() -> *mut Dummy => livepatch_fix1_dummy_alloc,
            dummy_free: fn(*mut Dummy) => livepatch_fix1_dummy_free,
        },
    },
    shadows: {
        // When this livepatch is disabled, all that is left of these is freed.
        LEAK: Leak = 1,
    },
}

/// When a dummy expires, in milliseconds.
const EXPIRE_PERIOD: u32 = 12_000;

/// The structure of the module.
#[repr(C)]
struct Dummy {
    list: [usize; 2],
    jiffies_expire: usize,
}

/// The memory that got lost.
struct Leak(KBox<c_int>);

impl ShadowData for Leak {
    fn detached(&self, d: *const c_void) {
        pr_info!(
            "livepatch_fix1_dummy_leak_dtor: dummy @ {:p}, prevented leak @ {:p}\n",
            d,
            &*self.0
        );
    }
}

/// Takes the place of `struct dummy *dummy_alloc(void)`.
#[replacement]
fn livepatch_fix1_dummy_alloc() -> Option<KBox<Dummy>> {
    let d = KBox::new(
        Dummy {
            list: [0; 2],
            jiffies_expire: jiffies().wrapping_add(msecs_to_jiffies(EXPIRE_PERIOD)),
        },
        GFP_KERNEL,
    )
    .ok()?;

    let leak = KBox::new(0, GFP_KERNEL).ok()?;
    if LEAK.alloc(&*d, GFP_KERNEL, Leak(leak)).is_err() {
        pr_err!(
            "livepatch_fix1_dummy_alloc: failed to allocate shadow variable for the leaking \
             pointer: dummy @ {:p}\n",
            &*d
        );
        return None;
    }

    pr_info!(
        "livepatch_fix1_dummy_alloc: dummy @ {:p}, expires @ {:x}\n",
        &*d,
        d.jiffies_expire
    );
    Some(d)
}

/// Takes the place of `void dummy_free(struct dummy *d)`.
#[replacement]
fn livepatch_fix1_dummy_free(d: KBox<Dummy>) {
    if LEAK.contains(&*d) {
        LEAK.free(&*d);
    } else {
        pr_info!("livepatch_fix1_dummy_free: dummy @ {:p} leaked!\n", &*d);
    }
}
