// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/livepatch`: what is in the directories, and what a write does.
//!
//! ```text
//! <patch>/enabled                    read, write
//! <patch>/transition                 read
//! <patch>/force                      write
//! <patch>/replace                    read
//! <patch>/stack_order                read
//! <patch>/<object>/patched           read
//! <patch>/<object>/<function,sympos>/
//! ```
//!
//! A directory shares the status of what it shows, and holds no pointer to the patch: a write looks
//! the patch up by its number, and finds nothing if it is gone. Reading takes no lock, except for
//! `stack_order`.

use crate::{
    kobject::{
        Attribute,
        KobjectData, //
    },
    model::names,
    operations,
    patch::{
        FuncStatus,
        ObjectStatus,
        PatchStatus, //
    },
};
use kernel::{
    prelude::*,
    str::kstrtobool,
    sync::Arc, //
};

impl KobjectData for Arc<PatchStatus> {
    const ATTRIBUTES: &'static [Attribute<Self>] = &[
        Attribute::new(
            c"enabled",
            Some(|status| Ok(status.is_enabled().into())),
            Some(|status, text| operations::write_enabled(status.id, kstrtobool(text)?)),
        ),
        Attribute::new(
            names::TRANSITION,
            Some(|status| Ok(status.phase().in_transition().into())),
            None,
        ),
        Attribute::new(
            c"force",
            None,
            Some(|status, text| operations::write_force(status.id, kstrtobool(text)?)),
        ),
        Attribute::new(c"replace", Some(|status| Ok(status.replace.into())), None),
        Attribute::new(
            c"stack_order",
            Some(|status| Ok(c_int::try_from(operations::stack_order(status.id))?)),
            None,
        ),
    ];
}

/// An object must not have the name of an attribute: `model/names.rs` has to know all of them.
const _: () = assert!(
    <Arc<PatchStatus>>::ATTRIBUTES.len() == names::PATCH_ATTRIBUTES.len(),
    "model/names.rs does not have all attributes"
);

impl KobjectData for Arc<ObjectStatus> {
    const ATTRIBUTES: &'static [Attribute<Self>] = &[Attribute::new(
        c"patched",
        Some(|status| Ok(status.is_patched().into())),
        None,
    )];
}

impl KobjectData for FuncStatus {
    const ATTRIBUTES: &'static [Attribute<Self>] = &[];
}
