// SPDX-License-Identifier: GPL-2.0

//! One number for two states.

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
        FIRST: u32 = 7 version 1,
        SECOND: u64 = 0x7 version 2, //~ duplicated number 0x7 of a state: `FIRST` has it already
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
