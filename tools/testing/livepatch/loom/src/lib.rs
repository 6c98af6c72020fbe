// SPDX-License-Identifier: GPL-2.0

//! What the memory model allows during a livepatch transition, explored by loom.
//!
//! The order of the steps is the kernel's own file, `kernel/livepatch/model/protocol.rs`, and so is
//! the choice of the handler. `world.rs` has loom's atomics and locks, `steps.rs` what each step of the
//! protocol does to them, and `rules.rs` what may be taken out: each barrier, lock and synchronization.
//! `orders.rs` has a test for each rule, and shows what breaks without it.
//!
//! What loom cannot express is argued in `../litmus`: address dependencies, and what is ordered by
//! a lock that somebody else holds in between.

#![deny(warnings)]

#[path = "../../../../../kernel/livepatch/model/mod.rs"]
mod model;

#[cfg(test)]
mod orders;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod steps;
#[cfg(test)]
mod world;
