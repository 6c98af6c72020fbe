// SPDX-License-Identifier: GPL-2.0

//! What the memory model allows during a livepatch transition, explored by loom.
//!
//! The order of the steps is the kernel's own file, `kernel/livepatch/model/protocol.rs`, and so is
//! the choice of the handler. `world.rs` gives them loom's atomics and fences; `orders.rs` has a test
//! for each rule, and shows for each barrier, lock and synchronization what breaks without it.
//!
//! What loom cannot express is argued in `../litmus`: address dependencies, and what is ordered by
//! a lock that somebody else holds in between.

#![deny(warnings)]

#[path = "../../../../../kernel/livepatch/model/mod.rs"]
mod model;

#[cfg(test)]
mod orders;
#[cfg(test)]
mod world;
