// SPDX-License-Identifier: GPL-2.0

//! Measures, in the running kernel, what it costs to livepatch it.
//!
//! Prints lines `row NAME MICROSECONDS`, or whatever the unit of a row is. Which rows there are and
//! what they mean says `table.py`.

mod functions;
mod kmsg;
mod livepatch;
mod load;
mod rows;
mod stall;

use anyhow::{
    bail,
    Result, //
};
use clap::{
    Parser,
    ValueEnum, //
};

/// Measures what livepatching costs, in the running kernel.
///
/// Needs root, debugfs, tracefs, and the modules of this folder in the current one.
#[derive(Parser)]
struct Args {
    /// What to measure
    #[arg(value_enum, required = true)]
    what: Vec<What>,

    /// The most functions that a patch has
    #[arg(long, default_value_t = 5000)]
    most: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// A module that patches one function, from insmod on
    Small,
    /// Enabling and disabling functions of a module
    Module,
    /// Enabling and disabling functions of vmlinux
    Vmlinux,
    /// Enabling and disabling while many tasks sleep
    Tasks,
    /// Enabling while all CPUs are busy
    Busy,
    /// The longest fork and exit while patches come and go
    Stalls,
    /// Many patches on one function
    Stack,
    /// A patch that replaces another one
    Replace,
    /// Modules that come, with and without patches that wait for them
    Modules,
    /// Memory for a function that is patched
    Memory,
    /// What ftrace, RCU and the scheduler take by themselves
    Floor,
    /// From the start of the kernel to its first process
    Boot,
    /// Instructions for a fork and an exit, with no patch; needs QEMU's -icount
    Fork,
    /// Writes functions that can be patched to /tmp/klp-bench-list, for scripts
    List,
    /// What `stalls` starts: forks until its input ends, then prints what took longest
    #[value(hide = true)]
    Meter,
}

fn main() -> Result<()> {
    let args = Args::parse();

    // It does nothing that root is needed for, and leaves the log alone.
    if let [What::Meter] = args.what[..] {
        return stall::meter();
    }
    if !rustix::process::geteuid().is_root() {
        bail!("only root may load livepatches");
    }
    kmsg::prepare()?;
    for what in args.what {
        match what {
            What::Small => rows::small()?,
            What::Module => rows::sizes(rows::Object::Module, args.most)?,
            What::Vmlinux => rows::sizes(rows::Object::Vmlinux, args.most)?,
            What::Tasks => rows::tasks(args.most)?,
            What::Busy => rows::busy(args.most)?,
            What::Stalls => rows::stalls()?,
            What::Stack => rows::stack()?,
            What::Replace => rows::replace(args.most)?,
            What::Modules => rows::modules()?,
            What::Memory => rows::memory(args.most)?,
            What::Floor => rows::floor()?,
            What::Boot => rows::boot()?,
            What::Fork => rows::fork()?,
            What::List => functions::write_list("klp_bench_target", args.most)?,
            What::Meter => bail!("meter goes with nothing else"),
        }
    }
    Ok(())
}
