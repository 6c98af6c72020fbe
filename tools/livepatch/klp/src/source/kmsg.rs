// SPDX-License-Identifier: GPL-2.0

//! `/dev/kmsg`: what the livepatch core has said since the kernel was booted, or since its oldest
//! message that is still there. It is the only place of a kernel that tells when something began.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::time::ClockId;

use super::sysfs::Target;
use crate::root::{known, Root};

const FILE: &str = "/dev/kmsg";
const FACILITY_SHIFT: u32 = 3;
const KERNEL: u32 = 0;

/// Something that the livepatch core has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A transition begins, or goes on in the other direction.
    Start { patch: String, target: Target },
    /// It is over.
    Complete { patch: String, target: Target },
    /// Its direction is being changed.
    Reverse { patch: String },
    /// Tasks that did not move by themselves have been sent a signal.
    Signals,
    /// The administrator has moved the remaining tasks.
    Force,
}

/// A message of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub sequence: u64,
    /// Since the kernel was booted, on the clock that stands still while the machine is suspended.
    pub at: Duration,
    pub text: String,
}

/// All messages, the oldest first. [`None`]: they may not be read.
pub fn records(root: &Root) -> io::Result<Option<Vec<Record>>> {
    // The kernel's own file has one message for each call, and whoever has read all waits.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = rustix::fs::open(root.path(FILE), flags, Mode::empty());
    let Some(fd): Option<OwnedFd> = known(opened.map_err(io::Error::from))? else {
        return Ok(None);
    };
    let mut file = File::from(fd);
    let records = if file.metadata()?.file_type().is_char_device() {
        messages(&mut file)?
    } else {
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        text.lines().filter_map(Record::parse).collect()
    };
    Ok(Some(records))
}

fn messages(file: &mut File) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    // None is longer than this.
    let mut message = [0; 8192];
    loop {
        match file.read(&mut message) {
            Ok(0) => break,
            Ok(length) => {
                records.extend(Record::parse(&String::from_utf8_lossy(&message[..length])));
            }
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::AGAIN) => break,
                // The message was overwritten before it was read: the next one will do.
                Some(Errno::PIPE | Errno::INTR) => {}
                _ => return Err(error),
            },
        }
    }
    Ok(records)
}

/// Now, on the clock of [`Record::at`]: that of the scheduler, which is not steered by NTP either.
pub fn now(root: &Root) -> io::Result<Option<Duration>> {
    if root.is_live() {
        let now = rustix::time::clock_gettime(ClockId::MonotonicRaw);
        return Ok(Duration::try_from(now).ok());
    }
    let seconds = root.text("/proc/uptime")?.and_then(|text| {
        text.split_whitespace()
            .next()
            .and_then(|seconds| seconds.parse::<f64>().ok())
    });
    Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
}

impl Record {
    /// A message of the kernel's own as `/dev/kmsg` gives it: `priority,sequence,microseconds,flags;
    /// text`. What follows its first line belongs to programs; others may write to that file, too,
    /// with another facility in the priority.
    fn parse(message: &str) -> Option<Self> {
        let (prefix, text) = message.lines().next()?.split_once(';')?;
        let mut fields = prefix.split(',');
        let priority: u32 = fields.next()?.parse().ok()?;
        if priority >> FACILITY_SHIFT != KERNEL {
            return None;
        }
        Some(Self {
            sequence: fields.next()?.parse().ok()?,
            at: Duration::from_micros(fields.next()?.parse().ok()?),
            text: text.to_owned(),
        })
    }

    /// What the livepatch core says by it. Both cores use the same words, and so do older kernels.
    pub fn event(&self) -> Option<Event> {
        let text = self.text.strip_prefix("livepatch: ")?;
        match text {
            "signaling remaining tasks" => return Some(Event::Signals),
            "forcing remaining tasks to the patched state"
            | "forcing remaining tasks to the unpatched state" => return Some(Event::Force),
            _ => {}
        }
        let (patch, what) = text.strip_prefix('\'')?.split_once("': ")?;
        let patch = patch.to_owned();
        Some(match what {
            "starting patching transition" => Event::Start {
                patch,
                target: Target::Patched,
            },
            "starting unpatching transition" => Event::Start {
                patch,
                target: Target::Unpatched,
            },
            "patching complete" => Event::Complete {
                patch,
                target: Target::Patched,
            },
            "unpatching complete" => Event::Complete {
                patch,
                target: Target::Unpatched,
            },
            _ if what.starts_with("reversing transition from ") => Event::Reverse { patch },
            _ => return None,
        })
    }
}

