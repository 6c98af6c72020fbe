// SPDX-License-Identifier: GPL-2.0

//! Which functions can be patched: lists for the parameters of `klp_bench_many`.

use anyhow::{
    bail,
    Context,
    Result, //
};
use std::{
    collections::{
        HashMap,
        HashSet, //
    },
    fmt::Write,
    fs,
    ops::Range, //
};

pub(crate) const LIST: &str = "/tmp/klp-bench-list";

/// Writes `ADDRESS FUNCTION` of so many functions of a module to `LIST`, or of vmlinux for "".
pub(crate) fn write_list(object: &str, count: usize) -> Result<()> {
    let kallsyms = fs::read_to_string("/proc/kallsyms")?;
    let addresses = unique_symbols(&kallsyms, object)?;
    let traced = fs::read_to_string("/sys/kernel/tracing/available_filter_functions")
        .context("which functions can be traced")?;
    let busy = on_stacks()?;
    let scheduler = scheduler(&kallsyms)?;
    let mut list = String::new();
    let mut found = 0;

    // The last ones of vmlinux are those of drivers and lib/, on which no task sleeps.
    for line in traced.lines().rev() {
        let (name, of) = match line.split_once(" [") {
            Some((name, of)) => (name, of.trim_end_matches(']')),
            None => (line, ""),
        };
        if found == count || of != object || name.contains('.') || busy.contains(name) {
            continue;
        }
        if let Some(address) = addresses.get(name) {
            if scheduler.contains(address) {
                continue;
            }
            writeln!(list, "{address:x} {name}")?;
            found += 1;
        }
    }
    if found < count {
        bail!("'{object}' has only {found} functions of {count}");
    }
    fs::write(LIST, list).context(LIST)
}

/// Name to address, of those whose name says who they are.
fn unique_symbols(kallsyms: &str, object: &str) -> Result<HashMap<String, u64>> {
    let mut symbols = HashMap::<_, Option<u64>>::new();

    for line in kallsyms.lines() {
        let mut words = line.split_whitespace();
        let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let address = u64::from_str_radix(address, 16)?;
        let of = words.next().unwrap_or_default();
        if of.trim_matches(['[', ']']) == object {
            symbols
                .entry(name.to_owned())
                .and_modify(|address| *address = None)
                .or_insert(Some(address));
        }
    }
    Ok(symbols
        .into_iter()
        .filter_map(|(name, address)| Some((name, address?)))
        .collect())
}

/// All that sleep are in one of the scheduler's functions, which /proc leaves out of their stacks.
fn scheduler(kallsyms: &str) -> Result<Range<u64>> {
    let symbols = unique_symbols(kallsyms, "")?;
    let address = |name: &str| {
        symbols
            .get(name)
            .copied()
            .with_context(|| format!("no {name} in /proc/kallsyms"))
    };

    Ok(address("__sched_text_start")?..address("__sched_text_end")?)
}

/// Functions that some task sleeps in: with one of them, a transition would have to wait.
fn on_stacks() -> Result<HashSet<String>> {
    let mut functions = HashSet::new();

    for process in fs::read_dir("/proc")? {
        // Who has gone meanwhile is on no function.
        let stack = fs::read_to_string(process?.path().join("stack")).unwrap_or_default();
        for line in stack.lines() {
            let name = line
                .rsplit(' ')
                .next()
                .and_then(|entry| entry.split('+').next());
            functions.extend(name.map(str::to_owned));
        }
    }
    Ok(functions)
}
