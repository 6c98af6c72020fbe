// SPDX-License-Identifier: GPL-2.0

//! How far functions of a module reach.

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_extents))]
mod cases {
    use crate::model::extents::{
        find,
        finish,
        offer,
        sort,
        Extent, //
    };
    use core::ops::Range;

    /// The memory that all addresses are in.
    const TEXT: Range<usize> = 0x1000..0x2000;

    /// The sizes at `addrs` in a module with these symbols.
    fn sizes<const N: usize>(addrs: [usize; N], symbols: &[(&str, usize)]) -> [Option<usize>; N] {
        let mut extents = addrs.map(|addr| Extent::new(addr, TEXT));

        sort(&mut extents);
        for (name, symbol) in symbols {
            offer(&mut extents, name.as_bytes(), *symbol);
        }
        finish(&mut extents);
        addrs.map(|addr| find(&extents, addr).and_then(Extent::size))
    }

    /// The size of `one`, with another symbol at the end of it.
    fn size_with(name: &str) -> [Option<usize>; 1] {
        sizes([0x1000], &[("one", 0x1000), (name, 0x1010)])
    }

    #[test]
    fn up_to_the_next_symbol() {
        let symbols = [("three", 0x1100), ("one", 0x1000), ("two", 0x1040)];

        assert_eq!(
            sizes([0x1000, 0x1040], &symbols),
            [Some(0x40), Some(0xc0)] //
        );
        // In any order, and not those next to each other only.
        assert_eq!(
            sizes([0x1100, 0x1000], &symbols),
            [Some(0xf00), Some(0x40)] //
        );
    }

    #[test]
    fn up_to_the_end_of_the_memory() {
        assert_eq!(sizes([0x1ff0], &[("last", 0x1ff0)]), [Some(0x10)]);
        assert_eq!(
            sizes([0x1ff0], &[("last", 0x1ff0), ("data", 0x2000)]),
            [Some(0x10)] //
        );
        assert_eq!(
            sizes([0x1ff0], &[("last", 0x1ff0), ("data", 0x3000)]),
            [Some(0x10)] //
        );
    }

    /// Other symbols at the same address end nothing.
    #[test]
    fn aliases() {
        let symbols = [("one", 0x1000), ("alias", 0x1000), ("two", 0x1040)];

        assert_eq!(sizes([0x1000], &symbols), [Some(0x40)]);
        // The same function may be asked for twice.
        assert_eq!(sizes([0x1000, 0x1000], &symbols), [Some(0x40), Some(0x40)]);
    }

    /// What no symbol begins is a part of the function before it.
    #[test]
    fn in_the_middle() {
        let symbols = [("one", 0x1000), ("two", 0x1040)];

        assert_eq!(
            sizes([0x1010, 0x1030], &symbols),
            [Some(0x30), Some(0x10)] //
        );
        assert_eq!(
            sizes([0x1050, 0x1060, 0x1070], &symbols),
            [Some(0xfb0), Some(0xfa0), Some(0xf90)]
        );
    }

    #[test]
    fn no_function() {
        assert_eq!(sizes([0x1000], &[]), [None]);
        assert_eq!(sizes([0x1000], &[("two", 0x1040)]), [None]);
        // One in other memory does not count.
        assert_eq!(sizes([0x1000], &[("before", 0xfff)]), [None]);
        assert_eq!(sizes([0x1000], &[("zero", 0)]), [None]);
    }

    /// As `find_kallsyms_symbol()` does it.
    #[test]
    fn symbols_that_begin_nothing() {
        const ALL: [Option<usize>; 1] = [Some(0x1000)];

        assert_eq!(size_with(""), ALL);
        assert_eq!(size_with("$x"), ALL);
        assert_eq!(size_with("$"), ALL);
        assert_eq!(size_with(".L"), ALL);
        assert_eq!(size_with(".Ltmp"), ALL);
        assert_eq!(size_with("L0"), ALL);
        assert_eq!(size_with("L0\u{1}"), ALL);
        assert_eq!(sizes([0x1000], &[("$x", 0x1000)]), [None]);
    }

    #[test]
    fn symbols_that_begin_something() {
        const PART: [Option<usize>; 1] = [Some(0x10)];

        assert_eq!(size_with("."), PART);
        assert_eq!(size_with(".l"), PART);
        assert_eq!(size_with("x.L"), PART);
        assert_eq!(size_with("L"), PART);
        assert_eq!(size_with("L1"), PART);
        assert_eq!(size_with("x$"), PART);
    }

    #[test]
    fn not_asked_for() {
        let mut extents = [Extent::new(0x1000, TEXT)];

        offer(&mut extents, b"one", 0x1000);
        finish(&mut extents);
        assert!(find(&extents, 0xfff).is_none());
        assert!(find(&extents, 0x1000).is_some());
        assert!(find(&extents, 0x1001).is_none());
    }
}