/// What a complaint of the kernel begins with.
const COMPLAINTS: [&str; 7] = [
    "BUG: ",
    "WARNING: ",
    "Oops: ",
    "general protection fault",
    "kernel BUG at ",
    "watchdog: BUG: ",
    "Kernel panic - ",
];
/// A complaint is no longer than this: registers, and the stacks of some tasks.
const COMPLAINT_LINES: usize = 100;

/// The first complaint of the kernel in which code of the module `name` is named.
pub fn complaint_about<'a>(records: &'a [Record], name: &str) -> Option<&'a str> {
    // As in a stack, where a build ID may follow.
    let marks = [format!("[{name}]"), format!("[{name} ")];
    let is_named = |record: &Record| {
        // Each complaint lists all modules.
        !record.text.contains("Modules linked in:")
            && marks.iter().any(|mark| record.text.contains(mark))
    };
    let begins = |record: &Record| COMPLAINTS.iter().any(|it| record.text.starts_with(it));
    records.iter().enumerate().find_map(|(at, record)| {
        let rest = records[at..].iter().take(COMPLAINT_LINES);
        (begins(record) && rest.take_while(|it| !is_end(it)).any(is_named))
            .then_some(record.text.as_str())
    })
}

fn is_end(record: &Record) -> bool {
    record.text.starts_with("---[ end")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(text: &str) -> Option<Event> {
        Record::parse(&format!("5,12,1500000,-;{text}"))
            .unwrap()
            .event()
    }

    #[test]
    fn a_record_has_time_and_text() {
        let record = Record::parse("6,339,5140900,-,caller=T1;some; text\n SUBSYSTEM=x").unwrap();
        assert_eq!(record.sequence, 339);
        assert_eq!(record.at, Duration::from_micros(5_140_900));
        assert_eq!(record.text, "some; text");
        assert_eq!(
            Record::parse("14,340,5140900,-;livepatch: 'a': patching complete"),
            None
        );
    }

    #[test]
    fn what_the_core_says_is_an_event() {
        let patch = || "a".to_owned();
        let target = Target::Patched;
        assert_eq!(
            event("livepatch: 'a': starting patching transition"),
            Some(Event::Start {
                patch: patch(),
                target
            })
        );
        assert_eq!(
            event("livepatch: 'a': reversing transition from patching to unpatching"),
            Some(Event::Reverse { patch: patch() })
        );
        let target = Target::Unpatched;
        assert_eq!(
            event("livepatch: 'a': unpatching complete"),
            Some(Event::Complete {
                patch: patch(),
                target
            })
        );
        assert_eq!(
            event("livepatch: signaling remaining tasks"),
            Some(Event::Signals)
        );
        assert_eq!(event("somebody: 'a': patching complete"), None);
        assert_eq!(event("livepatch: enabling patch 'a'"), None);
    }

    #[test]
    fn a_complaint_is_about_whose_code_it_names() {
        let log = |lines: &[&str]| -> Vec<Record> {
            let record = |text: &&str| Record {
                sequence: 0,
                at: Duration::ZERO,
                text: (*text).to_owned(),
            };
            lines.iter().map(record).collect()
        };
        let is_about = |lines: &[&str], name| complaint_about(&log(lines), name).is_some();
        let warning = "WARNING: CPU: 1 PID: 7 at fs/x.c:12 f+0x1/0x2";
        let end = "---[ end trace 0000000000000000 ]---";
        assert!(is_about(
            &[warning, "Modules linked in: a(OK)", " f+0x1/0x2 [a]", end],
            "a"
        ));
        assert!(is_about(
            &["BUG: unable to handle", "RIP: 0010:f+0x1/0x2 [a 12ab]"],
            "a"
        ));
        assert!(!is_about(
            &[warning, "Modules linked in: [a] a(OK)", " f+0x1/0x2", end],
            "a"
        ));
        assert!(!is_about(&[warning, end, " f+0x1/0x2 [a]"], "a"));
        assert!(!is_about(&[" f+0x1/0x2 [a]"], "a"));
        assert!(!is_about(&[warning, " f+0x1/0x2 [ab]", end], "a"));
    }

    proptest! {
        #[test]
        fn anything_may_be_in_the_log(message: String) {
            if let Some(record) = Record::parse(&message) {
                record.event();
            }
        }
    }
}
