// SPDX-License-Identifier: GPL-2.0

//! What is fixed has a name that tools can tell from the next one.

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
    fixes: ["CVE-2026-1234", "two, or one"], //~ what is fixed has a name without spaces and commas
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
