// SPDX-License-Identifier: GPL-2.0

//! Modules and livepatches: loads them, takes them away, and says how long each part took.

use crate::kmsg::{
    time_of,
    Laps,
    Log, //
};
use anyhow::{
    bail,
    Context,
    Result, //
};
use rustix::{
    io::Errno,
    system, //
};
use std::{
    ffi::CString,
    fs::{
        self,
        File, //
    },
    path::{
        Path,
        PathBuf, //
    },
    thread,
    time::{
        Duration,
        Instant, //
    },
};

/// How long anything may take that has to happen. The core in C needs minutes for much.
const LIMIT: Duration = Duration::from_secs(900);

/// Between two looks. They take CPU from what is looked at.
const PAUSE: Duration = Duration::from_micros(200);

pub(crate) fn load(name: &str, parameters: &str) -> Result<()> {
    let file = File::open(format!("{name}.ko")).with_context(|| format!("{name}.ko"))?;

    system::finit_module(&file, &CString::new(parameters)?, 0)
        .with_context(|| format!("loading {name} {parameters}"))
}

/// Waits until it can be unloaded.
pub(crate) fn unload(name: &str) -> Result<()> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let name_c = CString::new(name)?;

    soon(
        &format!("{name} unloaded"),
        || match system::delete_module(&name_c, flags) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK | Errno::BUSY) => Ok(false),
            Err(error) => bail!("unloading {name}: {error}"),
        },
    )
}

fn soon(what: &str, mut happened: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = Instant::now();

    while !happened()? {
        if start.elapsed() > LIMIT {
            bail!("waited in vain: {what}");
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

fn directory(patch: &str) -> PathBuf {
    Path::new("/sys/kernel/livepatch").join(patch)
}

/// What enabling took, in microseconds, in the order in which it is done.
pub(crate) struct Enabled {
    /// The module is loaded, up to where its init function enables the patch.
    pub(crate) load: u64,
    /// Its symbols are resolved, and sysfs has it.
    pub(crate) resolve: u64,
    /// The call sites are attached.
    pub(crate) attach: u64,
    /// All tasks have moved.
    pub(crate) transition: u64,
    /// Nobody needs any more what the transition needed.
    pub(crate) finish: u64,
    /// After that, when all is done: the core can be asked for the next thing.
    pub(crate) settle: u64,
}

impl Enabled {
    /// All that the core does.
    pub(crate) fn total(&self) -> u64 {
        self.resolve + self.attach + self.transition + self.finish
    }
}

/// Loads a livepatch and waits until all tasks have moved.
pub(crate) fn enable(patch: &str, parameters: &str) -> Result<Enabled> {
    let mut log = Log::follow()?;

    log.mark("klp_bench: load")?;
    load(patch, parameters)?;

    let mut messages = Vec::new();
    let complete = format!("'{patch}': patching complete");
    soon(&complete, || {
        messages.extend(log.messages()?);
        Ok(time_of(&messages, &complete).is_ok())
    })?;
    // Is refused, but not before the core has time for it.
    let _ = fs::write(directory(patch).join("enabled"), "1");
    log.mark("klp_bench: settled")?;
    messages.extend(log.messages()?);

    let mut laps = Laps::new(&messages, "klp_bench: load")?;
    Ok(Enabled {
        load: laps.until(&format!("{patch}: here it is"))?,
        resolve: laps.until(&format!("enabling patch '{patch}'"))?,
        attach: laps.until(&format!("'{patch}': starting patching transition"))?,
        transition: laps.until(&format!("'{patch}': completing patching transition"))?,
        finish: laps.until(&complete)?,
        settle: laps.until("klp_bench: settled")?,
    })
}

/// What disabling took, in microseconds, in the order in which it is done.
pub(crate) struct Disabled {
    /// All tasks have moved.
    pub(crate) transition: u64,
    /// The call sites are detached, and nobody is on the way to a replacement.
    pub(crate) detach: u64,
    /// The directory in sysfs has gone.
    pub(crate) gone: u64,
    /// The module could be unloaded.
    pub(crate) unload: u64,
}

impl Disabled {
    pub(crate) fn total(&self) -> u64 {
        self.transition + self.detach + self.gone
    }
}

/// Disables a livepatch and unloads its module.
pub(crate) fn disable(patch: &str) -> Result<Disabled> {
    let mut log = Log::follow()?;

    log.mark("klp_bench: disable")?;
    fs::write(directory(patch).join("enabled"), "0")
        .with_context(|| format!("disabling {patch}"))?;
    soon(&format!("{patch} gone"), || {
        Ok(!directory(patch).try_exists()?)
    })?;
    log.mark("klp_bench: gone")?;
    unload(patch)?;
    log.mark("klp_bench: unloaded")?;

    let messages = log.messages()?;
    let mut laps = Laps::new(&messages, "klp_bench: disable")?;
    Ok(Disabled {
        transition: laps.until(&format!("'{patch}': completing unpatching transition"))?,
        detach: laps.until(&format!("'{patch}': unpatching complete"))?,
        gone: laps.until("klp_bench: gone")?,
        unload: laps.until("klp_bench: unloaded")?,
    })
}
