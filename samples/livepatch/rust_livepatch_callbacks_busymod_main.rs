// SPDX-License-Identifier: GPL-2.0-or-later

//! Live patching demo for (un)patching callbacks, support module with a busy function, in Rust.
//!
//! The twin of `livepatch-callbacks-busymod.c`: a module with a function that sleeps for as long as
//! the parameter `sleep_secs` says. While it does, `rust_livepatch_callbacks_demo.rs` cannot
//! complete its transition.
//!
//! That function has to be one that can be patched, and functions in Rust cannot be: the compiler
//! does not make them begin with the call, or the room for one, that the function tracer needs. So
//! `rust_livepatch_callbacks_busymod_traced.c` has a function in C that calls the one in Rust.
//! Patching it is as good as patching that, because nobody else calls it.

use kernel::{
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    },
    workqueue::{
        self,
        impl_has_delayed_work,
        new_delayed_work,
        DelayedWork,
        WorkItem, //
    }, //
};

module! {
    type: Busymod,
    name: "rust_livepatch_callbacks_busymod",
    authors: ["Rust for Linux Contributors"],
    description: "Live patching demo for (un)patching callbacks, busy support module, in Rust",
    license: "GPL",
    params: {
        sleep_secs: i32 {
            default: 0,
            description: "How long the function is busy, in seconds (default=0)",
        },
    },
}

// `rust_livepatch_callbacks_busymod_traced.c` defines it with this type.
unsafe extern "C" {
    /// What can be patched.
    ///
    /// In the C sample this is the work function, so it has that type. It does not use its
    /// argument.
    safe fn busymod_work_func(work: *mut c_void);
}

/// What there is to do, if nobody has patched it.
#[no_mangle]
extern "C" fn rust_busymod_work_func() {
    let sleep_secs = *module_parameters::sleep_secs.value_ref();

    pr_info!("busymod_work_func, sleeping {sleep_secs} seconds ...\n");
    fsleep(Delta::from_secs(sleep_secs.into()));
    pr_info!("busymod_work_func exit\n");
}

#[pin_data]
struct Busy {
    #[pin]
    work: DelayedWork<Busy>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Busy { self.work }
}

impl WorkItem for Busy {
    type Pointer = Arc<Self>;

    fn run(_this: Arc<Self>) {
        busymod_work_func(core::ptr::null_mut());
    }
}

struct Busymod(Arc<Busy>);

impl kernel::Module for Busymod {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("livepatch_callbacks_mod_init\n");

        let busy = Arc::pin_init(
            pin_init!(Busy {
                work <- new_delayed_work!("Busy::work"),
            }),
            GFP_KERNEL,
        )?;
        // It was not enqueued before, so this does not fail.
        let _ = workqueue::system().enqueue_delayed(busy.clone(), 0);
        Ok(Self(busy))
    }
}

impl Drop for Busymod {
    fn drop(&mut self) {
        DelayedWork::cancel_sync(&self.0);
        pr_info!("livepatch_callbacks_mod_exit\n");
    }
}
