// SPDX-License-Identifier: GPL-2.0

//! Two types for one shadow variable.

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
    shadows: {
        COUNTER: u32 = 1,
        LEAK: KBox<c_int> = 1, //~ duplicated number 1 of a shadow variable: `COUNTER` has it already
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
