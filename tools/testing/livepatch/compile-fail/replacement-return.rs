// SPDX-License-Identifier: GPL-2.0

//! C code cannot get every type.

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

#[replacement] //~ cannot be the return type
fn new_func() -> Result<usize> {
    //~^ cannot be the return type of a replacement function
    Ok(1)
}
