// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/livepatch`: what the core knows and sysfs has no place for.
//!
//! ```text
//! transition     who has yet to move, and why; empty if no transition is under way
//! history        the last transitions that came to their end
//! patches        all patches with their functions, and which versions are in use
//! ```
//!
//! For root, to be read. Nothing but the history is kept for these files: all else is looked up
//! when they are read, under `klp_mutex`. The format is in
//! `Documentation/ABI/testing/debugfs-livepatch`; fields and lines may be added, so `version` is
//! that of the meaning of those that there are.

use crate::{
    func_stacks::FuncStacks,
    model::{
        names,
        operation::Registration,
        phase::{
            PatchState,
            Phase, //
        }, //
    },
    patch::{
        Func,
        Object,
        Patch, //
    },
    registry::{
        self,
        Registry, //
    },
    stack_check::{
        self,
        InTheWay,
        Place, //
    },
    transition::{
        Reason,
        Straggler, //
    },
};
use kernel::{
    debugfs::Dir,
    fmt,
    prelude::*, //
};

/// How many tasks are listed one by one.
const MOST_TASKS: usize = 256;

/// Creates the files, which stay. Without memory, or without debugfs, there are none. May sleep.
pub(crate) fn init() {
    let dir = Dir::new(c"livepatch");

    add(&dir, c"transition", &|(), f| {
        show_transition(&registry::lock(), f)
    });
    add(&dir, c"history", &|(), f| {
        show_history(&registry::lock(), f)
    });
    add(&dir, c"patches", &|(), f| {
        show_patches(&registry::lock(), f)
    });
}

fn add<F>(dir: &Dir, name: &CStr, show: &'static F)
where
    F: Fn(&(), &mut fmt::Formatter<'_>) -> fmt::Result + Send + Sync,
{
    if let Ok(file) = KBox::pin_init(dir.read_callback_file(name, (), show), GFP_KERNEL) {
        // It would go with what is dropped here.
        core::mem::forget(file);
    }
}

fn target(target: PatchState) -> &'static str {
    match target {
        PatchState::Patched => "patched",
        PatchState::Unpatched => "unpatched",
    }
}

fn show_transition(registry: &Registry, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Some(running) = &registry.transition else {
        return Ok(());
    };
    let Some(patch) = registry.get(running.patch) else {
        return Ok(());
    };

    writeln!(f, "version 1")?;
    f.write_fmt(fmt!("patch {}\n", &*patch.name))?;
    writeln!(f, "target {}", target(running.target))?;
    writeln!(f, "age_ms {}", running.since.elapsed().as_millis())?;
    writeln!(f, "tries {}", running.pacing.tries())?;
    writeln!(f, "signals {}", running.pacing.signals())?;
    writeln!(f, "reversals {}", running.reversals)?;
    writeln!(f, "forced {}", u8::from(running.forced))?;
    // Without memory the file ends here.
    let Ok(stragglers) = running.stragglers(MOST_TASKS) else {
        return Ok(());
    };

    writeln!(f, "tasks {}", stragglers.tasks)?;
    writeln!(f, "left {}", stragglers.left)?;
    writeln!(f)?;
    for straggler in &stragglers.listed {
        show_straggler(straggler, running.target, patch, &registry.func_stacks, f)?;
    }
    match stragglers.left.saturating_sub(stragglers.listed.len()) {
        0 => Ok(()),
        more => writeln!(f, "more {more}"),
    }
}

/// Prints `<tid> <tgid> <cpu> <kind> <reason> <where> <comm>`, with tabs between them.
fn show_straggler(
    straggler: &Straggler,
    target: PatchState,
    patch: &Patch,
    func_stacks: &FuncStacks,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let info = &straggler.info;
    let kind = match (info.idle, info.exiting, info.kthread) {
        (true, ..) => "idle",
        (_, true, _) => "exiting",
        (.., true) => "kthread",
        _ => "user",
    };

    write!(f, "{}\t{}\t", info.tid, info.tgid)?;
    match info.cpu {
        -1 => write!(f, "-")?,
        cpu => write!(f, "{cpu}")?,
    }
    write!(f, "\t{kind}\t")?;
    match straggler.reason {
        Reason::Running => write!(f, "running\t-")?,
        Reason::Unreliable => write!(f, "unreliable\t-")?,
        Reason::Nothing => write!(f, "untried\t-")?,
        Reason::InFunction { name, addr } => {
            let found = stack_check::locate(patch, func_stacks, target, name, addr);
            show_place(found, target, f)?
        }
    }
    let comm = CStr::from_bytes_until_nul(&info.comm).unwrap_or(c"?");
    // What is not printable in it is escaped.
    f.write_fmt(fmt!("\t{comm}\n"))
}

/// Prints what of the patch is in the way, and where in it the task is.
fn show_place(
    found: Option<InTheWay<'_>>,
    target: PatchState,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let reason = match (&found, target) {
        (
            Some(InTheWay {
                place: Place::Call, ..
            }),
            _,
        ) => "in_trampoline",
        (_, PatchState::Patched) => "on_old",
        (_, PatchState::Unpatched) => "on_new",
    };
    let Some(found) = found else {
        return write!(f, "{reason}\t-");
    };

    f.write_fmt(fmt!(
        "{reason}\t{}:{}",
        found.object.label(),
        &*found.func.name
    ))?;
    match found.place {
        Place::At(offset) => write!(f, "+{offset:#x}"),
        Place::Call | Place::Unknown => Ok(()),
    }
}

/// Prints a line for each transition, the oldest first.
fn show_history(registry: &Registry, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "version 1")?;
    for record in registry.history.iter() {
        f.write_fmt(fmt!(
            "{}\t{}\tage_ms={}\tduration_us={}\ttries={}\tsignals={}\treversals={}\tforced={}\n",
            record.name(),
            target(record.target),
            record.since.elapsed().as_millis(),
            record.duration_us,
            record.tries,
            record.signals,
            record.reversals,
            u8::from(record.forced)
        ))?;
    }
    Ok(())
}

