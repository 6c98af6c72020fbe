// SPDX-License-Identifier: GPL-2.0

//! A control, and the example of Documentation/livepatch/rust-api.rst: a livepatch that takes over
//! the data of the one that it replaces.

use kernel::{
    livepatch::{
        livepatch,
        replacement,
        Callbacks,
        Object, //
    },
    prelude::*, //
};

livepatch! {
    name: "livepatch_case",
    license: "GPL",
    replace: true,
    objects: {
        vmlinux: {
            get_limit: fn() -> u32 => new_limit,
        } with Handover,
    },
    states: {
        LIMIT: u32 = 1 version 2,
    },
}

struct Handover;

#[vtable]
impl Callbacks for Handover {
    fn pre_patch(object: &Object<'_>) -> Result {
        // The first livepatch with this state: there is nothing to take over.
        if LIMIT.previous(object)?.is_none() {
            LIMIT.set(object, 4096, GFP_KERNEL)?;
        }
        Ok(())
    }

    fn post_patch(object: &Object<'_>) {
        // Not earlier: until now, the transition could have been reversed, and the other livepatch
        // would have gone on with its data.
        if let Ok(true) = LIMIT.inherit(object) {
            pr_info!("the limit stays {:?}\n", LIMIT.get(object));
        }
    }

    fn post_unpatch(object: &Object<'_>) {
        let _ = LIMIT.take(object);
    }
}

#[replacement]
fn new_limit() -> u32 {
    4096
}
