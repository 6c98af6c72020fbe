// SPDX-License-Identifier: GPL-2.0

//! A livepatch with a shadow variable, which is enabled more than once.

use kernel::{
    livepatch::{
        livepatch,
        replacement, //
    },
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::rcu, //
};

livepatch! {
    name: "test_klp_rust_shadow3",
    description: "Livepatch test: a shadow variable, registered",
    license: "GPL",
    registration: registered,
    objects: {
        vmlinux: {
            cmdline_proc_show: fn(&SeqFile, *mut c_void) -> Result => show,
        },
    },
    shadows: {
        MADE_BY: u32 = 0x7e57_0001,
    },
}

/// The object that has the variable: any address will do.
const OBJECT: *const c_void = 0x7e57 as *const c_void;

#[replacement]
fn show(m: &SeqFile, _v: *mut c_void) -> Result {
    let guard = rcu::read_lock();
    let made_by = MADE_BY.get_or_alloc(OBJECT, 3, &guard)?;

    seq_print!(m, "test_klp_rust_shadow3: made by {made_by}\n");
    Ok(())
}
