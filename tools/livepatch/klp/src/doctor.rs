// SPDX-License-Identifier: GPL-2.0

//! Is this system one that can be livepatched, and by whom? Each question that has not the best of
//! answers says what that costs.

use std::io;
use std::path::Path;

use serde::Serialize;

use crate::root::Root;
use crate::source::kernel::Core;
use crate::source::store;
use crate::system::System;

/// How an answer is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Good,
    /// It is as it is, and somebody may want it otherwise.
    Note,
    /// Something will not work.
    Bad,
    Unknown,
}

/// A question, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub about: &'static str,
    pub state: State,
    pub text: String,
    /// What it costs that it is not otherwise.
    pub costs: Option<&'static str>,
}

/// Asks all questions.
pub fn examine(root: &Root, system: &System) -> io::Result<Vec<Finding>> {
    let mut findings = vec![
        livepatching(system),
        core(system),
        option(
            system,
            State::Bad,
            "stacks",
            "HAVE_RELIABLE_STACKTRACE",
            "the kernel knows which functions a sleeping task is in",
            "tasks are moved only when they leave the kernel: kernel threads never are",
        ),
        option(
            system,
            State::Bad,
            "symbols",
            "KALLSYMS_ALL",
            "livepatches can name any function and variable",
            "a livepatch that names a variable is refused",
        ),
        option(
            system,
            State::Note,
            "types",
            "DEBUG_INFO_BTF",
            "the kernel knows its types",
            "nothing can be compared with the types that a livepatch was built for",
        ),
        ftrace(root)?,
        tracefs(root),
        signatures(system),
        lockdown(system),
        packed(root)?,
        addresses(root)?,
        modules(root)?,
    ];
    findings.extend(service(root));
    findings.extend(other_releases(system));
    Ok(findings)
}

fn finding(about: &'static str, state: State, text: impl Into<String>) -> Finding {
    Finding {
        about,
        state,
        text: text.into(),
        costs: None,
    }
}

impl Finding {
    fn costs(mut self, what: &'static str) -> Self {
        self.costs = Some(what);
        self
    }
}

const NO_CONFIG: &str = "the kernel's configuration is not at hand";

fn livepatching(system: &System) -> Finding {
    if system.can_livepatch {
        finding("kernel", State::Good, "it can livepatch")
    } else {
        finding("kernel", State::Bad, "it cannot livepatch")
            .costs("a kernel with CONFIG_LIVEPATCH=y is needed")
    }
}

fn core(system: &System) -> Finding {
    match system.kernel.core {
        Core::C => finding("core", State::Good, "the one in C"),
        Core::Rust => finding("core", State::Good, "the one in Rust"),
        Core::Unknown if system.kernel.config.is_empty() => {
            finding("core", State::Unknown, NO_CONFIG)
        }
        Core::Unknown => finding("core", State::Bad, "CONFIG_LIVEPATCH is off"),
    }
}

fn option(
    system: &System,
    without: State,
    about: &'static str,
    option: &str,
    good: &'static str,
    costs: &'static str,
) -> Finding {
    match system.kernel.config.get(option).map(String::as_str) {
        None => finding(about, State::Unknown, NO_CONFIG),
        Some("n") => finding(about, without, format!("CONFIG_{option} is off")).costs(costs),
        Some(_) => finding(about, State::Good, good),
    }
}

fn ftrace(root: &Root) -> io::Result<Finding> {
    const ABOUT: &str = "ftrace";

    Ok(match root.flag("/proc/sys/kernel/ftrace_enabled")? {
        Some(true) => finding(ABOUT, State::Good, "it is on"),
        Some(false) => finding(ABOUT, State::Bad, "kernel.ftrace_enabled is 0")
            .costs("no livepatch can be loaded; sysctl kernel.ftrace_enabled=1"),
        None => finding(ABOUT, State::Unknown, "kernel.ftrace_enabled is not there"),
    })
}

fn tracefs(root: &Root) -> Finding {
    const ABOUT: &str = "tracefs";
    const COSTS: &str = "klp verify cannot tell whether calls are redirected, and by whom else";

    let mounted = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"]
        .iter()
        .any(|dir| root.exists(Path::new(dir).join("enabled_functions")));
    match (mounted, root.exists("/sys/kernel/tracing")) {
        (true, _) => finding(ABOUT, State::Good, "it is mounted"),
        (false, true) => {
            finding(ABOUT, State::Unknown, "not mounted, or for root only").costs(COSTS)
        }
        (false, false) => finding(ABOUT, State::Note, "it is not there").costs(COSTS),
    }
}

