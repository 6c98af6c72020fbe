// SPDX-License-Identifier: GPL-2.0

//! All that there is, without a mistake. If this does not compile, then the errors of the other
//! cases mean nothing.

use kernel::{
    livepatch::{
        livepatch,
        replacement,
        Callbacks,
        Object,
        ShadowData, //
    },
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu, //
    },
    task::Task, //
};

livepatch! {
    name: "livepatch_case",
    authors: ["Rust for Linux Contributors"],
    description: "All that there is",
    license: "Dual MIT/GPL",
    registration: one_shot,
    replace: true,
    objects: {
        vmlinux: {
            cmdline_proc_show: fn(&SeqFile, *mut c_void) -> Result => show,
            msleep: bindings => sleep,
            "some_func.constprop.0"[2] => count,
            type => give,
        },
        some_module: {
            with: fn(&Task) -> bool => about,
            take => take,
        } with Hooks,
        other_module: {} with Hooks,
    },
    states: {
        LIMIT: u32 = 1 version 2,
        FLAGS: [u8; 16] = 2 version 1,
    },
    shadows: {
        COUNTER: Atomic<i32> = 1,
        LEAK: Leak = 2 keep,
    },
}

struct Leak(KBox<c_int>);

impl ShadowData for Leak {
    fn detached(&self, object: *const c_void) {
        pr_info!("{:p}: {}\n", object, *self.0);
    }
}

struct Hooks;

#[vtable]
impl Callbacks for Hooks {
    fn pre_patch(object: &Object<'_>) -> Result {
        if let Some(previous) = LIMIT.previous(object)? {
            pr_info!("version {}: {:?}\n", previous.version(), previous.get());
        }
        FLAGS.set(object, [0; 16], GFP_KERNEL)
    }

    fn post_unpatch(object: &Object<'_>) {
        let _ = FLAGS.take(object);
    }
}

#[replacement]
fn show(m: &SeqFile, _v: *mut c_void) -> Result {
    seq_print!(m, "this has been live patched\n");
    Ok(())
}

#[replacement]
fn sleep(_msecs: u32) {}

#[replacement]
fn count(object: *const c_void) -> c_int {
    let guard = rcu::read_lock();

    COUNTER
        .get_or_alloc(object, Atomic::new(0), &guard)
        .map_or(0, |counter| counter.fetch_add(1, Relaxed))
}

#[replacement]
fn give() -> Option<KBox<c_int>> {
    let object = KBox::new(1, GFP_KERNEL).ok()?;

    LEAK.alloc(&*object, GFP_KERNEL, Leak(KBox::new(2, GFP_KERNEL).ok()?))
        .ok()?;
    Some(object)
}

#[replacement]
fn take(object: KBox<c_int>) {
    LEAK.free(&*object);
}

#[replacement]
fn about(task: &Task) -> bool {
    task.pid() > 0
}
