// SPDX-License-Identifier: GPL-2.0

//! Without `#[vtable]`, nobody knows which callbacks there are.

use kernel::{
    livepatch::{
        livepatch,
        Callbacks,
        Object, //
    },
    prelude::*, //
};

livepatch! {
    name: "livepatch_case",
    license: "GPL",
    objects: {
        vmlinux: {} with Hooks,
    },
}

struct Hooks;

impl Callbacks for Hooks {
    //~^ not all trait items implemented, missing: `USE_VTABLE_ATTR`
    fn post_patch(_object: &Object<'_>) {}
}
