// SPDX-License-Identifier: GPL-2.0

//! Cases of the rules, one file for each rule and one module `cases` in each file.
//!
//! In the kernel the modules are KUnit suites (`klp_kunit.rs`). On the host, where there is no
//! `CONFIG_KUNIT`, `cargo test` runs them (`tools/testing/livepatch/model`). So they use nothing
//! that only one of the two has: there is no allocation, `assert!` and `assert_eq!` take no
//! message, and what a function other than a test finds is asserted by its caller.

pub(crate) mod func_stack;

mod choice;
mod compatibility;
pub(crate) mod duplicates;
mod extents;
pub(crate) mod ip_table;
mod names;
mod operation;
mod pacing;
mod phase;
mod protocol;
mod ranges;
mod reloc_name;
mod replace;
mod sort;
mod sympos;
mod versions;
