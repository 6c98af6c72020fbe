// SPDX-License-Identifier: GPL-2.0

//! When is a transition tried again, and when are the remaining tasks signalled?

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_pacing))]
mod cases {
    use crate::model::pacing::{
        Pacing,
        Signal, //
    };

    /// Does a transition whose tries come at these times signal as told?
    fn signals_are(tries: &[(u64, Signal)]) -> bool {
        let mut pacing = Pacing::new();

        tries
            .iter()
            .all(|&(elapsed, signal)| pacing.retry(elapsed).signal == signal)
    }

    #[test]
    fn pauses() {
        let mut pacing = Pacing::new();

        for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000, 1000] {
            assert_eq!(pacing.retry(0).pause_ms, pause);
        }
    }

    #[test]
    fn first_signal() {
        assert!(signals_are(&[
            (0, Signal::No),
            (14_999, Signal::No),
            (15_000, Signal::First),
            (15_000, Signal::No),
        ]));
        assert!(signals_are(&[(15_000, Signal::First)]));
        assert!(signals_are(&[(15_001, Signal::First)]));
    }

    #[test]
    fn one_signal_a_period() {
        assert!(signals_are(&[
            (15_000, Signal::First),
            (15_000, Signal::No),
            (16_000, Signal::No),
            (29_999, Signal::No),
            (30_000, Signal::Again),
            (44_999, Signal::No),
            (45_000, Signal::Again),
        ]));
        // Tries that come late do not move the periods.
        assert!(signals_are(&[
            (15_400, Signal::First),
            (29_999, Signal::No),
            (30_000, Signal::Again),
            (31_000, Signal::No),
            (45_999, Signal::Again),
        ]));
    }

    #[test]
    fn missed_periods() {
        assert!(signals_are(&[
            (0, Signal::No),
            (44_000, Signal::First),
            (44_999, Signal::No),
            (45_000, Signal::Again),
            (100_000, Signal::Again),
            (101_000, Signal::No),
            (105_000, Signal::Again),
        ]));
    }

    #[test]
    fn counts() {
        let mut pacing = Pacing::new();
        assert_eq!((pacing.tries(), pacing.signals()), (0, 0));

        for elapsed in [0, 15_000, 16_000, 44_000, 100_000] {
            pacing.retry(elapsed);
        }
        // One signal is one, however many periods it is for.
        assert_eq!((pacing.tries(), pacing.signals()), (5, 3));
    }

    #[test]
    fn end_of_time() {
        assert!(signals_are(&[
            (u64::MAX, Signal::First),
            (0, Signal::No),
            (u64::MAX, Signal::No),
        ]));
    }

    /// Punctual tries signal at most one pause late, every 15 s, and only the first time as the
    /// first.
    #[test]
    fn ten_minutes() {
        let mut pacing = Pacing::new();
        let (mut now, mut due) = (0, 15_000);

        while now < 601_000 {
            let retry = pacing.retry(now);

            if retry.signal != Signal::No {
                let is_first = retry.signal == Signal::First;

                assert!((due..due + 1000).contains(&now));
                assert_eq!(is_first, due == 15_000);
                due += 15_000;
            }
            now += u64::from(retry.pause_ms);
        }
        assert_eq!(due, 615_000);
    }
}
