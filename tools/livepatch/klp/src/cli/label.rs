// SPDX-License-Identifier: GPL-2.0

//! The verb that labels a livepatch.

use std::path::PathBuf;

use clap::Args;
use klp::failure::{Exit, Failure};
use klp::files::write_whole;
use klp::module::label::{is_fix, Label};
use klp::module::{ModuleFile, Opened};

/// `klp label`
#[derive(Args)]
pub(super) struct LabelArgs {
    /// The livepatch: not packed, and not signed yet
    file: PathBuf,
    /// What it fixes, like CVE-2026-1234
    #[arg(long = "fix", value_name = "NAME", value_parser = fix)]
    fixes: Vec<String>,
    /// Does it replace all livepatches before it?
    #[arg(long, value_name = "Y|N", value_parser = yes_or_no)]
    replace: Option<bool>,
    /// A module that it has functions of: the very one that it was made for
    #[arg(long = "for", value_name = "FILE")]
    targets: Vec<PathBuf>,
}

fn fix(text: &str) -> Result<String, String> {
    match is_fix(text) {
        true => Ok(text.to_owned()),
        false => Err("it has a name without spaces and commas".to_owned()),
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "Y" => Ok(true),
        "N" => Ok(false),
        _ => Err("Y or N".to_owned()),
    }
}

impl LabelArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let refuse =
            |why: String| Failure::new(Exit::Refused, format!("{}: {why}", self.file.display()));
        let opened = Opened::open(&self.file)?;
        if let Some(packing) = opened.packing {
            return Err(refuse(format!("it is packed by {}", packing.name())));
        }
        let mut label = Label {
            fixes: self.fixes.clone(),
            replace: self.replace,
            targets: Vec::new(),
        };
        for target in &self.targets {
            let module = ModuleFile::read(target)?;
            let version = module.field("srcversion").ok_or_else(|| {
                let file = target.display();
                Failure::new(Exit::Failed, format!("{file} has no srcversion"))
                    .with_remedy("its kernel is built without CONFIG_MODULE_SRCVERSION_ALL")
            })?;
            label
                .targets
                .push((module.name.clone(), version.to_owned()));
        }
        let labelled = label.write(&opened.bytes).map_err(refuse)?;
        let mode = opened.file.metadata()?.permissions();
        write_whole(&self.file, &labelled)?;
        std::fs::set_permissions(&self.file, mode)?;
        Ok(())
    }
}
