// SPDX-License-Identifier: GPL-2.0

//! The new function has another prototype than the one in a header.

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
            msleep: bindings => new_func, //~ expected fn pointer
        },
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
