// SPDX-License-Identifier: GPL-2.0

//! 0 marks the end of the states.

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
        NONE: u32 = 0 version 1, //~ 0 cannot be the number of a state
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
