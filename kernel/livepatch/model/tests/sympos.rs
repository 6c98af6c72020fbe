// SPDX-License-Identifier: GPL-2.0

//! Resolving a symbol name that may occur more than once.

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_sympos))]
mod cases {
    use crate::model::sympos::{
        Search,
        Unresolved, //
    };

    /// The outcome for a symbol with these addresses.
    fn resolve(occurrences: &[usize], sympos: usize) -> Result<usize, Unresolved> {
        let mut search = Search::new(sympos);

        for &addr in occurrences {
            search.offer(addr);
        }
        search.outcome()
    }

    #[test]
    fn unique() {
        assert_eq!(resolve(&[0x1000], 0), Ok(0x1000));
        assert_eq!(resolve(&[0x1000], 1), Ok(0x1000));
    }

    #[test]
    fn not_found() {
        for sympos in [0, 1, 2, usize::MAX] {
            assert_eq!(resolve(&[], sympos), Err(Unresolved::NotFound));
        }
    }

    #[test]
    fn ambiguous() {
        assert_eq!(resolve(&[0x1000, 0x2000], 0), Err(Unresolved::Ambiguous));
        assert_eq!(
            resolve(&[0x1000, 0x2000, 0x3000], 0),
            Err(Unresolved::Ambiguous)
        );
        // Two entries for one address are ambiguous as well.
        assert_eq!(resolve(&[0x1000, 0x1000], 0), Err(Unresolved::Ambiguous));
    }

    #[test]
    fn positions() {
        let occurrences = [0x3000, 0x1000, 0x2000];

        assert_eq!(resolve(&occurrences, 1), Ok(0x3000));
        assert_eq!(resolve(&occurrences, 2), Ok(0x1000));
        assert_eq!(resolve(&occurrences, 3), Ok(0x2000));
    }

    #[test]
    fn position_past_last() {
        assert_eq!(resolve(&[0x1000], 2), Err(Unresolved::NoSuchPosition));
        assert_eq!(
            resolve(&[0x3000, 0x1000, 0x2000], 4),
            Err(Unresolved::NoSuchPosition)
        );
        assert_eq!(
            resolve(&[0x1000, 0x2000], usize::MAX),
            Err(Unresolved::NoSuchPosition)
        );
    }

    #[test]
    fn occurrence_at_zero() {
        assert_eq!(resolve(&[0], 0), Err(Unresolved::NotFound));
        assert_eq!(resolve(&[0x1000, 0], 2), Err(Unresolved::NotFound));
        assert_eq!(resolve(&[0, 0x1000], 2), Ok(0x1000));
    }

    /// A search is over when its outcome is known.
    #[test]
    fn end_of_search() {
        let mut search = Search::new(1);
        assert!(!search.is_over());
        search.offer(0x1000);
        assert!(search.is_over());

        // Both need a second occurrence.
        for sympos in [0, 2] {
            let mut search = Search::new(sympos);
            assert!(!search.is_over());
            search.offer(0x1000);
            assert!(!search.is_over());
            search.offer(0x2000);
            assert!(search.is_over());
        }
    }
}
