// SPDX-License-Identifier: GPL-2.0

//! What is after `with` must be callbacks.

use kernel::{
    livepatch::{
        livepatch, //
    },
    prelude::*, //
};

livepatch! {
    name: "livepatch_case",
    license: "GPL",
    objects: {
        vmlinux: {} with Hooks, //~ `Hooks` does not implement `livepatch::Callbacks`
    },
}

struct Hooks;
