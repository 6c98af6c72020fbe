// SPDX-License-Identifier: GPL-2.0

//! The last transitions that came to their end.

use crate::{
    model::phase::PatchState,
    transition::Running, //
};
use kernel::{
    bindings,
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// How many are remembered.
const LENGTH: usize = 16;

/// The longest name of a module, with its NUL.
const NAME_LEN: usize = bindings::KLP_MODULE_NAME_LEN as usize;

/// A transition that came to its end.
pub(crate) struct Record {
    name: [u8; NAME_LEN],
    /// What tasks were moved to in the end.
    pub(crate) target: PatchState,
    /// When it began, or was reversed for the last time.
    pub(crate) since: Instant<Monotonic>,
    /// What it took from then on, in microseconds.
    pub(crate) duration_us: i64,
    /// How many tries have left tasks behind, in the last direction.
    pub(crate) tries: u64,
    /// How many times the remaining tasks were signalled, in the last direction.
    pub(crate) signals: u64,
    pub(crate) reversals: u32,
    pub(crate) forced: bool,
}

impl Record {
    /// Of a transition that ends now.
    fn new(name: &CStr, running: &Running) -> Self {
        let mut copy = [0; NAME_LEN];
        let bytes = name.to_bytes();
        // The loader lets no module have a longer name; then it is cut.
        let len = bytes.len().min(NAME_LEN - 1);
        copy[..len].copy_from_slice(&bytes[..len]);

        Record {
            name: copy,
            target: running.target,
            since: running.since,
            duration_us: running.since.elapsed().as_nanos() / 1_000,
            tries: running.pacing.tries(),
            signals: running.pacing.signals(),
            reversals: running.reversals,
            forced: running.forced,
        }
    }

    /// The name of the patch.
    pub(crate) fn name(&self) -> &CStr {
        // The last byte is always NUL.
        CStr::from_bytes_until_nul(&self.name).unwrap_or(c"")
    }
}

/// Needs no memory but its own: a patch can be disabled when there is none.
pub(crate) struct History {
    records: [Option<Record>; LENGTH],
    /// Where the next one goes: in the place of the oldest.
    next: usize,
}

impl History {
    pub(crate) const fn new() -> Self {
        History {
            records: [const { None }; LENGTH],
            next: 0,
        }
    }

    /// Remembers a transition that ends now, of the patch of this name.
    pub(crate) fn add(&mut self, name: &CStr, running: &Running) {
        self.records[self.next] = Some(Record::new(name, running));
        self.next = (self.next + 1) % LENGTH;
    }

    /// The oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Record> {
        let (newer, older) = self.records.split_at(self.next);

        Iterator::chain(older.iter(), newer).flatten()
    }
}
