// SPDX-License-Identifier: GPL-2.0

//! A header that bindgen does not read.

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
            cmdline_proc_show: bindings => new_func, //~ cannot find value `cmdline_proc_show` in crate `::kernel::bindings`
        },
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
