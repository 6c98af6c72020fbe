// SPDX-License-Identifier: GPL-2.0

//! Random operations on eight livepatches, legal and illegal ones, in the running kernel.
//!
//! The livepatches are `test_klp_core_op1.ko` to `test_klp_core_op8.ko`. Before each operation the
//! oracle (`oracle.rs`) says how it will end and what will be seen in sysfs then.

mod guest;
mod oracle;

#[path = "../../../../../kernel/livepatch/model/mod.rs"]
mod model;

use crate::{
    guest::Guest,
    oracle::{
        Op,
        Oracle, //
    },
};
use anyhow::{
    bail,
    Context,
    Result, //
};
use clap::Parser;
use std::collections::BTreeMap;

/// How many of the last operations are told after a surprise.
const TOLD: usize = 25;

/// Does random operations on livepatches and compares the results with a model.
///
/// Needs root, debugfs, and the modules of the livepatch selftests.
#[derive(Parser)]
struct Args {
    /// Number of operations
    #[arg(long, default_value_t = 1000)]
    operations: usize,
    /// Where the sequence starts; a fresh one if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Directory of the test modules
    #[arg(long, default_value = "test_modules")]
    modules: std::path::PathBuf,
    /// Print each operation
    #[arg(long, short)]
    verbose: bool,
}

fn run(args: &Args, random: &mut fastrand::Rng, told: &mut Vec<String>) -> Result<String> {
    let mut guest = Guest::start(&args.modules)?;
    let mut oracle = Oracle::new();
    let mut results = BTreeMap::<String, usize>::new();

    for number in 1..=args.operations {
        let op = Op::random(random, &oracle);
        let answer = oracle.answer();
        let predicted = oracle.perform(op);

        let found = guest.perform(op, answer)?;
        told.push(format!("{number}: {op:?}: {found}"));
        if args.verbose {
            println!("# {}", told[told.len() - 1]);
        }
        if found != predicted {
            bail!("operation {number}, {op:?}: predicted {predicted}, found {found}");
        }
        guest
            .expect(&oracle)
            .with_context(|| format!("after operation {number}, {op:?}: {oracle:?}"))?;
        *results.entry(found.to_string()).or_default() += 1;
    }

    for op in oracle.last_steps() {
        let answer = oracle.answer();
        let predicted = oracle.perform(op);
        let found = guest.perform(op, answer)?;
        if found != predicted {
            bail!("at the end, {op:?}: predicted {predicted}, found {found}");
        }
        guest
            .expect(&oracle)
            .with_context(|| format!("at the end, after {op:?}"))?;
    }
    guest.stop()?;
    Ok(results
        .iter()
        .map(|(result, count)| format!("{count} {result}"))
        .collect::<Vec<_>>()
        .join(", "))
}

fn main() -> Result<()> {
    let args = Args::parse();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut told = Vec::new();

    println!("# seed {seed}");
    match run(&args, &mut fastrand::Rng::with_seed(seed), &mut told) {
        Ok(results) => {
            println!("# {} operations: {results}", args.operations);
            Ok(())
        }
        Err(error) => {
            for line in told.iter().skip(told.len().saturating_sub(TOLD)) {
                println!("# {line}");
            }
            Err(error.context(format!("seed {seed}")))
        }
    }
}
