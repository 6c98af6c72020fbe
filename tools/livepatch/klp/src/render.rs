// SPDX-License-Identifier: GPL-2.0

//! Screens for people. Programs read `--json`, `klp prom`, or what the older tools print
//! ([`crate::compat`]).

pub mod prom;

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{presets, ContentArrangement, Table};

use crate::blockers::{Blocker, Reason};
use crate::check::{Checked, Outcome};
use crate::doctor::{Finding, State};
use crate::history::{End, History, Operation};
use crate::module::ModuleFile;
use crate::source::guard::Guard;
use crate::source::kernel::{Core, Kernel};
use crate::source::sysfs::Target;
use crate::system::{Patch, Status, System, Transition};
use crate::text::{printable, span};
use crate::verify::{Answer, Verified};

/// How many tasks `klp why` names; the others are counted.
const MOST_TASKS: usize = 40;

/// Columns without lines between them, as wide as they need, or as the terminal has.
fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(heads);
    // Some of it comes from files and tasks that anybody may have made.
    table.add_rows(
        rows.into_iter()
            .map(|row| row.iter().map(|cell| printable(cell)).collect::<Vec<_>>()),
    );
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// A word for what may be unknown.
fn or_unknown<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "?".to_owned(), |value| value.to_string())
}

fn span_ms(ms: Option<u64>) -> String {
    or_unknown(ms.map(|ms| span(Duration::from_millis(ms))))
}

/// `klp status`: one screen.
pub fn status(status: &Status<'_>) -> String {
    let system = status.system;
    let mut text = kernel_line(&system.kernel);
    let _ = writeln!(text, "VERDICT  {}", status.verdict.text);
    if !system.patches.is_empty() {
        text.push('\n');
        text += &table(
            &["PATCH", "STATE", "FOR", "OBJECTS", "FUNCS", "FIXES"],
            system.patches.iter().map(patch_row),
        );
    }
    let missing: Vec<&str> = system
        .missing()
        .map(|installed| installed.name.as_str())
        .collect();
    if !missing.is_empty() {
        let _ = writeln!(text, "\ninstalled, not loaded: {}", missing.join(", "));
    }
    for installed in system.installed_here() {
        if let Some(by) = &installed.replaced_by {
            let _ = writeln!(
                text,
                "\ninstalled, and not loaded as {by} would replace it: {}",
                installed.name
            );
        }
    }
    if !system.leftover.is_empty() {
        let _ = writeln!(
            text,
            "\nloaded, patch nothing (klp gc): {}",
            system.leftover.join(", ")
        );
    }
    text
}

fn kernel_line(kernel: &Kernel) -> String {
    let core = match kernel.core {
        Core::C => "C",
        Core::Rust => "Rust",
        Core::Unknown => "unknown",
    };
    let mut line = format!(
        "Kernel {}, livepatch core: {core}",
        or_unknown(kernel.release.as_ref())
    );
    if kernel.sig_enforce == Some(true) {
        line.push_str(", signed modules only");
    }
    if let Some(lockdown) = kernel
        .lockdown
        .as_deref()
        .filter(|lockdown| *lockdown != "none")
    {
        let _ = write!(line, ", lockdown: {lockdown}");
    }
    line.push('\n');
    line
}

fn patch_row(patch: &Patch) -> Vec<String> {
    let count = |patched| {
        let objects = patch.objects.iter();
        objects.filter(|object| object.patched == patched).count()
    };
    // Kernels before 6.1 do not tell.
    let patched = (count(None) == 0).then(|| count(Some(true)));
    let fixes = match patch.fixes.as_deref() {
        None => "?".to_owned(),
        Some([]) => "-".to_owned(),
        Some([fix]) => fix.clone(),
        Some(fixes) => format!("{} fixes", fixes.len()),
    };
    vec![
        patch.name.clone(),
        state(patch).to_owned(),
        span_ms(patch.since_ms),
        format!("{}/{}", or_unknown(patched), patch.objects.len()),
        patch.functions().to_string(),
        fixes,
    ]
}

