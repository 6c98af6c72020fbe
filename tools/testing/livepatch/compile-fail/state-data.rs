// SPDX-License-Identifier: GPL-2.0

//! What a state hands on must be plain data.

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
        BUFFER: KBox<u32> = 7 version 1, //~ AsBytes
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
