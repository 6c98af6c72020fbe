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
        attributes,
        Attribute,
        Attributes,
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
    bindings,
    prelude::*,
    str::kstrtobool,
    sync::Arc, //
};

impl KobjectData for Arc<PatchStatus> {
    const ATTRIBUTES: Attributes<Self> = attributes![
        Enabled, Transition, Force, Replace, StackOrder, //
    ];
}

impl KobjectData for Arc<ObjectStatus> {
    const ATTRIBUTES: Attributes<Self> = attributes![Patched];
}

impl KobjectData for FuncStatus {
    const ATTRIBUTES: Attributes<Self> = attributes![];
}

/// An object must not have the name of an attribute: `model/names.rs` has to know all of them.
const _: () = assert!(
    <Arc<PatchStatus>>::ATTRIBUTES.len() == names::PATCH_ATTRIBUTES.len(),
    "model/names.rs does not have all attributes"
);

struct Enabled;

impl Attribute for Enabled {
    type Data = Arc<PatchStatus>;

    const NAME: &'static CStr = c"enabled";
    const MODE: bindings::umode_t = 0o644;

    fn show(status: &Self::Data) -> Result<c_int> {
        Ok(status.is_enabled().into())
    }

    fn store(status: &Self::Data, text: &CStr) -> Result {
        operations::write_enabled(status.id, kstrtobool(text)?)
    }
}

struct Transition;

impl Attribute for Transition {
    type Data = Arc<PatchStatus>;

    const NAME: &'static CStr = c"transition";
    const MODE: bindings::umode_t = 0o444;

    fn show(status: &Self::Data) -> Result<c_int> {
        Ok(status.phase().in_transition().into())
    }
}

struct Force;

impl Attribute for Force {
    type Data = Arc<PatchStatus>;

    const NAME: &'static CStr = c"force";
    const MODE: bindings::umode_t = 0o200;

    fn store(status: &Self::Data, text: &CStr) -> Result {
        operations::write_force(status.id, kstrtobool(text)?)
    }
}

struct Replace;

impl Attribute for Replace {
    type Data = Arc<PatchStatus>;

    const NAME: &'static CStr = c"replace";
    const MODE: bindings::umode_t = 0o444;

    fn show(status: &Self::Data) -> Result<c_int> {
        Ok(status.replace.into())
    }
}

struct StackOrder;

impl Attribute for StackOrder {
    type Data = Arc<PatchStatus>;

    const NAME: &'static CStr = c"stack_order";
    const MODE: bindings::umode_t = 0o444;

    fn show(status: &Self::Data) -> Result<c_int> {
        Ok(c_int::try_from(operations::stack_order(status.id))?)
    }
}

struct Patched;

impl Attribute for Patched {
    type Data = Arc<ObjectStatus>;

    const NAME: &'static CStr = c"patched";
    const MODE: bindings::umode_t = 0o444;

    fn show(status: &Self::Data) -> Result<c_int> {
        Ok(status.is_patched().into())
    }
}
