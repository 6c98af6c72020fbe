// SPDX-License-Identifier: GPL-2.0-or-later

//! Buggy module for the shadow variable demo, in Rust.
//!
//! The twin of `livepatch-shadow-mod.c`: every second it makes a `Dummy` and loses some memory on
//! the way. Every three seconds it frees those that are older than twelve.
//! `rust_livepatch_shadow_fix1.rs` and `rust_livepatch_shadow_fix2.rs` show how to repair that
//! without changing `Dummy`; so do their originals in C, for a module which is called
//! `livepatch_shadow_mod`.
//!
//! It takes some effort to lose memory in Rust.
//!
//! The three functions to be patched are in `rust_livepatch_shadow_mod_traced.c`, and call those of
//! this file, because functions in Rust cannot be patched: the compiler does not make them begin
//! with the call, or the room for one, that the function tracer needs.
//!
//! ```text
//! # insmod rust_livepatch_shadow_mod.ko
//! # insmod rust_livepatch_shadow_fix1.ko
//! # insmod rust_livepatch_shadow_fix2.ko
//! # echo 0 > /sys/kernel/livepatch/rust_livepatch_shadow_fix2/enabled
//! # echo 0 > /sys/kernel/livepatch/rust_livepatch_shadow_fix1/enabled
//! # rmmod rust_livepatch_shadow_fix2 rust_livepatch_shadow_fix1 rust_livepatch_shadow_mod
//! ```

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    time::{
        jiffies,
        msecs_to_jiffies,
        time_after, //
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
    type: ShadowMod,
    name: "rust_livepatch_shadow_mod",
    authors: ["Rust for Linux Contributors"],
    description: "Buggy module for shadow variable demo, in Rust",
    license: "GPL",
}

/// How often there is a new dummy, in milliseconds.
const ALLOC_PERIOD: u32 = 1000;
/// How often expired ones are looked for.
const CLEANUP_PERIOD: u32 = 3 * ALLOC_PERIOD;
/// When they expire.
const EXPIRE_PERIOD: u32 = 4 * CLEANUP_PERIOD;

/// The same in memory as the structure of the C sample, since livepatches for that know it.
#[repr(C)]
struct Dummy {
    /// Where the C sample has its list.
    _list: [usize; 2],
    jiffies_expire: usize,
}

// What can be patched. Others than the functions below may be behind it.
//
// `rust_livepatch_shadow_mod_traced.c` defines them with these types.
unsafe extern "C" {
    /// Returns a new dummy from `kmalloc()`, or null.
    safe fn dummy_alloc() -> *mut Dummy;

    /// Frees a dummy.
    ///
    /// # Safety
    ///
    /// `d` must be from `dummy_alloc()`, and nobody may use it any more.
    unsafe fn dummy_free(d: *mut Dummy);

    /// # Safety
    ///
    /// `d` must be a valid dummy.
    unsafe fn dummy_check(d: *const Dummy, jiffies: usize) -> bool;
}

#[no_mangle]
extern "C" fn rust_dummy_alloc() -> *mut Dummy {
    new_dummy().map_or(core::ptr::null_mut(), KBox::into_raw)
}

fn new_dummy() -> Result<KBox<Dummy>> {
    let d = KBox::new(
        Dummy {
            _list: [0; 2],
            jiffies_expire: jiffies().wrapping_add(msecs_to_jiffies(EXPIRE_PERIOD)),
        },
        GFP_KERNEL,
    )?;

    // Here it gets lost.
    KBox::leak(KBox::new(0 as c_int, GFP_KERNEL)?);

    pr_info!(
        "dummy_alloc: dummy @ {:p}, expires @ {:x}\n",
        &*d,
        d.jiffies_expire
    );
    Ok(d)
}

