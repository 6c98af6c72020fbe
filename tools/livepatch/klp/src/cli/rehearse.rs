// SPDX-License-Identifier: GPL-2.0

//! The verb that rehearses.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use klp::failure::Failure;
use klp::rehearse::{rehearse, Rehearsal};
use klp::root::Root;
use klp::text::printable;

use super::duration;
use super::output::say;

/// `klp rehearse`
#[derive(Args)]
pub(super) struct Rehearse {
    /// The livepatch
    file: PathBuf,
    /// The image to boot, instead of the installed kernel that the livepatch was built for
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Load this module before, with what it needs: a file, or the name of one of that kernel's.
    /// Those that the livepatch is for are loaded anyway
    #[arg(long = "module", value_name = "FILE|NAME")]
    modules: Vec<String>,
    /// Run this while the livepatch is in force: a program without libraries, or a script for
    /// /bin/sh. It has to end with 0
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// Give up after this time
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    timeout: Duration,
    /// How long a transition may take in there
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration)]
    transition: Duration,
    /// Memory in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    memory: u32,
    /// Processors
    #[arg(long, value_name = "NUMBER", default_value_t = 2)]
    cpus: u32,
    /// Use this machine's virtualization, which is faster
    #[arg(long)]
    kvm: bool,
    /// The emulator, instead of the one for this machine
    #[arg(long, value_name = "FILE")]
    qemu: Option<PathBuf>,
}

impl Rehearse {
    pub(super) fn run(self, root: &Root) -> Result<(), Failure> {
        let how = Rehearsal {
            file: self.file,
            kernel: self.kernel,
            modules: self.modules,
            test: self.test,
            timeout: self.timeout,
            transition: self.transition,
            memory_mib: self.memory,
            cpus: self.cpus,
            kvm: self.kvm,
            qemu: self.qemu,
        };
        // Nobody need listen.
        rehearse(root, &how, &mut |line| drop(say(&printable(line))))?;
        say("the rehearsal went well")
    }
}
