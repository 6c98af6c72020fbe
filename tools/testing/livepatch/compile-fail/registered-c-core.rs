// SPDX-License-Identifier: GPL-2.0
// without: CONFIG_LIVEPATCH_RUST

//! The livepatch core in C has no `klp_register_patch()`.

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
    registration: registered, //~ `registration: registered` needs CONFIG_LIVEPATCH_RUST
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
