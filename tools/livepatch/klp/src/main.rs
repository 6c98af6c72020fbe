// SPDX-License-Identifier: GPL-2.0

//! `klp`: shows and manages kernel livepatches.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
