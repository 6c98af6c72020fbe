// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of the livepatch rules.
//!
//! A crate of its own, so that it can be built without the core: the rules under `model/` need
//! neither ftrace nor an architecture with livepatch support, and run under UML as well.
//!
//! The cases under `model/tests/` must hold on every architecture and with the kernel's own
//! compiler flags. The host crate in `tools/testing/livepatch/model` runs them, too, and compares
//! the same rules with oracles.

// The suites do not use every item of the rules, and do not exist if KUnit is a module.
#![allow(dead_code)]

mod model;
#[path = "model/tests/mod.rs"]
mod tests;
