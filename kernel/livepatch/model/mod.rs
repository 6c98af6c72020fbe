// SPDX-License-Identifier: GPL-2.0

//! The livepatch rules that need neither the kernel nor `unsafe`.
//!
//! Everything here works on plain values and on slices that the caller owns, so that the very same
//! files are compiled into the core (`klp.rs`), into the KUnit suite (`klp_kunit.rs`, which also
//! runs under UML) and into the host tests (`tools/testing/livepatch/model`).

#![forbid(unsafe_code)]
// The KUnit crate and the host crate use only a part of what the core uses.
#![cfg_attr(not(CONFIG_LIVEPATCH_RUST), allow(dead_code))]

pub(crate) mod choice;
pub(crate) mod compatibility;
pub(crate) mod duplicates;
pub(crate) mod extents;
pub(crate) mod ip_table;
pub(crate) mod names;
pub(crate) mod operation;
pub(crate) mod pacing;
pub(crate) mod phase;
pub(crate) mod protocol;
pub(crate) mod ranges;
pub(crate) mod reloc_name;
pub(crate) mod replace;
pub(crate) mod sort;
pub(crate) mod sympos;
pub(crate) mod versions;
