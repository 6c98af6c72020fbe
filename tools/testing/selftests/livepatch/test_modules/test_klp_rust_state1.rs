// SPDX-License-Identifier: GPL-2.0

//! A livepatch with a state: the data is made here.

use kernel::{
    livepatch::{
        livepatch,
        replacement,
        Callbacks,
        Object, //
    },
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};

livepatch! {
    name: "test_klp_rust_state1",
    description: "Livepatch test: a state in Rust, version 1",
    license: "GPL",
    fixes: ["CVE-0000-0001", "test#2"],
    objects: {
        vmlinux: {
            cmdline_proc_show: fn(&SeqFile, *mut c_void) -> Result => show,
        } with State,
    },
    states: {
        SECRET: u32 = 0x7e57_0001 version 1,
    },
}

struct State;

#[vtable]
impl Callbacks for State {
    fn pre_patch(object: &Object<'_>) -> Result {
        pr_info!(
            "pre_patch: previous {}\n",
            SECRET.previous(object)?.is_some()
        );
        SECRET.set(object, 41, GFP_KERNEL)?;
        // The memory is there, this one only changes it.
        SECRET.set(object, 42, GFP_KERNEL)
    }

    fn post_patch(object: &Object<'_>) {
        pr_info!("post_patch: {:?}\n", SECRET.get(object));
    }

    fn post_unpatch(object: &Object<'_>) {
        pr_info!("post_unpatch: {:?}\n", SECRET.take(object));
    }
}

#[replacement]
fn show(m: &SeqFile, _v: *mut c_void) -> Result {
    seq_print!(m, "test_klp_rust_state1\n");
    Ok(())
}
