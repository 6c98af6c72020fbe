// SPDX-License-Identifier: GPL-2.0

//! Kernel live patching.
//!
//! The design is described in `Documentation/livepatch/rust-core.rst`. The modules below are in
//! floors: each uses only those that come after it, or are on its own floor, and nowhere in a
//! circle. What must go up goes through C.

// Entries: what C calls.
mod abi;
mod debugfs;
mod handler;
mod module;
mod sysfs;

// Operations.
mod operations;
mod reaper;

// Lists.
mod history;
mod registry;

// The transition. Its hooks are entries, too.
mod stack_check;
mod transition;

// A patch.
mod patch;

// Functions and the symbols that they refer to.
mod func_stacks;
mod reloc;
mod report;
mod state;
mod symbols;

// The ground: C, memory that others read, and rules that need neither.
mod descriptor;
mod fault;
mod kobject;
mod model;
mod publish;
mod shadow;
mod shim;

#[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
mod tests;

const __LOG_PREFIX: &[u8] = b"livepatch\0";
