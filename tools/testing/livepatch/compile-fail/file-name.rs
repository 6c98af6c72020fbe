// SPDX-License-Identifier: GPL-2.0

//! Modules have other names than files.

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
        "snd-hda-intel": { //~ names of modules have `_` where names of files may have `-`: "snd_hda_intel"
            old_func => new_func,
        },
    },
}

#[replacement]
fn new_func(_address: usize) -> Result {
    Ok(())
}
