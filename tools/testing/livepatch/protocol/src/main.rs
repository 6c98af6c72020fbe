// SPDX-License-Identifier: GPL-2.0

//! Explores all that tasks can do during a livepatch transition.
//!
//! The order of the steps is the kernel's own file, `kernel/livepatch/model/protocol.rs`, and so are
//! the choice of the handler and the rules of the operations.

#![deny(warnings)]

mod actions;
mod config;
mod endings;
mod environment;
mod explore;
mod fault;
mod faulty;
mod implementation;
mod machine;
#[path = "../../../../../kernel/livepatch/model/mod.rs"]
mod model;
mod module;
mod procedure;
mod ranges;
mod replay;
mod scenarios;
mod terms;
#[cfg(test)]
mod tests;
mod transition;
mod universes;
mod world;

use anyhow::{
    bail,
    Context,
    Result, //
};
use clap::Parser;
use config::Config;
use fault::Fault;
use scenarios::SCENARIOS;
use stateright::{
    Checker,
    Expectation,
    HasDiscoveries,
    Model, //
};
use std::time::{
    Duration,
    Instant, //
};

/// Explores all that tasks can do during a livepatch transition, step by step.
///
/// Without an option: all scenarios, then all faults. The table names for each scenario the number of
/// states that were explored, and for each fault the length of the shortest way to show it that was
/// found.
#[derive(Parser)]
struct Arguments {
    /// Only this scenario; with --fault, that fault in this scenario.
    #[arg(long)]
    scenario: Option<String>,
    /// Only this fault: the counter-example is printed.
    #[arg(long)]
    fault: Option<String>,
    /// List scenarios and faults.
    #[arg(long)]
    list: bool,
    /// Lines "pass|fail, tab, name, tab, remark" at the end, for a program.
    #[arg(long)]
    report: bool,
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

struct Outcome {
    states: usize,
    depth: usize,
    seconds: f64,
    /// Properties that do not hold, and the number of steps that show it.
    broken: Vec<(&'static str, usize)>,
}

fn explore(config: &Config, threads: usize, print: bool) -> Outcome {
    let start = Instant::now();
    let mut builder = config.checker().threads(threads);

    if let Some(fault) = config.fault {
        builder = builder.finish_when(HasDiscoveries::AllOf([fault.property()].into()));
    }
    let checker = builder.spawn_bfs();
    let mut told = Instant::now();
    while !checker.is_done() {
        std::thread::sleep(Duration::from_millis(20));
        if told.elapsed() > Duration::from_secs(10) {
            told = Instant::now();
            eprintln!(
                "    {}: {} states, depth {}, {:.0} s",
                config.name,
                checker.unique_state_count(),
                checker.max_depth(),
                start.elapsed().as_secs_f64()
            );
        }
    }
    let checker = checker.join();
    Outcome {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: start.elapsed().as_secs_f64(),
        broken: broken(config, &checker, print),
    }
}

/// The properties that do not hold, and the number of steps that show it.
fn broken(
    config: &Config,
    checker: &impl Checker<Config>,
    print: bool,
) -> Vec<(&'static str, usize)> {
    let discoveries = checker.discoveries();
    let mut broken = Vec::new();

    for property in config.properties() {
        let discovery = discoveries.get(property.name);

        if let Expectation::Sometimes = property.expectation {
            if config.fault.is_none() && discovery.is_none() {
                broken.push((property.name, 0));
            }
        } else if let Some(path) = discovery {
            let steps = path.clone().into_vec();
            broken.push((property.name, steps.len() - 1));
            if print {
                println!("{}:", property.name);
                for (state, action) in steps {
                    println!("{state:?}    -> {action:?}");
                }
            }
        }
    }
    broken
}

fn find(name: &str) -> Result<Config> {
    SCENARIOS
        .iter()
        .copied()
        .find(|config| config.name == name)
        .with_context(|| format!("no scenario '{name}', see --list"))
}

fn fault_of(name: &str) -> Result<Fault> {
    let found = Fault::ALL.iter().find(|fault| fault.name() == name);
    found
        .copied()
        .with_context(|| format!("no fault '{name}', see --list"))
}

/// What is known after an exploration, for a table.
struct Verdict {
    name: String,
    good: bool,
    remark: String,
}

impl Verdict {
    fn of_fault(fault: Fault, scenario: &str, threads: usize, print: bool) -> Result<Self> {
        let config = Config {
            fault: Some(fault),
            ..find(scenario)?
        };
        let outcome = explore(&config, threads, print);
        let shown = |(property, _): &&(&str, usize)| *property == fault.property();
        let found = outcome.broken.iter().find(shown);

        Ok(Verdict {
            name: format!("fault {} in {scenario}", fault.name()),
            good: found.is_some(),
            remark: match found {
                Some((property, steps)) => format!(
                    "found, {steps} steps, {} states, {:.1} s: not '{property}'",
                    outcome.states, outcome.seconds
                ),
                None => format!(
                    "NOT FOUND in {} states: '{}' should not hold",
                    outcome.states,
                    fault.property()
                ),
            },
        })
    }

    fn of_scenario(config: &Config, threads: usize) -> Self {
        let outcome = explore(config, threads, true);
        let mut remark = format!(
            "{} states, depth {}, {:.1} s",
            outcome.states, outcome.depth, outcome.seconds
        );

        for (property, steps) in &outcome.broken {
            remark += &format!("; after {steps} steps NOT '{property}'");
        }
        Verdict {
            name: format!("scenario {}", config.name),
            good: outcome.broken.is_empty(),
            remark,
        }
    }
}

fn list() {
    for config in SCENARIOS {
        let remark = if config.large { ", takes minutes" } else { "" };
        println!("scenario {}{remark}", config.name);
    }
    for fault in Fault::ALL {
        println!("fault {} (in {})", fault.name(), fault.scenario());
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let threads = arguments.threads;
    let mut verdicts = Vec::new();
    let mut tell = |verdict: Verdict| {
        println!("{:<40} {}", verdict.name, verdict.remark);
        verdicts.push(verdict);
    };

    if arguments.list {
        list();
        return Ok(());
    }
    if let Some(name) = &arguments.fault {
        let fault = fault_of(name)?;
        let scenario = arguments.scenario.as_deref().unwrap_or(fault.scenario());
        tell(Verdict::of_fault(fault, scenario, threads, true)?);
    } else if let Some(name) = &arguments.scenario {
        tell(Verdict::of_scenario(&find(name)?, threads));
    } else {
        for config in SCENARIOS {
            tell(Verdict::of_scenario(config, threads));
        }
        for &fault in Fault::ALL {
            tell(Verdict::of_fault(fault, fault.scenario(), threads, false)?);
        }
    }

    if arguments.report {
        for Verdict { name, good, remark } in &verdicts {
            println!("{}\t{name}\t{remark}", if *good { "pass" } else { "fail" });
        }
    }
    let bad = verdicts.iter().filter(|verdict| !verdict.good).count();
    if bad > 0 && !arguments.report {
        bail!("{bad} not as expected");
    }
    Ok(())
}
