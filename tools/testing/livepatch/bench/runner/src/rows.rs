// SPDX-License-Identifier: GPL-2.0

//! The rows.

use crate::{
    functions::{
        write_list,
        LIST, //
    },
    kmsg::{
        time_of,
        Log, //
    },
    livepatch::{
        disable,
        enable,
        load,
        unload,
        Disabled,
        Enabled, //
    },
    load::{
        Busy,
        Sleepers, //
    },
    stall::{
        fork_instructions,
        Meter, //
    },
};
use anyhow::{
    Context,
    Result, //
};
use std::{
    fs, thread,
    time::{
        Duration,
        Instant, //
    },
};

const TARGET: &str = "klp_bench_target";
const MANY: &str = "klp_bench_many";
const MANY_NEW: &str = "klp_bench_many2";

/// How many functions a patch has. Each row has those up to `--most`.
const SIZES: [usize; 5] = [1, 10, 100, 1000, 5000];
const TASKS: [usize; 3] = [1, 1000, 10_000];

/// Patches on one function. There are so many modules.
const STACK: usize = 64;

#[derive(Clone, Copy)]
pub(crate) enum Object {
    Module,
    Vmlinux,
}

fn sizes_to(most: usize) -> impl Iterator<Item = usize> {
    SIZES.into_iter().filter(move |size| *size <= most)
}

fn row(name: &str, value: u64) {
    println!("row {name} {value}");
}

fn enable_many(patch: &str, object: &str, count: usize, replace: bool) -> Result<Enabled> {
    let replace = u8::from(replace);

    enable(
        patch,
        &format!("list={LIST} object={object} count={count} replace={replace}"),
    )
}

fn enabled_rows(name: &str, took: &Enabled) {
    row(&format!("{name}.enable"), took.total());
    row(&format!("{name}.enable.resolve"), took.resolve);
    row(&format!("{name}.enable.attach"), took.attach);
    row(&format!("{name}.enable.transition"), took.transition);
    row(&format!("{name}.enable.finish"), took.finish);
    row(&format!("{name}.enable.settle"), took.settle);
}

fn disabled_rows(name: &str, took: &Disabled) {
    row(&format!("{name}.disable"), took.total());
    row(&format!("{name}.disable.transition"), took.transition);
    row(&format!("{name}.disable.detach"), took.detach);
    row(&format!("{name}.disable.gone"), took.gone);
    row(&format!("{name}.disable.unload"), took.unload);
}

/// The smallest module that there is, from `insmod` to all tasks moved.
pub(crate) fn small() -> Result<()> {
    load("klp_bench", "")?;
    // What is done for the first time has to be translated by QEMU, and read from memory elsewhere.
    for _ in 0..2 {
        enable("klp_bench_patch1", "")?;
        disable("klp_bench_patch1")?;
    }
    for _ in 0..3 {
        let took = enable("klp_bench_patch1", "")?;
        row("small.load", took.load + took.total());
        enabled_rows("small", &took);
        disabled_rows("small", &disable("klp_bench_patch1")?);
    }
    unload("klp_bench")
}

/// Enables and disables patches of all sizes.
pub(crate) fn sizes(object: Object, most: usize) -> Result<()> {
    let (label, object) = match object {
        Object::Module => ("module", TARGET),
        Object::Vmlinux => ("vmlinux", ""),
    };

    load(TARGET, "")?;
    write_list(object, sizes_to(most).last().unwrap_or(1))?;
    for size in sizes_to(most) {
        let name = format!("{label}.{size}");
        enabled_rows(&name, &enable_many(MANY, object, size, false)?);
        disabled_rows(&name, &disable(MANY)?);
    }
    unload(TARGET)
}

/// The same functions, with more and more tasks that sleep.
pub(crate) fn tasks(most: usize) -> Result<()> {
    load(TARGET, "")?;
    write_list(TARGET, 1000.min(most))?;
    for tasks in TASKS {
        let sleepers = Sleepers::new(tasks)?;
        for size in [1, 1000].into_iter().filter(|size| *size <= most) {
            let name = format!("tasks.{tasks}x{size}");
            row(
                &format!("{name}.enable"),
                enable_many(MANY, TARGET, size, false)?.total(),
            );
            row(&format!("{name}.disable"), disable(MANY)?.total());
        }
        drop(sleepers);
    }
    unload(TARGET)
}

/// The same while each CPU has something to compute.
pub(crate) fn busy(most: usize) -> Result<()> {
    load(TARGET, "")?;
    write_list(TARGET, 1000.min(most))?;
    for size in sizes_to(most).filter(|size| [1, 100, 1000].contains(size)) {
        let busy = Busy::new()?;
        let took = enable_many(MANY, TARGET, size, false)?.total();
        drop(busy);
        row(&format!("busy.{size}.enable"), took);
        disable(MANY)?;
    }
    unload(TARGET)
}

