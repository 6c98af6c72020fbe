// SPDX-License-Identifier: GPL-2.0

//! A shadow variable with a destructor may be dropped at any time.

use kernel::{
    livepatch::{
        livepatch,
        replacement, //
    },
    prelude::*,
    sync::rcu, //
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
        LEAK: KBox<c_int> = 1,
    },
}

#[replacement]
fn new_func(address: usize) -> c_int {
    let guard = rcu::read_lock();
    let object = address as *const c_void;

    LEAK.get(object, &guard).map_or(0, |leak| **leak) //~ can be attached and freed, but not accessed
}
