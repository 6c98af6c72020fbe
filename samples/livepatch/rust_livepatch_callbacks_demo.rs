// SPDX-License-Identifier: GPL-2.0-or-later

//! Live patching demo for (un)patching callbacks, in Rust.
//!
//! Does what `livepatch-callbacks-demo.c` does: it says when which callback runs, for `vmlinux`,
//! for a module that it does not change, and for a module in which it patches a function that may
//! be busy. It knows these two modules in both languages, by the names
//! `livepatch_callbacks_{mod,busymod}` and `rust_livepatch_callbacks_{mod,busymod}`.
//!
//! To see it working, load and unload the modules in any order, and look at the kernel log:
//!
//! ```text
//! # insmod rust_livepatch_callbacks_mod.ko
//! # insmod rust_livepatch_callbacks_demo.ko
//! # insmod rust_livepatch_callbacks_busymod.ko sleep_secs=30
//! # rmmod rust_livepatch_callbacks_mod
//! # echo 0 > /sys/kernel/livepatch/rust_livepatch_callbacks_demo/enabled
//! # rmmod rust_livepatch_callbacks_demo
//! ```
//!
//! A `pre_patch` callback can refuse. With `insmod rust_livepatch_callbacks_demo.ko
//! pre_patch_ret=-19` (`ENODEV`) the livepatch is not loaded. Whatever is not 0 refuses, as in C;
//! what is no error number becomes `EINVAL`. Unlike that of the C sample, this parameter cannot be
//! changed later: parameters of Rust modules are not in sysfs.

use kernel::{
    error::to_result,
    livepatch::{
        livepatch,
        replacement,
        Callbacks,
        ModuleState,
        Object, //
    },
    prelude::*, //
};

livepatch! {
    name: "rust_livepatch_callbacks_demo",
    authors: ["Rust for Linux Contributors"],
    description: "Live patching demo for (un)patching callbacks, in Rust",
    license: "GPL",
    params: {
        pre_patch_ret: i32 {
            default: 0,
            description: "What the pre-patch callbacks return (default=0)",
        },
    },
    objects: {
        vmlinux: {} with Demo,
        livepatch_callbacks_mod: {} with Demo,
        livepatch_callbacks_busymod: {
            busymod_work_func: fn(*mut c_void) => patched_work_func,
        } with Demo,
        rust_livepatch_callbacks_mod: {} with Demo,
        rust_livepatch_callbacks_busymod: {
            busymod_work_func: fn(*mut c_void) => patched_work_func,
        } with Demo,
    },
}

struct Demo;

#[vtable]
impl Callbacks for Demo {
    fn pre_patch(object: &Object<'_>) -> Result {
        say("pre_patch_callback", object);
        match *module_parameters::pre_patch_ret.value_ref() {
            // No error number, and yet not 0.
            1.. => Err(EINVAL),
            ret => to_result(ret),
        }
    }

    fn post_patch(object: &Object<'_>) {
        say("post_patch_callback", object);
    }

    fn pre_unpatch(object: &Object<'_>) {
        say("pre_unpatch_callback", object);
    }

    fn post_unpatch(object: &Object<'_>) {
        say("post_unpatch_callback", object);
    }
}

fn say(callback: &str, object: &Object<'_>) {
    let state = match object.module_state() {
        None => {
            pr_info!("{callback}: vmlinux\n");
            return;
        }
        Some(ModuleState::Live) => "[MODULE_STATE_LIVE] Normal state",
        Some(ModuleState::Coming) => "[MODULE_STATE_COMING] Full formed, running module_init",
        Some(ModuleState::Going) => "[MODULE_STATE_GOING] Going away",
        Some(ModuleState::Unformed) => "[MODULE_STATE_UNFORMED] Still setting it up",
    };

    pr_info!("{callback}: {} -> {state}\n", object.name());
}

/// Takes the place of `void busymod_work_func(struct work_struct *work)`.
#[replacement]
fn patched_work_func(_work: *mut c_void) {
    pr_info!("patched_work_func\n");
}
