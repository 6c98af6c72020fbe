// SPDX-License-Identifier: GPL-2.0

//! What an argument refers to is there for the time of the call.

use kernel::{
    livepatch::{
        livepatch,
        replacement, //
    },
    prelude::*,
    seq_file::SeqFile, //
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

#[replacement] //~ temporary value dropped while borrowed
fn new_func(_m: &'static SeqFile, _v: *mut c_void) -> Result {
    Ok(())
}