fn signatures(system: &System) -> Finding {
    const ABOUT: &str = "signatures";

    match system.kernel.sig_enforce {
        Some(true) => finding(ABOUT, State::Good, "only signed modules are taken"),
        Some(false) => finding(ABOUT, State::Note, "modules without a signature are taken")
            .costs("whoever can load modules can load any livepatch"),
        None => finding(
            ABOUT,
            State::Unknown,
            "the kernel does not tell whether it wants them",
        ),
    }
}

fn lockdown(system: &System) -> Finding {
    const ABOUT: &str = "lockdown";

    match system.kernel.lockdown.as_deref() {
        None => finding(ABOUT, State::Good, "the kernel has none"),
        Some("none") => finding(ABOUT, State::Good, "it is off"),
        Some(mode @ "confidentiality") => finding(ABOUT, State::Note, mode).costs(
            "only signed livepatches are taken; tracefs may not be read, so klp verify knows less",
        ),
        Some(mode) => finding(ABOUT, State::Note, mode).costs("only signed livepatches are taken"),
    }
}

fn packed(root: &Root) -> io::Result<Finding> {
    const ABOUT: &str = "packed files";

    Ok(match root.text("/sys/module/compression")? {
        Some(packing) => finding(ABOUT, State::Good, format!("the kernel unpacks {packing}")),
        None => finding(ABOUT, State::Note, "the kernel does not unpack them")
            .costs("klp does, and what measures files that are loaded sees none"),
    })
}

fn addresses(root: &Root) -> io::Result<Finding> {
    const ABOUT: &str = "addresses";

    Ok(
        match root.text("/proc/sys/kernel/kptr_restrict")?.as_deref() {
            Some("2") => finding(ABOUT, State::Note, "kernel.kptr_restrict is 2")
                .costs("where a function is may not even be seen by root"),
            Some(_) => finding(ABOUT, State::Good, "root sees them"),
            None => finding(ABOUT, State::Unknown, "kernel.kptr_restrict is not there"),
        },
    )
}

fn modules(root: &Root) -> io::Result<Finding> {
    const ABOUT: &str = "modules";

    Ok(match root.flag("/proc/sys/kernel/modules_disabled")? {
        Some(true) => finding(ABOUT, State::Bad, "kernel.modules_disabled is 1")
            .costs("nothing can be loaded until the next boot"),
        Some(false) => finding(ABOUT, State::Good, "they can be loaded"),
        None => finding(
            ABOUT,
            State::Unknown,
            "kernel.modules_disabled is not there",
        ),
    })
}

/// Is anything loaded at boot? Only where there is systemd that can be told.
fn service(root: &Root) -> Option<Finding> {
    const ABOUT: &str = "boot";
    const UNITS: [&str; 2] = ["klp.service", "kpatch.service"];

    if !root.exists("/etc/systemd/system") {
        return None;
    }
    let wants = Path::new("/etc/systemd/system/multi-user.target.wants");
    // A link whose end is in a folder of the system.
    let is_enabled = |unit: &&&str| root.path(wants.join(unit)).symlink_metadata().is_ok();
    Some(match UNITS.iter().find(is_enabled) {
        Some(unit) => finding(ABOUT, State::Good, format!("{unit} is enabled")),
        None => finding(
            ABOUT,
            State::Note,
            "neither klp.service nor kpatch.service is enabled",
        )
        .costs("what is installed is not loaded by the next boot; systemctl enable klp"),
    })
}

/// What nobody needs any more takes space.
fn other_releases(system: &System) -> Option<Finding> {
    const ABOUT: &str = "installed";

    let here = system.installed_here().count();
    let Some(installed) = &system.installed else {
        return Some(finding(
            ABOUT,
            State::Unknown,
            "only root may see what is installed",
        ));
    };
    let others = installed.len() - here;
    if others == 0 {
        return None;
    }
    Some(
        finding(
            ABOUT,
            State::Note,
            format!(
                "{here} for this kernel, {others} for other ones in {}",
                store::DIR
            ),
        )
        .costs("those of kernels that are no longer there only take space; klp uninstall -k"),
    )
}

/// Is there something that does not work?
pub fn is_bad(findings: &[Finding]) -> bool {
    findings.iter().any(|it| it.state == State::Bad)
}
