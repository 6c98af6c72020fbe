// SPDX-License-Identifier: GPL-2.0

//! One function, replaced twice.

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
            old_func[1] => new_func, //~ duplicated function "old_func"
        },
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
