// SPDX-License-Identifier: GPL-2.0

//! A callback has the type that the trait says.

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

#[vtable]
impl Callbacks for Hooks {
    fn pre_patch(_object: &Object<'_>) -> c_int {
        //~^ method `pre_patch` has an incompatible type for trait
        0
    }
}