/// Prints a line for each patch, in the order in which they were enabled and then the others, and
/// below it a line with a tab for each of its functions.
fn show_patches(registry: &Registry, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(f, "version 1")?;
    for patch in registry.all() {
        let kind = match patch.registration {
            Registration::OneShot => "oneshot",
            Registration::Registered => "registered",
        };
        let phase = match patch.phase() {
            Phase::Disabled => "disabled",
            Phase::Enabling => "enabling",
            Phase::Enabled => "enabled",
            Phase::Disabling => "disabling",
        };

        f.write_fmt(fmt!(
            "{}\t{kind}\t{phase}\torder={}\treplace={}\tforced={}\n",
            &*patch.name,
            registry.position(patch.id).map_or(0, |at| at + 1),
            u8::from(patch.replaces()),
            u8::from(patch.is_forced())
        ))?;
        for object in patch.objects() {
            for func in object.funcs() {
                f.write_fmt(fmt!(
                    "\t{}\t{},{}\t{}\n",
                    object.label(),
                    &*func.name,
                    names::shown_sympos(func.sympos),
                    state(object, func, &registry.func_stacks)
                ))?;
            }
        }
    }
    Ok(())
}

/// What a version of a function is there for.
fn state(object: &Object, func: &Func, func_stacks: &FuncStacks) -> &'static str {
    let stack = func.site().and_then(|site| func_stacks.get(site.ip));

    match stack {
        _ if !object.is_loaded() => "waiting",
        Some(stack) if object.is_patched() => match (stack.is_top(func.version()), func.is_nop()) {
            (true, true) => "nop",
            (true, false) => "active",
            (false, _) => "shadowed",
        },
        _ => "off",
    }
}
