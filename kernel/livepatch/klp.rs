// SPDX-License-Identifier: GPL-2.0

//! Kernel live patching.
//!
//! The design is described in `Documentation/livepatch/rust-core.rst`. C code enters by the
//! exported functions of `abi`, `module`, `transition` and `handler`; what Rust cannot call is
//! behind `shim/shim.h`.

mod abi;
mod fault;
mod handler;
mod model;
mod module;
mod ops;
mod patch;
mod publish;
mod registry;
mod reloc;
mod report;
mod shadow;
mod stack;
mod state;
mod symbols;
mod sysfs;
#[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
mod tests;
mod transition;

const __LOG_PREFIX: &[u8] = b"livepatch\0";
