// SPDX-License-Identifier: GPL-2.0

//! The license must be compatible with the GPL.

use kernel::{
    livepatch::{
        livepatch,
        replacement, //
    },
    prelude::*, //
};

livepatch! {
    name: "livepatch_case",
    license: "Proprietary", //~ license "Proprietary" is not compatible with the GPL
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
