// SPDX-License-Identifier: GPL-2.0

//! Shadow variables are shared by all threads.

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
            old_func => new_func,
        },
    },
    shadows: {
        POINTER: *mut c_void = 1, //~ cannot be the data of a shadow variable
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
