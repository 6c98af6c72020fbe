// SPDX-License-Identifier: GPL-2.0

//! A state without a version.

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
    states: {
        FIRST: u32 = 7, //~ expected the version of the state: `version 1`
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