/// # Safety
///
/// `d` must be from `dummy_alloc()`, and nobody may use it any more.
#[no_mangle]
unsafe extern "C" fn rust_dummy_free(d: *mut Dummy) {
    // SAFETY: By the safety requirements, `d` is from `dummy_alloc()`: so it points to a `Dummy` in
    // memory from `kmalloc()`, whoever has made it. By the same requirements, nobody uses it any
    // more, so it belongs to this function.
    let d = unsafe { KBox::from_raw(d) };

    pr_info!(
        "dummy_free: dummy @ {:p}, expired = {:x}\n",
        &*d,
        d.jiffies_expire
    );
}

/// # Safety
///
/// `d` must be a valid dummy.
#[no_mangle]
unsafe extern "C" fn rust_dummy_check(d: *const Dummy, jiffies: usize) -> bool {
    // SAFETY: By the safety requirements, `d` points to a valid dummy. Nobody writes
    // `jiffies_expire` after `dummy_alloc()`.
    time_after(jiffies, unsafe { (*d).jiffies_expire })
}

/// A dummy, wherever it comes from. Dropping it means `dummy_free()`.
struct Owned(*mut Dummy);

// SAFETY: An `Owned` is the only one that has its dummy, and that is memory with two numbers in it:
// neither `dummy_check()` nor `dummy_free()` depends on the thread that calls it.
unsafe impl Send for Owned {}

impl Owned {
    fn new() -> Option<Self> {
        let d = dummy_alloc();

        (!d.is_null()).then_some(Self(d))
    }

    fn is_expired(&self, jiffies: usize) -> bool {
        // SAFETY: `self.0` is from `dummy_alloc()` and not null, see `new()`. Only `drop()` frees
        // it, so it is a valid dummy for as long as there is a `&self`.
        unsafe { dummy_check(self.0, jiffies) }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: `self.0` is from `dummy_alloc()`, see `new()`. Nobody else has it, and `self` is
        // not used after this.
        unsafe { dummy_free(self.0) };
    }
}

const ALLOC: u64 = 1;
const CLEANUP: u64 = 2;

#[pin_data]
struct Worker {
    #[pin]
    dummies: Mutex<KVec<Owned>>,
    #[pin]
    alloc_work: DelayedWork<Worker, ALLOC>,
    #[pin]
    cleanup_work: DelayedWork<Worker, CLEANUP>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self, ALLOC> for Worker { self.alloc_work }
    impl HasDelayedWork<Self, CLEANUP> for Worker { self.cleanup_work }
}

impl Worker {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                dummies <- new_mutex!(KVec::new()),
                alloc_work <- new_delayed_work!("Worker::alloc_work"),
                cleanup_work <- new_delayed_work!("Worker::cleanup_work"),
            }),
            GFP_KERNEL,
        )
    }

    fn alloc_later(self: Arc<Self>) {
        // If it is enqueued already, then that will do.
        let _ =
            workqueue::system().enqueue_delayed::<_, ALLOC>(self, msecs_to_jiffies(ALLOC_PERIOD));
    }

    fn cleanup_later(self: Arc<Self>) {
        let _ = workqueue::system()
            .enqueue_delayed::<_, CLEANUP>(self, msecs_to_jiffies(CLEANUP_PERIOD));
    }
}

impl WorkItem<ALLOC> for Worker {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let Some(d) = Owned::new() else { return };

        // Without memory for the list, the dummy is freed at once.
        let _ = this.dummies.lock().push(d, GFP_KERNEL);
        this.alloc_later();
    }
}

impl WorkItem<CLEANUP> for Worker {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let now = jiffies();

        pr_info!("cleanup_work_func: jiffies = {now:x}\n");
        this.dummies.lock().retain(|d| !d.is_expired(now));
        this.cleanup_later();
    }
}

struct ShadowMod(Arc<Worker>);

impl kernel::Module for ShadowMod {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let worker = Worker::new()?;

        worker.clone().alloc_later();
        worker.clone().cleanup_later();
        Ok(Self(worker))
    }
}

impl Drop for ShadowMod {
    fn drop(&mut self) {
        // This is the last one that has the worker, then; the dummies are freed with it.
        DelayedWork::<Worker, ALLOC>::cancel_sync(&self.0);
        DelayedWork::<Worker, CLEANUP>::cancel_sync(&self.0);
    }
}
