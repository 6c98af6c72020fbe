// SPDX-License-Identifier: GPL-2.0

//! Metrics for Prometheus, as its node exporter reads them from a file (the "textfile collector").

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::history::{End, History};
use crate::source::kernel::Core;
use crate::system::{Status, System};

/// All metrics.
pub fn metrics(status: &Status<'_>, at: SystemTime) -> String {
    let system = status.system;
    let mut to = Metrics::default();
    let kernel = &system.kernel;
    let core = match kernel.core {
        Core::C => "c",
        Core::Rust => "rust",
        Core::Unknown => "unknown",
    };
    to.head("klp_info", "The kernel, and its livepatch core.");
    let release = kernel.release.as_deref().unwrap_or("unknown");
    let version = env!("CARGO_PKG_VERSION");
    to.value(
        "klp_info",
        &[("release", release), ("core", core), ("version", version)],
        1,
    );
    to.head(
        "klp_verdict",
        "What klp status --exit-code says: 0 is well.",
    );
    to.value("klp_verdict", &[], status.verdict.code);

    patches(&mut to, system);
    transition(&mut to, system);
    last_transitions(&mut to, &system.history);

    to.head(
        "klp_installed_not_loaded",
        "Livepatches installed for this kernel, and not loaded.",
    );
    if system.installed.is_some() {
        to.value("klp_installed_not_loaded", &[], system.missing().count());
    }
    to.head(
        "klp_file_mismatch",
        "Livepatches whose installed file is not what is loaded.",
    );
    let mismatches = system
        .patches
        .iter()
        .filter(|it| it.module.file_matches == Some(false));
    to.value("klp_file_mismatch", &[], mismatches.count());
    to.head(
        "klp_leftover_modules",
        "Livepatch modules that patch nothing any more.",
    );
    to.value("klp_leftover_modules", &[], system.leftover.len());
    to.head("klp_collected_timestamp_seconds", "When this was written.");
    let seconds = at
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    to.value("klp_collected_timestamp_seconds", &[], seconds);
    to.text
}

fn patches(to: &mut Metrics, system: &System) {
    let patches = &system.patches;
    to.head(
        "klp_patch_enabled",
        "Is the livepatch enabled, or being enabled?",
    );
    for patch in patches {
        to.value(
            "klp_patch_enabled",
            &[("patch", &patch.name)],
            u8::from(patch.enabled),
        );
    }
    to.head(
        "klp_patch_in_force",
        "Do all tasks run the livepatch, wherever it applies?",
    );
    for patch in patches {
        if let Some(in_force) = patch.in_force() {
            to.value(
                "klp_patch_in_force",
                &[("patch", &patch.name)],
                u8::from(in_force),
            );
        }
    }
    to.head(
        "klp_patch_functions",
        "How many functions of the object it replaces.",
    );
    for patch in patches {
        for object in &patch.objects {
            let labels = [("patch", patch.name.as_str()), ("object", &object.name)];
            to.value("klp_patch_functions", &labels, object.functions.len());
        }
    }
    to.head(
        "klp_patch_forced",
        "Were tasks moved to the livepatch by force, as far as the kernel's log tells?",
    );
    for patch in patches {
        if let Some(forced) = patch.forced {
            to.value(
                "klp_patch_forced",
                &[("patch", &patch.name)],
                u8::from(forced),
            );
        }
    }
    to.head("klp_fix", "What a livepatch that is loaded says it fixes.");
    for patch in patches {
        for fix in patch.fixes.iter().flatten() {
            to.value("klp_fix", &[("cve", fix), ("patch", &patch.name)], 1);
        }
    }
}

fn transition(to: &mut Metrics, system: &System) {
    to.head("klp_transition", "The transition that runs.");
    let Some(transition) = &system.transition else {
        return;
    };
    let labels = [
        ("patch", transition.patch.as_str()),
        ("target", transition.target.name()),
    ];
    to.value("klp_transition", &labels, 1);
    if let Some(age) = transition.age() {
        to.head(
            "klp_transition_age_seconds",
            "How long it has been running, at least.",
        );
        to.value("klp_transition_age_seconds", &[], age.as_secs_f64());
    }
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for blocker in transition.blockers.iter().flatten() {
        *reasons.entry(blocker.reason.key()).or_default() += 1;
    }
    to.head(
        "klp_transition_blockers",
        "Tasks that it waits for, by what they seem to do.",
    );
    for (reason, count) in reasons {
        to.value("klp_transition_blockers", &[("reason", reason)], count);
    }
}

fn last_transitions(to: &mut Metrics, history: &History) {
    let mut last: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for operation in &history.operations {
        if let End::Complete(at) = operation.end {
            let took = at.saturating_sub(operation.started).as_secs_f64();
            last.insert((&operation.patch, operation.target.name()), took);
        }
    }
    to.head(
        "klp_last_transition_seconds",
        "How long the last transition of this kind took.",
    );
    for ((patch, op), took) in last {
        to.value(
            "klp_last_transition_seconds",
            &[("patch", patch), ("op", op)],
            took,
        );
    }
}

#[derive(Default)]
struct Metrics {
    text: String,
}

impl Metrics {
    fn head(&mut self, name: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.text.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let open = if at == 0 { '{' } else { ',' };
            let text = text
                .replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('\n', r"\n");
            let _ = write!(self.text, "{open}{label}=\"{text}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{close} {value}");
    }
}
