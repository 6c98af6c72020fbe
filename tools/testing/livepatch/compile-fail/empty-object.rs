// SPDX-License-Identifier: GPL-2.0

//! An object of which nothing is said.

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
        vmlinux: {}, //~ no functions to be patched in `vmlinux`, and no callbacks
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
