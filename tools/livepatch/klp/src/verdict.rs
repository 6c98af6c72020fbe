// SPDX-License-Identifier: GPL-2.0

//! The one sentence that says how things stand, and its exit code for programs.

use std::time::Duration;

use serde::Serialize;

use crate::system::{Patch, System};

/// What `klp status --exit-code` ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    Well = 0,
    CannotLivepatch = 9,
    InTransition = 10,
    Stalled = 11,
    Drift = 12,
    ForcedOrDisabled = 13,
    NotInForce = 14,
}

/// The verdict on a system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    pub code: u8,
    pub text: String,
}

impl Verdict {
    fn new(code: Code, text: impl Into<String>) -> Self {
        Self {
            code: code as u8,
            text: text.into(),
        }
    }

    /// The worst thing that is to be said: what is going on now comes first, then what is not as
    /// the administrator wants it, then what may become so.
    pub(crate) fn of(system: &System, stall: Duration) -> Self {
        if !system.can_livepatch {
            return Self::new(Code::CannotLivepatch, "this kernel cannot livepatch");
        }
        transition(system, stall)
            .or_else(|| not_in_force(system))
            .or_else(|| forced_or_disabled(system))
            .or_else(|| drift(system))
            .unwrap_or_else(|| Self::new(Code::Well, well(system)))
    }
}

fn transition(system: &System, stall: Duration) -> Option<Verdict> {
    let transition = system.transition.as_ref()?;
    let left = match transition.left {
        None => "only root may see whom it waits for".to_owned(),
        Some(0) => "none of the tasks that can be seen left".to_owned(),
        Some(1) => "1 task left".to_owned(),
        Some(left) => format!("{left} tasks left"),
    };
    Some(match transition.age() {
        Some(age) if age >= stall => Verdict::new(
            Code::Stalled,
            format!("transition stalled, {left} (klp why)"),
        ),
        // It may have been for a second, or for a year, and that is worth a look.
        None => Verdict::new(
            Code::InTransition,
            format!("in transition, nobody knows since when, {left}"),
        ),
        Some(_) => Verdict::new(Code::InTransition, format!("in transition, {left}")),
    })
}

fn not_in_force(system: &System) -> Option<Verdict> {
    let patch = system
        .patches
        .iter()
        .find(|patch| patch.enabled && patch.in_force() == Some(false))?;
    let object = patch
        .objects
        .iter()
        .find(|object| object.loaded && object.patched == Some(false));
    let what = object.map_or_else(String::new, |object| {
        format!(": {} is not patched", object.name)
    });
    Some(Verdict::new(
        Code::NotInForce,
        format!("{} is not in force{what}", patch.name),
    ))
}

fn forced_or_disabled(system: &System) -> Option<Verdict> {
    let find = |is: fn(&&Patch) -> bool| system.patches.iter().find(is);
    if let Some(patch) = find(|patch| patch.forced == Some(true)) {
        return Some(Verdict::new(
            Code::ForcedOrDisabled,
            format!("tasks were moved to {} by force", patch.name),
        ));
    }
    let patch = find(|patch| !patch.enabled)?;
    Some(Verdict::new(
        Code::ForcedOrDisabled,
        format!("{} is disabled", patch.name),
    ))
}

fn drift(system: &System) -> Option<Verdict> {
    if system.installed.is_none() {
        return Some(Verdict::new(
            Code::Drift,
            "only root may see what is installed",
        ));
    }
    if let Some(installed) = system.missing().next() {
        let why = if installed.locked_out {
            ": a boot that had loaded it did not end well (klp guard)"
        } else {
            ""
        };
        return Some(Verdict::new(
            Code::Drift,
            format!("{} is installed, but not loaded{why}", installed.name),
        ));
    }
    let patch = system
        .patches
        .iter()
        .find(|patch| patch.module.file_matches == Some(false))?;
    Some(Verdict::new(
        Code::Drift,
        format!("{} is not what is installed", patch.name),
    ))
}

fn well(system: &System) -> String {
    match system.patches.as_slice() {
        [] => "no livepatch".to_owned(),
        [patch] if patch.in_force() == Some(true) => format!("{} is in force", patch.name),
        [patch] => format!("{} is enabled (klp verify)", patch.name),
        patches if patches.iter().all(|patch| patch.in_force() == Some(true)) => {
            format!("{} livepatches are in force", patches.len())
        }
        patches => format!("{} livepatches are enabled (klp verify)", patches.len()),
    }
}