/// The word for what a livepatch is, or is about to become.
pub fn state(patch: &Patch) -> &'static str {
    match (patch.enabled, patch.transition) {
        (true, false) if patch.forced == Some(true) => "forced",
        (true, false) => "enabled",
        (true, true) => "enabling",
        (false, true) => "disabling",
        (false, false) => "disabled",
    }
}

/// `klp why`: whom the transition waits for.
pub fn why(transition: Option<&Transition>, stacks: bool) -> String {
    let Some(transition) = transition else {
        return "no transition\n".to_owned();
    };
    let doing = match transition.target {
        Target::Patched => "enabled",
        Target::Unpatched => "disabled",
    };
    let mut text = format!(
        "{} is being {doing} for {}, {} of {} tasks left\n",
        transition.patch,
        match (transition.age_ms, transition.age_min_ms) {
            (None, Some(least)) => format!("at least {}", span_ms(Some(least))),
            (age, _) => span_ms(age),
        },
        or_unknown(transition.left),
        transition.tasks
    );
    match transition.left {
        None => text.push_str(
            "Not all tasks can be seen from here: klp has to be root, outside of any container.\n",
        ),
        Some(0) if transition.exact => text.push_str("No task is left: it is about to end.\n"),
        Some(0) => text.push_str(
            "No task that can be seen is left. It may be an idle CPU or an exiting task, or the \
             kernel has not looked again yet: it does not tell.\n",
        ),
        Some(_) => {}
    }
    let blockers = transition.blockers.as_deref().unwrap_or_default();
    if !blockers.is_empty() {
        text.push('\n');
        let why = if transition.exact {
            "WHY"
        } else {
            "WHY (guess)"
        };
        text += &table(
            &["TASK", "WHO", why],
            blockers.iter().take(MOST_TASKS).map(blocker_row),
        );
        // The kernel lists some hundred, and counts the others.
        let left = transition.left.unwrap_or(0).max(blockers.len());
        if let Some(more @ 1..) = left.checked_sub(blockers.len().min(MOST_TASKS)) {
            let listed = match blockers.len() {
                all if all == left => "all".to_owned(),
                some => some.to_string(),
            };
            let _ = writeln!(text, "... and {more} more (klp why --json has {listed})");
        }
    }
    if stacks {
        for blocker in blockers.iter().take(MOST_TASKS) {
            let _ = writeln!(text, "\n{} {}", blocker.tid, printable(&blocker.comm));
            for frame in blocker.stack.iter().flatten() {
                let _ = writeln!(text, "    {frame}");
            }
        }
    }
    text.push_str("\nWhat helps:\n");
    for what in what_helps(transition) {
        let _ = writeln!(text, "  {what}");
    }
    text
}

fn blocker_row(blocker: &Blocker) -> Vec<String> {
    let who = if blocker.kthread {
        format!("[{}]", blocker.comm)
    } else {
        blocker.comm.clone()
    };
    // All idle tasks have the number 0, and names that tell them apart.
    let task = if blocker.idle {
        "idle".to_owned()
    } else {
        blocker.tid.to_string()
    };
    vec![task, who, blocker.reason.text()]
}

fn what_helps(transition: &Transition) -> Vec<String> {
    let sleeps_there = |reason: &Reason| {
        matches!(
            reason,
            Reason::OnOld { .. } | Reason::OnPatch { .. } | Reason::OnTheWay { .. }
        )
    };
    let mut programs: Vec<String> = transition
        .blockers
        .iter()
        .flatten()
        .filter(|blocker| blocker.program && sleeps_there(&blocker.reason))
        .map(|blocker| format!("restart {}", printable(&blocker.comm)))
        .collect();
    programs.sort();
    programs.dedup();
    programs.truncate(3);
    let name = &transition.patch;
    let mut helps = vec!["wait".to_owned()];
    helps.append(&mut programs);
    helps.push(format!("klp reverse {name}"));
    let stays = match transition.target {
        Target::Unpatched => "it can never be removed then",
        Target::Patched => "what it replaces can never be removed then",
    };
    helps.push(format!("klp force {name} --i-accept-no-unload ({stays})"));
    helps
}