/// The longest fork, exit and wait of a process that does nothing else, with 10,000 other tasks: without
/// livepatches, and while they come and go.
pub(crate) fn stalls() -> Result<()> {
    const FUNCTIONS: usize = 100;

    load(TARGET, "")?;
    write_list(TARGET, FUNCTIONS)?;
    let sleepers = Sleepers::new(10_000)?;

    let meter = Meter::new()?;
    thread::sleep(Duration::from_secs(5));
    row("stall.quiet", meter.longest()?);

    let meter = Meter::new()?;
    for _ in 0..3 {
        enable_many(MANY, TARGET, FUNCTIONS, false)?;
        disable(MANY)?;
    }
    row("stall.patching", meter.longest()?);

    drop(sleepers);
    unload(TARGET)
}

/// Many patches on one function, and then none.
pub(crate) fn stack() -> Result<()> {
    let patches = (1..=STACK).map(|number| format!("klp_bench_patch{number}"));
    let patches = patches.collect::<Vec<_>>();
    let (mut up, mut down) = (0, 0);

    load("klp_bench", "")?;
    for patch in &patches {
        up += enable(patch, "")?.total();
    }
    row(&format!("stack.{STACK}.enable"), up);
    for patch in patches.iter().rev() {
        down += disable(patch)?.total();
    }
    row(&format!("stack.{STACK}.disable"), down);
    unload("klp_bench")
}

/// A patch that replaces one with the same functions.
pub(crate) fn replace(most: usize) -> Result<()> {
    let size = 1000.min(most);

    load(TARGET, "")?;
    write_list(TARGET, size)?;
    enable_many(MANY, TARGET, size, false)?;
    let took = enable_many(MANY_NEW, TARGET, size, true)?;
    enabled_rows(&format!("replace.{size}"), &took);
    unload(MANY)?;
    disable(MANY_NEW)?;
    unload(TARGET)
}

fn load_time(module: &str) -> Result<u64> {
    let start = Instant::now();

    load(module, "")?;
    Ok(start.elapsed().as_micros().try_into()?)
}

/// A module that some patches wait for, and one that none does.
pub(crate) fn modules() -> Result<()> {
    let mut patches = Vec::new();

    for waiting in [0, 1, 5] {
        while patches.len() < waiting {
            let patch = format!("klp_bench_patch{}", patches.len() + 1);
            enable(&patch, "")?;
            patches.push(patch);
        }
        row(&format!("load.waiting.{waiting}"), load_time("klp_bench")?);
        unload("klp_bench")?;
        row(
            &format!("load.other.{waiting}"),
            load_time("klp_bench_empty")?,
        );
        unload("klp_bench_empty")?;
    }
    for patch in patches.iter().rev() {
        disable(patch)?;
    }
    Ok(())
}

fn free_memory() -> Result<i64> {
    // What is freed a grace period later has to be free.
    thread::sleep(Duration::from_secs(2));
    let info = fs::read_to_string("/proc/meminfo")?;
    let line = info.lines().find(|line| line.starts_with("MemFree:"));

    Ok(line
        .and_then(|line| line.split_whitespace().nth(1))
        .context("/proc/meminfo")?
        .parse::<i64>()?
        * 1024)
}

/// Bytes for a function, that is for one more. What the patch module has for it is not counted: it is
/// there with one function, too, but for its `struct klp_func`.
pub(crate) fn memory(most: usize) -> Result<()> {
    let size = 1000.min(most);
    let mut free = Vec::new();

    load(TARGET, "")?;
    write_list(TARGET, size)?;
    for count in [1, size, 1, size] {
        enable_many(MANY, TARGET, count, false)?;
        free.push(free_memory()?);
        disable(MANY)?;
    }
    // The first two are to find caches as they will be.
    let bytes = (free[2] - free[3]).max(0) as u64 / (size as u64 - 1);
    row("memory.function", bytes);
    unload(TARGET)
}

/// What ftrace, RCU and the scheduler take by themselves.
pub(crate) fn floor() -> Result<()> {
    const FLOOR: &str = "klp_bench_floor";
    let parameter = |name: &str| format!("/sys/module/{FLOOR}/parameters/{name}");
    let measure = |name: &str, as_row: &str| -> Result<()> {
        let took = fs::read_to_string(parameter(name)).with_context(|| name.to_owned())?;
        row(as_row, took.trim().parse()?);
        Ok(())
    };

    load(TARGET, "")?;
    load(FLOOR, "")?;
    for name in ["rcu", "rcu_tasks", "cpus"] {
        measure(name, &format!("floor.{name}"))?;
    }
    write_list(TARGET, 10_000)?;
    fs::write(parameter("list"), LIST)?;
    for size in [1, 1000, 5000] {
        fs::write(parameter("count"), size.to_string())?;
        measure("attach", &format!("floor.attach.{size}"))?;
        measure("detach", &format!("floor.detach.{size}"))?;
    }
    unload(FLOOR)?;
    unload(TARGET)
}

pub(crate) fn boot() -> Result<()> {
    let messages = Log::all()?.messages()?;

    row("boot", time_of(&messages, "Run /init as init process")?);
    Ok(())
}

pub(crate) fn fork() -> Result<()> {
    println!(
        "row fork {} {} {}",
        fork_instructions()?,
        fork_instructions()?,
        fork_instructions()?
    );
    Ok(())
}
