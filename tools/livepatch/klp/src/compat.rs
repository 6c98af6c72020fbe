// SPDX-License-Identifier: GPL-2.0

//! What the older tools print, for programs that read it.

pub mod kpatch;
pub mod suse;