/// `klp list`: what is loaded, and what is installed.
pub fn list(system: &System, installed_only: bool) -> String {
    let mut text = String::new();
    if !installed_only {
        for patch in &system.patches {
            let _ = writeln!(text, "{}\t{}", patch.name, state(patch));
        }
        for name in &system.leftover {
            let _ = writeln!(text, "{name}\tleftover");
        }
    }
    for installed in system.installed.iter().flatten() {
        if installed_only || !installed.loaded {
            let _ = writeln!(
                text,
                "{}\tinstalled for {}",
                printable(&installed.name),
                printable(&installed.release)
            );
        }
    }
    if system.installed.is_none() {
        text.push_str("?\tonly root may see what is installed\n");
    }
    text
}

/// `klp info NAME`, of a livepatch that is loaded.
pub fn info_loaded(patch: &Patch) -> String {
    let yes_no = |flag: Option<bool>| or_unknown(flag.map(|flag| if flag { "yes" } else { "no" }));
    let mut rows = vec![
        ("name", patch.name.clone()),
        ("state", state(patch).to_owned()),
        ("for", span_ms(patch.since_ms)),
        ("replaces all others", yes_no(patch.replace)),
        ("place in the stack", or_unknown(patch.stack_order)),
        ("in force", yes_no(patch.in_force())),
        (
            "fixes",
            match patch.fixes.as_deref() {
                None => "?".to_owned(),
                Some([]) => "-".to_owned(),
                Some(fixes) => fixes.join(", "),
            },
        ),
        ("module's users", or_unknown(patch.module.refcnt)),
        ("build id", or_unknown(patch.module.build_id.as_ref())),
        (
            "installed file",
            patch
                .module
                .file
                .clone()
                .unwrap_or_else(|| "none".to_owned()),
        ),
    ];
    if patch.module.file.is_some() {
        rows.push(("file is what is loaded", yes_no(patch.module.file_matches)));
    }
    let mut text = key_values(&rows);
    let functions = patch.objects.iter().flat_map(|object| {
        object.functions.iter().map(|function| {
            let now = match (object.loaded, function.effective) {
                (false, _) => "waits for the module",
                (true, Some(true)) => "this one",
                (true, Some(false)) => "another one",
                (true, None) => "?",
            };
            let name = match function.sympos {
                0 | 1 => function.name.clone(),
                sympos => format!("{},{sympos}", function.name),
            };
            vec![object.name.clone(), name, now.to_owned()]
        })
    });
    text.push('\n');
    text + &table(&["OBJECT", "FUNCTION", "VERSION IN USE"], functions)
}

/// `klp info FILE`.
pub fn info_file(file: &ModuleFile) -> String {
    let yes_no = |flag| if flag { "yes" } else { "no" }.to_owned();
    let mut rows = vec![
        ("file", file.path.display().to_string()),
        ("name", file.name.clone()),
        ("livepatch", yes_no(file.is_livepatch())),
        ("for kernel", or_unknown(file.release())),
        ("signed", yes_no(file.signed)),
        ("build id", or_unknown(file.build_id.as_ref())),
    ];
    let fixes = file.fixes();
    if !fixes.is_empty() {
        rows.push(("fixes", fixes.join(", ")));
    }
    for field in ["description", "author", "version", "srcversion", "depends"] {
        if let Some(value) = file.field(field).filter(|value| !value.is_empty()) {
            rows.push((field, value.to_owned()));
        }
    }
    key_values(&rows)
}

fn key_values(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(key, value)| format!("{key:width$}  {}\n", printable(value)))
        .collect()
}

/// `klp history`: the transitions that the kernel's log knows, the latest last.
pub fn history(history: &History) -> String {
    if history.operations.is_empty() {
        return "the kernel's log has no transition\n".to_owned();
    }
    table(
        &["AT", "PATCH", "TO", "TOOK", "END", "SIGNALS"],
        history.operations.iter().map(|operation| {
            let (took, end) = end(operation);
            vec![
                format!("{:.3}", operation.started.as_secs_f64()),
                operation.patch.clone(),
                operation.target.name().to_owned(),
                took,
                end,
                operation.signals.to_string(),
            ]
        }),
    )
}

