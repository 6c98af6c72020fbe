// SPDX-License-Identifier: GPL-2.0

//! Shows and manages kernel livepatches, on any kernel that has them.
//!
//! [`source`] has the places that facts come from, [`system`] what they say together, [`act`] what
//! changes it. [`render`] and [`compat`] turn that into text. Nothing here is a guess unless it is
//! called one, and what is not known says so.

pub mod act;
pub mod blockers;
pub mod check;
pub mod compat;
pub mod doctor;
pub mod failure;
pub mod files;
pub mod history;
pub mod module;
pub mod rehearse;
pub mod render;
pub mod root;
pub mod source;
pub mod system;
pub mod text;
pub mod verdict;
pub mod verify;
