// SPDX-License-Identifier: GPL-2.0-or-later

//! Kernel Live Patching Sample Module, in Rust.
//!
//! Does what `livepatch-sample.c` does: while it is enabled, `/proc/cmdline` does not show the boot
//! command line of the kernel but says that it has been live patched.
//!
//! To see it working:
//!
//! ```text
//! # cat /proc/cmdline
//! <your cmdline>
//!
//! # insmod rust_livepatch_sample.ko
//! # cat /proc/cmdline
//! this has been live patched
//!
//! # echo 0 > /sys/kernel/livepatch/rust_livepatch_sample/enabled
//! # cat /proc/cmdline
//! <your cmdline>
//!
//! # rmmod rust_livepatch_sample
//! ```
//!
//! Removing the module fails until the last task has stopped using it. That is the case when
//! `/sys/kernel/livepatch/rust_livepatch_sample` is gone.

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
    name: "rust_livepatch_sample",
    authors: ["Rust for Linux Contributors"],
    description: "Kernel Live Patching Sample Module, in Rust",
    license: "GPL",
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
