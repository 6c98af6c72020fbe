// SPDX-License-Identifier: GPL-2.0

//! When is a transition tried again, and when are the remaining tasks signalled?

use crate::model::pacing::{
    Pacing,
    Retry,
    Signal, //
};
use proptest::prelude::*;

/// `SIGNALS_TIMEOUT` of the C core, in milliseconds.
const PERIOD: u64 = 15_000;

/// The tries of a transition that never ends: their times, up to `end`, and what they decided.
///
/// Each try comes when the pause is over, and later by what `late` says for it.
fn tries(end: u64, mut late: impl FnMut() -> u64) -> Vec<(u64, Retry)> {
    let mut pacing = Pacing::new();
    let mut tries = Vec::new();
    let mut now = 0;

    while now <= end {
        let retry = pacing.retry(now);
        tries.push((now, retry));
        now += u64::from(retry.pause_ms) + late();
    }
    tries
}

/// What is signalled at each of `times`.
fn signals(times: &[u64]) -> Vec<Signal> {
    let mut pacing = Pacing::new();

    times
        .iter()
        .map(|&elapsed| pacing.retry(elapsed).signal)
        .collect()
}

/// Times of tries, in order; some apart by less than a period, some by many.
fn times() -> impl Strategy<Value = Vec<u64>> {
    let gap = prop_oneof![
        8 => 0u64..2000,
        2 => 0u64..40_000,
        1 => 0u64..1_000_000,
    ];

    prop::collection::vec(gap, 1..100).prop_map(|gaps| {
        gaps.iter()
            .scan(0, |now, gap| {
                *now += gap;
                Some(*now)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn pauses_are_monotone_and_bounded(times in times()) {
        let mut pacing = Pacing::new();
        let mut last = 1;

        for now in times {
            let pause = pacing.retry(now).pause_ms;

            prop_assert!((last..=1000).contains(&pause));
            last = pause;
        }
    }

    /// The pause depends on the number of tries, not on the clock.
    #[test]
    fn pauses_ignore_clock(times in prop::collection::vec(any::<u64>(), 0..20)) {
        let mut pacing = Pacing::new();

        for (n, now) in times.into_iter().enumerate() {
            let doubled = 1u32.checked_shl(n as u32).map_or(1000, |pause| pause.min(1000));

            prop_assert_eq!(pacing.retry(now).pause_ms, doubled);
        }
    }

    /// A try signals if and only if a multiple of the period has passed since the try before.
    #[test]
    fn signals_agree_with_boundaries(times in times()) {
        let mut before = 0;
        let mut first = true;

        for (&now, signal) in times.iter().zip(signals(&times)) {
            let due = (1..).map(|n| n * PERIOD).find(|&at| at > before).unwrap() <= now;
            let expected = match (due, first) {
                (false, _) => Signal::No,
                (true, true) => Signal::First,
                (true, false) => Signal::Again,
            };

            prop_assert_eq!(signal, expected);
            first &= !due;
            before = now;
        }
    }

    /// Whatever the clock says, no period sees two signals, and the first period sees none.
    #[test]
    fn at_most_one_signal_a_period(times in prop::collection::vec(0u64..200_000, 0..100)) {
        let mut seen = std::collections::HashSet::new();

        for (&now, signal) in times.iter().zip(signals(&times)) {
            if signal != Signal::No {
                prop_assert!(now >= PERIOD);
                prop_assert_eq!(signal == Signal::First, seen.is_empty());
                prop_assert!(seen.insert(now / PERIOD));
            }
        }
    }

    /// With tries that come late, but less than a second, no period passes without its signal.
    #[test]
    fn no_period_is_left_out(late in prop::collection::vec(0u64..1000, 1..50)) {
        let mut late = late.into_iter().cycle();
        let periods: Vec<u64> = tries(300_000, || late.next().unwrap())
            .iter()
            .filter(|(_, retry)| retry.signal != Signal::No)
            .map(|(now, _)| now / PERIOD)
            .collect();
        let all: Vec<u64> = (1..).take(periods.len()).collect();

        prop_assert!(periods.len() >= 19);
        prop_assert_eq!(periods, all);
    }
}
