// SPDX-License-Identifier: GPL-2.0

//! A lifetime that does not exist.

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
    registration: forever, //~ unknown lifetime `forever`: expected `one_shot` or `registered`
    objects: {
        vmlinux: {
            old_func => new_func,
        },
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
