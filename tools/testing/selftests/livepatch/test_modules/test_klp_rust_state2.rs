// SPDX-License-Identifier: GPL-2.0

//! A livepatch that replaces others and takes over the data of their states: of
//! test_klp_rust_state1, and of test_klp_state, which is C.

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
    name: "test_klp_rust_state2",
    description: "Livepatch test: a state in Rust, version 2",
    license: "GPL",
    replace: true,
    objects: {
        vmlinux: {
            cmdline_proc_show: fn(&SeqFile, *mut c_void) -> Result => show,
        } with State,
    },
    states: {
        CONSOLE_LOGLEVEL: c_int = 1 version 2,
        SECRET: u32 = 0x7e57_0001 version 2,
    },
}

struct State;

#[vtable]
impl Callbacks for State {
    fn pre_patch(object: &Object<'_>) -> Result {
        if let Some(previous) = SECRET.previous(object)? {
            pr_info!(
                "pre_patch: secret {:?} of version {}\n",
                previous.get(),
                previous.version()
            );
        }
        Ok(())
    }

    fn post_patch(object: &Object<'_>) {
        pr_info!(
            "post_patch: secret {:?}, now {:?}\n",
            SECRET.inherit(object),
            SECRET.get(object)
        );
        pr_info!(
            "post_patch: loglevel {:?}, now {}\n",
            CONSOLE_LOGLEVEL.inherit(object),
            CONSOLE_LOGLEVEL.get(object).is_some()
        );
    }

    fn post_unpatch(object: &Object<'_>) {
        pr_info!(
            "post_unpatch: secret {:?}, loglevel {}\n",
            SECRET.take(object),
            CONSOLE_LOGLEVEL.take(object).is_some()
        );
    }
}

#[replacement]
fn show(m: &SeqFile, _v: *mut c_void) -> Result {
    seq_print!(m, "test_klp_rust_state2\n");
    Ok(())
}
