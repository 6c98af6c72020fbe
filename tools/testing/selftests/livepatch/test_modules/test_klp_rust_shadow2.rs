// SPDX-License-Identifier: GPL-2.0

//! A livepatch that replaces others and goes on with their shadow variable.

use kernel::{
    livepatch::{
        livepatch,
        replacement,
        Callbacks,
        Object, //
    },
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::rcu, //
};

livepatch! {
    name: "test_klp_rust_shadow2",
    description: "Livepatch test: a shadow variable that is taken over",
    license: "GPL",
    replace: true,
    objects: {
        vmlinux: {
            cmdline_proc_show: fn(&SeqFile, *mut c_void) -> Result => show,
        } with Hooks,
    },
    shadows: {
        MADE_BY: u32 = 0x7e57_0001,
    },
}

struct Hooks;

#[vtable]
impl Callbacks for Hooks {
    fn pre_patch(_object: &Object<'_>) -> Result {
        pr_info!("pre_patch\n");
        Ok(())
    }

    fn post_unpatch(_object: &Object<'_>) {
        pr_info!("post_unpatch: {}\n", MADE_BY.contains(OBJECT));
    }
}

/// The object that has the variable: any address will do.
const OBJECT: *const c_void = 0x7e57 as *const c_void;

#[replacement]
fn show(m: &SeqFile, _v: *mut c_void) -> Result {
    let guard = rcu::read_lock();
    let made_by = MADE_BY.get_or_alloc(OBJECT, 2, &guard)?;

    seq_print!(m, "test_klp_rust_shadow2: made by {made_by}\n");
    Ok(())
}
