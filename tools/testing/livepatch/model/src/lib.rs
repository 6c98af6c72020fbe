// SPDX-License-Identifier: GPL-2.0

//! Host tests of the livepatch rules.
//!
//! The rules are the kernel's own files, included by path, and so are the cases in `tests`, which
//! KUnit runs as well. Here is what the kernel cannot have, one file for each rule: property tests.
//! `cargo test --locked` runs everything.
//!
//! A property test compares a rule with an oracle that is too simple to be wrong: a linear search,
//! a `HashMap`, a plain stack, or the condition as the C core writes it.

#![deny(warnings)]

#[path = "../../../../../kernel/livepatch/model/mod.rs"]
mod model;
#[cfg(test)]
#[path = "../../../../../kernel/livepatch/model/tests/mod.rs"]
mod tests;

#[cfg(test)]
mod choice;
#[cfg(test)]
mod compatibility;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod duplicates;
#[cfg(test)]
mod extents;
#[cfg(test)]
mod ip_table;
#[cfg(test)]
mod names;
#[cfg(test)]
mod operation;
#[cfg(test)]
mod pacing;
#[cfg(test)]
mod phase;
#[cfg(test)]
mod ranges;
#[cfg(test)]
mod reloc_name;
#[cfg(test)]
mod replace;
#[cfg(test)]
mod sympos;
#[cfg(test)]
mod versions;
