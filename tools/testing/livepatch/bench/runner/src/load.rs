// SPDX-License-Identifier: GPL-2.0

//! What else goes on while something is measured: tasks that sleep, CPUs that are busy.

use anyhow::{
    Context,
    Result, //
};
use std::{
    fs, hint,
    sync::{
        atomic::{
            AtomicBool,
            Ordering::Relaxed, //
        },
        Arc,
        Condvar,
        Mutex, //
    },
    thread::{
        self,
        JoinHandle, //
    },
};

const STACK: usize = 16 * 1024;

/// Threads that sleep until this is dropped.
pub(crate) struct Sleepers {
    over: Arc<(Mutex<bool>, Condvar)>,
    threads: Vec<JoinHandle<()>>,
}

impl Sleepers {
    pub(crate) fn new(count: usize) -> Result<Self> {
        // A machine with little memory allows fewer by default.
        fs::write("/proc/sys/kernel/threads-max", "100000").context("threads-max")?;

        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let mut this = Self {
            over: over.clone(),
            threads: Vec::with_capacity(count),
        };

        for number in 0..count {
            let over = over.clone();
            let thread = thread::Builder::new()
                .stack_size(STACK)
                .spawn(move || {
                    let (flag, changed) = &*over;
                    drop(changed.wait_while(flag.lock().unwrap(), |over| !*over));
                })
                .with_context(|| format!("thread {number} of {count}"))?;
            this.threads.push(thread);
        }
        Ok(this)
    }
}

impl Drop for Sleepers {
    fn drop(&mut self) {
        let (flag, changed) = &*self.over;
        *flag.lock().unwrap() = true;
        changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A thread for each CPU that computes in user space until this is dropped.
pub(crate) struct Busy {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    pub(crate) fn new() -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let threads = (0..thread::available_parallelism()?.get())
            .map(|_| {
                let over = over.clone();
                thread::spawn(move || {
                    while !over.load(Relaxed) {
                        hint::spin_loop();
                    }
                })
            })
            .collect();

        Ok(Self { over, threads })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
