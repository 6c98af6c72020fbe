// SPDX-License-Identifier: GPL-2.0-or-later

//! Live patching demo for the four operations, in Rust: register, enable, disable, unregister.
//!
//! While it is enabled, `/proc/cmdline` says that it has been live patched, as with
//! `rust_livepatch_sample.rs`. But loading the module only registers the livepatch. It can be
//! enabled and disabled as often as wanted; unloading the module unregisters it. This needs the
//! livepatch core in Rust.
//!
//! `livepatch-lifecycle.c` does the same, and has a parameter besides by which it enables and
//! disables itself. Parameters of Rust modules are set when the module is loaded and not later, so
//! here this is done in sysfs only.
//!
//! ```text
//! # insmod rust_livepatch_lifecycle.ko
//! # cat /sys/kernel/livepatch/rust_livepatch_lifecycle/enabled
//! 0
//! # echo 1 > /sys/kernel/livepatch/rust_livepatch_lifecycle/enabled
//! # cat /proc/cmdline
//! this has been live patched
//!
//! # echo 0 > /sys/kernel/livepatch/rust_livepatch_lifecycle/enabled
//! # cat /proc/cmdline
//! <your cmdline>
//!
//! # rmmod rust_livepatch_lifecycle
//! ```

use kernel::{
    livepatch::{
        livepatch,
        replacement, //
    },
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};

livepatch! {
    name: "rust_livepatch_lifecycle",
    authors: ["Rust for Linux Contributors"],
    description: "Live patching demo for the four operations, in Rust",
    license: "GPL",
    registration: registered,
    objects: {
        vmlinux: {
            cmdline_proc_show: fn(&SeqFile, *mut c_void) -> c_int => livepatch_cmdline_proc_show,
        },
    },
}

/// Takes the place of `int cmdline_proc_show(struct seq_file *m, void *v)`.
#[replacement]
fn livepatch_cmdline_proc_show(m: &SeqFile, _v: *mut c_void) -> Result {
    seq_print!(m, "this has been live patched\n");
    Ok(())
}
