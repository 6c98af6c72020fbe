// SPDX-License-Identifier: GPL-2.0

//! A function that C code cannot be redirected to.

use kernel::{
    livepatch::{
        livepatch, //
    },
    prelude::*, //
};

livepatch! {
    name: "livepatch_case",
    license: "GPL",
    objects: {
        vmlinux: {
            old_func => new_func, //~ expected type, found function `new_func`
        },
    },
}

fn new_func(_address: usize) -> Result {
    Ok(())
}
