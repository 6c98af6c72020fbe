// SPDX-License-Identifier: GPL-2.0

//! A kind of registration that does not exist.

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
    registration: forever, //~ unknown registration `forever`: expected `one_shot` or `registered`
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
