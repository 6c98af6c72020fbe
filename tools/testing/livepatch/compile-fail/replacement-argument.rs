// SPDX-License-Identifier: GPL-2.0

//! C code cannot pass every type.

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
}

#[replacement] //~ cannot be a parameter
fn new_func(_name: &str) -> Result {
    //~^ `&str` cannot be a parameter of a replacement function
    Ok(())
}