fn end(operation: &Operation) -> (String, String) {
    let took = |at: Duration| span(at.saturating_sub(operation.started));
    match operation.end {
        End::No => ("-".to_owned(), "-".to_owned()),
        End::Complete(at) if operation.forced => (took(at), "forced".to_owned()),
        End::Complete(at) => (took(at), "complete".to_owned()),
        End::Reversed(at) => (took(at), "reversed".to_owned()),
    }
}

/// `klp verify`: each question about each livepatch.
pub fn verify(verified: &[Verified]) -> String {
    if verified.is_empty() {
        return "no livepatch\n".to_owned();
    }
    let word = |answer| match answer {
        Answer::Yes => "ok",
        Answer::Unknown => "??",
        Answer::No => "FAIL",
    };
    let mut text = String::new();
    for patch in verified {
        let verdict = match patch.in_force {
            Answer::Yes => "is in force",
            Answer::Unknown => "may be in force",
            Answer::No => "is NOT in force",
        };
        let _ = writeln!(text, "{} {verdict}", patch.patch);
        for check in &patch.checks {
            let _ = writeln!(
                text,
                "  {:4}  {:8}  {}",
                word(check.answer),
                check.about,
                check.text
            );
        }
    }
    text
}

/// `klp doctor`: each question, and what a bad answer costs.
pub fn doctor(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let word = match finding.state {
            State::Good => "ok",
            State::Note => "note",
            State::Bad => "BAD",
            State::Unknown => "??",
        };
        let what = printable(&finding.text);
        let _ = writeln!(text, "{word:4}  {:12}  {what}", finding.about);
        if let Some(costs) = finding.costs {
            let _ = writeln!(text, "{:20}{costs}", "");
        }
    }
    text
}

/// `klp guard`: which livepatches a boot has loaded of which nobody knows that it ended well.
pub fn guards(guards: &[Guard]) -> String {
    if guards.is_empty() {
        return "nothing is guarded".to_owned();
    }
    let rows = guards.iter().map(|guard| {
        let what = if guard.this_boot {
            "loaded by this boot, which has to go on for a while"
        } else {
            "locked out: a boot that had loaded it did not end well"
        };
        vec![guard.name.clone(), what.to_owned()]
    });
    table(&["PATCH", "STATE"], rows).trim_end().to_owned()
}

/// `klp fixes`: what the livepatches that are loaded say they fix.
pub fn fixes(system: &System) -> String {
    let rows: Vec<_> = system
        .patches
        .iter()
        .flat_map(|patch| {
            let now = match patch.in_force() {
                Some(true) => "in force",
                Some(false) => "not in force",
                None => "? (klp verify)",
            };
            let fixes = patch.fixes.iter().flatten();
            fixes.map(move |fix| vec![fix.clone(), patch.name.clone(), now.to_owned()])
        })
        .collect();
    let mut text = if rows.is_empty() {
        "no livepatch that is loaded says what it fixes\n".to_owned()
    } else {
        table(&["FIX", "PATCH", "STATE"], rows)
    };
    for patch in system.patches.iter().filter(|it| it.fixes.is_none()) {
        let why = match (&patch.module.file, patch.module.file_matches) {
            (None, _) => "no file of this name is installed, or may be seen",
            (_, Some(_)) => "the installed file is not what is loaded",
            (_, None) => "nobody knows whether the installed file is what is loaded",
        };
        let _ = writeln!(text, "{}: unknown, {why}", patch.name);
    }
    text
}

/// `klp check`: each question about each file.
pub fn check(checked: &[Checked]) -> String {
    let word = |outcome| match outcome {
        Outcome::Pass => "ok",
        Outcome::Warn => "warn",
        Outcome::Unknown => "??",
        Outcome::Fail => "FAIL",
    };
    let mut text = String::new();
    for file in checked {
        let verdict = match file.outcome {
            Outcome::Pass | Outcome::Warn => "can be loaded",
            Outcome::Unknown => "can be loaded, as far as can be told",
            Outcome::Fail => "will be REFUSED",
        };
        let _ = writeln!(text, "{} {verdict}", printable(&file.file));
        for finding in &file.findings {
            let _ = writeln!(
                text,
                "  {:4}  {:11}  {}",
                word(finding.outcome),
                finding.about,
                printable(&finding.text)
            );
        }
    }
    text
}
