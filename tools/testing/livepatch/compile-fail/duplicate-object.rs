// SPDX-License-Identifier: GPL-2.0

//! One object, described twice.

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
        ext4: {
            old_func => new_func,
        },
        ext4: { //~ duplicated object "ext4". Objects can only be specified once.
            other_func => new_func,
        },
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
