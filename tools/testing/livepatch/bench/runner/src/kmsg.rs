// SPDX-License-Identifier: GPL-2.0

//! The kernel's log: its messages say when which part of an operation was done, on both cores and by
//! one clock.

use anyhow::{
    Context,
    Result, //
};
use std::{
    fs::{
        self,
        File,
        OpenOptions, //
    },
    io::{
        ErrorKind,
        Read,
        Seek,
        SeekFrom,
        Write, //
    },
    os::unix::fs::OpenOptionsExt,
};

/// Has the core tell all that it can, and the console print none of it: that would be what is
/// measured.
pub(crate) fn prepare() -> Result<()> {
    fs::write("/proc/sys/kernel/printk", "1 4 1 7").context("quiet console")?;
    fs::write(
        "/sys/kernel/debug/dynamic_debug/control",
        "file kernel/livepatch/* +p; func klp_try_switch_task -p",
    )
    .context("dynamic debug")
}

pub(crate) struct Log(File);

/// Microseconds since boot, and the text.
pub(crate) struct Message {
    pub(crate) time: u64,
    pub(crate) text: String,
}

impl Log {
    /// What is logged from now on.
    pub(crate) fn follow() -> Result<Self> {
        let mut log = Self::all()?;
        log.0.seek(SeekFrom::End(0))?;
        Ok(log)
    }

    /// Also what has been logged already.
    pub(crate) fn all() -> Result<Self> {
        Ok(Self(
            OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
                .open("/dev/kmsg")?,
        ))
    }

    /// Writes a line, for its time. It can be read at once as it has an end.
    pub(crate) fn mark(&mut self, text: &str) -> Result<()> {
        self.0
            .write_all(format!("{text}\n").as_bytes())
            .context("/dev/kmsg")
    }

    /// What has come since the last call.
    pub(crate) fn messages(&mut self) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        let mut buffer = [0; 8192];

        loop {
            match self.0.read(&mut buffer) {
                Ok(length) => messages.extend(parse(&String::from_utf8_lossy(&buffer[..length]))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(messages),
                Err(error) => return Err(error).context("/dev/kmsg"),
            }
        }
    }
}

/// `PRIORITY,NUMBER,TIME,FLAGS;TEXT`, then lines that are not for people.
fn parse(record: &str) -> Option<Message> {
    let (head, text) = record.split_once(';')?;
    let time = head.split(',').nth(2)?.parse().ok()?;
    let text = text.lines().next().unwrap_or_default().to_owned();

    Some(Message { time, text })
}

/// When a message came that ends like this; the last one, if there are more.
pub(crate) fn time_of(messages: &[Message], end: &str) -> Result<u64> {
    messages
        .iter()
        .rev()
        .find(|message| message.text.ends_with(end))
        .map(|message| message.time)
        .with_context(|| format!("the kernel has not logged '{end}'"))
}

/// How long it took from one message to the next, in microseconds.
pub(crate) struct Laps<'a> {
    messages: &'a [Message],
    last: u64,
}

impl<'a> Laps<'a> {
    /// From the message that ends like this.
    pub(crate) fn new(messages: &'a [Message], end: &str) -> Result<Self> {
        Ok(Self {
            messages,
            last: time_of(messages, end)?,
        })
    }

    /// From the last message to this one; nothing if who wrote this one was ahead of the kernel's.
    pub(crate) fn until(&mut self, end: &str) -> Result<u64> {
        let time = time_of(self.messages, end)?;
        let took = time.saturating_sub(self.last);

        self.last = time;
        Ok(took)
    }
}
