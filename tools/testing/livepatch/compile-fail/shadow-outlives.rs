// SPDX-License-Identifier: GPL-2.0

//! A shadow variable is there for as long as the RCU guard.

use kernel::{
    livepatch::{
        livepatch,
        replacement, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu, //
    }, //
};

livepatch! {
    name: "livepatch_case",
    license: "GPL",
    objects: {
        vmlinux: {
            old_func => new_func,
        },
    },
    shadows: {
        COUNTER: Atomic<i32> = 1,
    },
}

#[replacement]
fn new_func(address: usize) -> Result {
    let guard = rcu::read_lock();
    let counter = COUNTER
        .get(address as *const c_void, &guard)
        .ok_or(ENOENT)?;

    drop(guard); //~ cannot move out of `guard` because it is borrowed
    counter.store(1, Relaxed);
    Ok(())
}
