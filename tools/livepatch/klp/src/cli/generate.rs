// SPDX-License-Identifier: GPL-2.0

//! What is made from the description of the command line: man pages, and completions for shells.

use std::fs;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use klp::failure::Failure;

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Writes all of them into `dir`: `man1/*.1` and `completions/*`.
pub(super) fn generate(command: Command, dir: &Path) -> Result<(), Failure> {
    let (pages, completions) = (dir.join("man1"), dir.join("completions"));
    fs::create_dir_all(&pages)?;
    fs::create_dir_all(&completions)?;
    clap_mangen::generate_to(command.clone(), &pages)?;
    for shell in SHELLS {
        let mut command = command.clone();
        clap_complete::generate_to(shell, &mut command, "klp", &completions)?;
    }
    Ok(())
}
