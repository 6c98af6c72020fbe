// SPDX-License-Identifier: GPL-2.0

//! The object of a callback is there during the callback.

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
    fn post_patch(object: &Object<'_>) {
        let name: &'static CStr = object.name(); //~ lifetime may not live long enough
        pr_info!("{}\n", name);
    }
}
