// SPDX-License-Identifier: GPL-2.0

//! A key that does not exist.

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
    replaces: true, //~ unknown key "replaces". Valid keys are:
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
