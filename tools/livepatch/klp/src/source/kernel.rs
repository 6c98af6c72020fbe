// SPDX-License-Identifier: GPL-2.0

//! The kernel that runs, and how it is configured.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::GzDecoder;
use serde::Serialize;

use crate::root::Root;

/// The options that make a difference to livepatching.
const OPTIONS: [&str; 7] = [
    "LIVEPATCH",
    "LIVEPATCH_RUST",
    "MODULE_SIG",
    "MODULE_SIG_FORCE",
    "HAVE_RELIABLE_STACKTRACE",
    "KALLSYMS_ALL",
    "DEBUG_INFO_BTF",
];

/// Which implementation of `kernel/livepatch` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Core {
    C,
    Rust,
    /// The kernel's configuration is not at hand.
    Unknown,
}

/// The kernel. [`None`] is what cannot be known here.
#[derive(Clone, Debug, Serialize)]
pub struct Kernel {
    pub release: Option<String>,
    pub core: Core,
    /// `none`, `integrity` or `confidentiality`.
    pub lockdown: Option<String>,
    /// Are modules without a valid signature refused?
    pub sig_enforce: Option<bool>,
    /// Options of the kernel's configuration, without `CONFIG_`; those that are off are `n`.
    /// Empty if the configuration is not at hand.
    pub config: BTreeMap<String, String>,
}

/// The release of the kernel that runs.
pub fn release(root: &Root) -> io::Result<Option<String>> {
    root.text("/proc/sys/kernel/osrelease")
}

/// What the kernel's command line says of livepatches at boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtBoot {
    Load,
    /// `klp.enable=0`, or what kpatch has for it
    Nothing,
    /// `klp.mode=check`: only look whether they could be loaded
    Check,
}

/// Asks the command line.
pub fn at_boot(root: &Root) -> io::Result<AtBoot> {
    Ok(root
        .text("/proc/cmdline")?
        .map_or(AtBoot::Load, |line| wanted_at_boot(&line)))
}

fn wanted_at_boot(line: &str) -> AtBoot {
    let mut wanted = AtBoot::Load;
    for word in line.split_whitespace() {
        match word {
            "klp.enable=0" | "kpatch.enable=0" => return AtBoot::Nothing,
            "klp.mode=check" => wanted = AtBoot::Check,
            // What follows is for init.
            "--" => break,
            _ => {}
        }
    }
    wanted
}

impl Kernel {
    pub fn read(root: &Root) -> io::Result<Self> {
        let release = release(root)?;
        let config = config(root, release.as_deref())?;
        Ok(Self {
            core: core(&config),
            lockdown: root
                .text("/sys/kernel/security/lockdown")?
                .and_then(|text| chosen(&text)),
            sig_enforce: root.flag("/sys/module/module/parameters/sig_enforce")?,
            release,
            config,
        })
    }
}

fn core(config: &BTreeMap<String, String>) -> Core {
    let on = |option| config.get(option).is_some_and(|value| value == "y");
    if on("LIVEPATCH_RUST") {
        Core::Rust
    } else if on("LIVEPATCH") {
        Core::C
    } else {
        Core::Unknown
    }
}

/// The word in brackets, of several.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

fn config(root: &Root, release: Option<&str>) -> io::Result<BTreeMap<String, String>> {
    let mut text = String::new();
    if let Some(packed) = root.bytes("/proc/config.gz")? {
        GzDecoder::new(packed.as_slice()).read_to_string(&mut text)?;
    } else if let Some(release) = release {
        for path in [
            format!("/boot/config-{release}"),
            format!("/lib/modules/{release}/config"),
        ] {
            if let Some(found) = root.text(path)? {
                text = found;
                break;
            }
        }
    }
    Ok(options(&text))
}

fn options(text: &str) -> BTreeMap<String, String> {
    if text.is_empty() {
        return BTreeMap::new();
    }
    let mut found: BTreeMap<String, String> = OPTIONS
        .iter()
        .map(|option| (option.to_string(), "n".to_owned()))
        .collect();
    for line in text.lines() {
        let Some((option, value)) = line
            .strip_prefix("CONFIG_")
            .and_then(|line| line.split_once('='))
        else {
            continue;
        };
        if let Some(known) = found.get_mut(option) {
            *known = value.to_owned();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_says_which_core_it_is() {
        let core = |text| core(&options(text));
        assert_eq!(
            core("CONFIG_LIVEPATCH=y\nCONFIG_LIVEPATCH_RUST=y\n"),
            Core::Rust
        );
        assert_eq!(
            core("CONFIG_LIVEPATCH=y\n# CONFIG_LIVEPATCH_RUST is not set\n"),
            Core::C
        );
        assert_eq!(core("CONFIG_MODULES=y\n"), Core::Unknown);
        assert_eq!(core(""), Core::Unknown);
    }

    #[test]
    fn the_command_line_says_what_is_loaded() {
        assert_eq!(wanted_at_boot("quiet root=/dev/sda1"), AtBoot::Load);
        assert_eq!(wanted_at_boot("quiet klp.mode=check"), AtBoot::Check);
        assert_eq!(
            wanted_at_boot("klp.mode=check kpatch.enable=0"),
            AtBoot::Nothing
        );
        assert_eq!(wanted_at_boot("quiet -- klp.enable=0"), AtBoot::Load);
        assert_eq!(wanted_at_boot("xklp.enable=0 klp.enable=01"), AtBoot::Load);
    }

    #[test]
    fn the_lockdown_in_force_is_in_brackets() {
        assert_eq!(
            chosen("none [integrity] confidentiality").unwrap(),
            "integrity"
        );
        assert_eq!(chosen("none"), None);
    }
}
