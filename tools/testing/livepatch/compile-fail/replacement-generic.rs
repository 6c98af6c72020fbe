// SPDX-License-Identifier: GPL-2.0

//! C code calls exactly one function.

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
}

#[replacement]
fn new_func<T>(_t: *mut T) {} //~ a replacement function cannot be generic
