// SPDX-License-Identifier: GPL-2.0

//! The new function has another prototype than the one that is written down.

use kernel::{
    livepatch::{
        livepatch,
        replacement, //
    },
    prelude::*, //
};

livepatch! {
    name: "livepatch_case",
    license: "GPL",
    objects: {
        vmlinux: {
            fits: fn(usize) -> c_int => new_func,
            too_long: fn(usize, *mut c_void) -> c_int => new_func, //~ `new_func` has another prototype
            no_value: fn(usize) => new_func, //~ `new_func` has another prototype
            other_type: fn(u32) -> c_int => new_func, //~ `new_func` has another prototype
        },
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
