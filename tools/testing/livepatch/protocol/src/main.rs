// SPDX-License-Identifier: GPL-2.0

//! Explores all that tasks can do during a livepatch transition.
//!
//! The order of the steps is the kernel's own file, `kernel/livepatch/model/protocol.rs`, and so are
//! the choice of the handler and the rules of the operations.

#![deny(warnings)]

mod config;
mod explore;
mod machine;
#[path = "../../../../../kernel/livepatch/model/mod.rs"]
mod model;
mod procedure;
mod world;

use anyhow::{
    bail,
    Context,
    Result, //
};
use clap::Parser;
use config::{
    scenarios,
    Config,
    Fault, //
};
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
#[derive(Parser)]
struct Arguments {
    /// Only this scenario.
    #[arg(long)]
    scenario: Option<String>,
    /// Seed this fault: there must be a counter-example, which is printed.
    #[arg(long)]
    fault: Option<String>,
    /// Seed each fault in turn, in the scenario where it shows.
    #[arg(long)]
    faults: bool,
    /// List scenarios and faults.
    #[arg(long)]
    list: bool,
    /// How many states to explore at most, in each scenario.
    #[arg(long)]
    states: Option<usize>,
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

fn explore(config: Config, arguments: &Arguments, print: bool) -> Outcome {
    let start = Instant::now();
    let mut builder = config.clone().checker().threads(arguments.threads);

    if let Some(fault) = config.fault {
        builder = builder.finish_when(HasDiscoveries::AllOf([fault.property()].into()));
    }
    if let Some(states) = arguments.states {
        builder = builder.target_state_count(states);
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
    let discoveries = checker.discoveries();
    let mut broken = Vec::new();

    for property in config.properties() {
        let discovery = discoveries.get(property.name);
        match property.expectation {
            Expectation::Sometimes if config.fault.is_some() || discovery.is_some() => {}
            Expectation::Sometimes => broken.push((property.name, 0)),
            _ => {
                if let Some(path) = discovery {
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
        }
    }
    Outcome {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: start.elapsed().as_secs_f64(),
        broken,
    }
}

fn find(name: &str) -> Result<Config> {
    scenarios()
        .into_iter()
        .find(|config| config.name == name)
        .with_context(|| format!("no scenario '{name}', see --list"))
}

fn fault_of(name: &str) -> Result<Fault> {
    let found = Fault::ALL.iter().find(|fault| fault.name() == name);
    found
        .copied()
        .with_context(|| format!("no fault '{name}', see --list"))
}

fn run_fault(fault: Fault, arguments: &Arguments, print: bool) -> Result<bool> {
    let scenario = arguments.scenario.as_deref().unwrap_or(fault.scenario());
    let config = Config {
        fault: Some(fault),
        ..find(scenario)?
    };
    let outcome = explore(config, arguments, print);
    let shown = |(property, _): &&(&str, usize)| *property == fault.property();
    let found = outcome.broken.iter().find(shown);
    let verdict = match found {
        Some((property, steps)) => format!("found in {steps} steps: {property}"),
        None => format!("NOT FOUND: {}", fault.property()),
    };

    println!(
        "{:<22} {scenario:<14} {:>10} {:>8.1}  {verdict}",
        fault.name(),
        outcome.states,
        outcome.seconds
    );
    Ok(found.is_some())
}

fn run_scenario(config: Config, arguments: &Arguments) -> bool {
    let outcome = explore(config.clone(), arguments, true);
    let verdict = if outcome.broken.is_empty() {
        "holds".to_string()
    } else {
        format!("BROKEN: {:?}", outcome.broken)
    };

    println!(
        "{:<22} {:>10} states, depth {:>4}, {:>7.1} s  {verdict}",
        config.name, outcome.states, outcome.depth, outcome.seconds
    );
    outcome.broken.is_empty()
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();

    if arguments.list {
        for config in scenarios() {
            println!("scenario {}", config.name);
        }
        for fault in Fault::ALL {
            println!("fault {} (in {})", fault.name(), fault.scenario());
        }
        return Ok(());
    }

    let mut bad = 0;
    if let Some(name) = &arguments.fault {
        bad += usize::from(!run_fault(fault_of(name)?, &arguments, true)?);
    } else if arguments.faults {
        for &fault in Fault::ALL {
            bad += usize::from(!run_fault(fault, &arguments, false)?);
        }
    } else {
        for config in scenarios() {
            if arguments
                .scenario
                .as_ref()
                .is_none_or(|name| name == config.name)
            {
                bad += usize::from(!run_scenario(config, &arguments));
            }
        }
    }
    if bad > 0 {
        bail!("{bad} not as expected");
    }
    Ok(())
}
