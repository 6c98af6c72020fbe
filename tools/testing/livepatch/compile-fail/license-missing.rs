// SPDX-License-Identifier: GPL-2.0

//! A livepatch must have a license.

use kernel::{
    livepatch::{
        livepatch,
        replacement, //
    },
    prelude::*, //
};

livepatch! {
    name: "livepatch_case", //~ missing required key "license"
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
