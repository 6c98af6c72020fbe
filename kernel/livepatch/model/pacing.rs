// SPDX-License-Identifier: GPL-2.0

//! When is a transition tried again, and when are the remaining tasks signalled?

/// Milliseconds from the start of a transition to the first signal, and between signals.
pub(crate) const SIGNAL_PERIOD_MS: u64 = 15_000;

/// The longest pause between two tries, in milliseconds.
pub(crate) const LONGEST_PAUSE_MS: u32 = 1_000;

/// What to do after a try that left tasks behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    /// Milliseconds until the next try.
    pub(crate) pause_ms: u32,
    /// Whether the remaining tasks are signalled now.
    pub(crate) signal: Signal,
}

/// Whether the remaining tasks are signalled after a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Not yet.
    No,
    /// For the first time; the administrator is told.
    First,
    /// Once more.
    Again,
}

/// The pacing of one transition in one direction.
///
/// The pause doubles from one millisecond to a second: most transitions need only that each idle
/// CPU passes its main loop once, while one that waits for a sleeper is not worth a busy CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pacing {
    pause_ms: u32,
    /// The periods that had gone by at the last signal.
    periods: u64,
    signals: u64,
    tries: u64,
}

impl Pacing {
    /// The pacing of a transition that has just started.
    pub(crate) const fn new() -> Self {
        Pacing {
            pause_ms: 1,
            periods: 0,
            signals: 0,
            tries: 0,
        }
    }

    /// A try, `elapsed_ms` milliseconds after the start, has left tasks behind.
    pub(crate) fn retry(&mut self, elapsed_ms: u64) -> Retry {
        let pause_ms = self.pause_ms;
        self.tries = self.tries.saturating_add(1);
        self.pause_ms = pause_ms.saturating_mul(2).min(LONGEST_PAUSE_MS);

        // A period that was slept through is not made up for.
        let periods = elapsed_ms / SIGNAL_PERIOD_MS;
        let signal = match (periods > self.periods, self.signals) {
            (false, _) => Signal::No,
            (true, 0) => Signal::First,
            (true, _) => Signal::Again,
        };
        self.periods = self.periods.max(periods);
        self.signals += u64::from(signal != Signal::No);

        Retry { pause_ms, signal }
    }

    /// How many tries have left tasks behind.
    pub(crate) fn tries(&self) -> u64 {
        self.tries
    }

    /// How many times the remaining tasks were signalled.
    pub(crate) fn signals(&self) -> u64 {
        self.signals
    }
}
