// SPDX-License-Identifier: GPL-2.0

//! How long forking and exiting takes.

use anyhow::{
    bail,
    Context,
    Result, //
};
use std::{
    env,
    io::{
        self,
        Read, //
    },
    process::{
        Child,
        Command,
        Stdio, //
    },
    sync::atomic::{
        AtomicBool,
        Ordering::Relaxed, //
    },
    thread,
    time::Instant, //
};

/// Forks, and waits until the child, which does nothing, has exited.
fn fork_and_wait() -> Result<()> {
    // SAFETY: The child calls nothing but `_exit()`, which is allowed whatever locks other threads held.
    let child = unsafe { libc::fork() };
    match child {
        -1 => return Err(io::Error::last_os_error()).context("fork"),
        // SAFETY: Nothing of the parent's is touched.
        0 => unsafe { libc::_exit(0) },
        _ => (),
    }

    let mut status = 0;
    // SAFETY: `status` is valid for a write.
    if unsafe { libc::waitpid(child, &mut status, 0) } != child {
        return Err(io::Error::last_os_error()).context("waitpid");
    }
    Ok(())
}

/// Another process, small and with one thread, that forks until it is asked what took longest.
pub(crate) struct Meter(Child);

impl Meter {
    pub(crate) fn new() -> Result<Self> {
        let program = env::current_exe()?;

        Ok(Self(
            Command::new(program)
                .arg("meter")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .context("a second klp-bench")?,
        ))
    }

    /// In microseconds.
    pub(crate) fn longest(self) -> Result<u64> {
        // Closes its input, which ends it.
        let output = self.0.wait_with_output()?;

        if !output.status.success() {
            bail!("the second klp-bench failed");
        }
        Ok(String::from_utf8(output.stdout)?.trim().parse()?)
    }
}

/// What that process does.
pub(crate) fn meter() -> Result<()> {
    static OVER: AtomicBool = AtomicBool::new(false);
    let mut longest = 0;

    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        OVER.store(true, Relaxed);
    });
    // The first ones find nothing in caches.
    for _ in 0..20 {
        fork_and_wait()?;
    }
    while !OVER.load(Relaxed) {
        let start = Instant::now();
        fork_and_wait()?;
        longest = longest.max(start.elapsed().as_micros());
    }
    println!("{longest}");
    Ok(())
}

/// Tenths of an instruction for a fork, exit and wait: what the time stamp counter counts with QEMU's
/// `-icount shift=0`.
pub(crate) fn fork_instructions() -> Result<u64> {
    const FORKS: u64 = 100;

    for _ in 0..FORKS {
        fork_and_wait()?;
    }
    let start = ticks();
    for _ in 0..FORKS {
        fork_and_wait()?;
    }
    Ok((ticks() - start) * 10 / FORKS)
}

fn ticks() -> u64 {
    // SAFETY: All processors of this architecture have the instruction.
    unsafe { core::arch::x86_64::_rdtsc() }
}
