// SPDX-License-Identifier: GPL-2.0

//! A livepatch that is wrong about the type of a state: the data of test_klp_rust_state1 is
//! smaller.

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
    name: "test_klp_rust_state3",
    description: "Livepatch test: a state in Rust of another size",
    license: "GPL",
    replace: true,
    objects: {
        vmlinux: {
            cmdline_proc_show: fn(&SeqFile, *mut c_void) -> Result => show,
        } with State,
    },
    states: {
        SECRET: [u64; 4] = 0x7e57_0001 version 3,
    },
}

struct State;

#[vtable]
impl Callbacks for State {
    fn pre_patch(object: &Object<'_>) -> Result {
        let refused = matches!(SECRET.previous(object), Err(EOVERFLOW));
        pr_info!("pre_patch: refused {refused}\n");
        Ok(())
    }

    fn post_patch(object: &Object<'_>) {
        let refused = SECRET.inherit(object) == Err(EOVERFLOW);
        pr_info!(
            "post_patch: refused {refused}, now {:?}\n",
            SECRET.get(object)
        );
    }
}

#[replacement]
fn show(m: &SeqFile, _v: *mut c_void) -> Result {
    seq_print!(m, "test_klp_rust_state3\n");
    Ok(())
}
