// SPDX-License-Identifier: GPL-2.0

//! A `KBox` of size 0 is no pointer from `kmalloc()`.

//~? a `KBox` that C code passes or gets cannot have a type of size 0
//~? has_memory::<TakeOpaque>
//~? has_memory::<TakeAny>
//~? has_memory::<Give>
//~? has_memory::<GiveAny>

use kernel::{
    livepatch::{
        livepatch,
        replacement, //
    },
    prelude::*, //
};

livepatch! {
    name: "livepatch_case",
    license: "GPL",
    objects: {
        vmlinux: {
            take => take,
            take_any => take_any,
            give => give,
            give_any => give_any,
        },
    },
}

struct TakeOpaque;
struct TakeAny;
struct Give;
struct GiveAny;

#[replacement]
fn take(_object: KBox<TakeOpaque>) {}

#[replacement]
fn take_any(_object: Option<KBox<TakeAny>>) {}

#[replacement]
fn give() -> KBox<Give> {
    panic!()
}

#[replacement]
fn give_any() -> Option<KBox<GiveAny>> {
    None
}
