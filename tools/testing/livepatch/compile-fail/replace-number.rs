// SPDX-License-Identifier: GPL-2.0

//! `replace` is yes or no.

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
    replace: 1, //~ expected boolean literal
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
