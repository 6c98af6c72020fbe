// SPDX-License-Identifier: GPL-2.0

//! The places that facts come from, each read by one file and by nobody else.

pub mod ftrace;
pub mod guard;
pub mod kallsyms;
pub mod kernel;
pub mod kmsg;
pub mod modules;
pub mod store;
pub mod sysfs;
pub mod tasks;
pub mod transition;
