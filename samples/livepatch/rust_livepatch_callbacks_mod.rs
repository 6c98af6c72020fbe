// SPDX-License-Identifier: GPL-2.0-or-later

//! Live patching demo for (un)patching callbacks, support module, in Rust.
//!
//! The twin of `livepatch-callbacks-mod.c`: a module that does nothing, for which callbacks of
//! `rust_livepatch_callbacks_demo.rs` are called. See there.

use kernel::prelude::*;

module! {
    type: CallbacksMod,
    name: "rust_livepatch_callbacks_mod",
    authors: ["Rust for Linux Contributors"],
    description: "Live patching demo for (un)patching callbacks, support module, in Rust",
    license: "GPL",
}

struct CallbacksMod;

impl kernel::Module for CallbacksMod {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("livepatch_callbacks_mod_init\n");
        Ok(Self)
    }
}

impl Drop for CallbacksMod {
    fn drop(&mut self) {
        pr_info!("livepatch_callbacks_mod_exit\n");
    }
}
