// SPDX-License-Identifier: GPL-2.0

//! Is a livepatch in force now? It is if each of the questions here is answered with yes.

use serde::Serialize;

use crate::source::ftrace::Attached;
use crate::system::{Function, Patch, System};

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    Yes,
    /// It cannot be told here.
    Unknown,
    No,
}

/// A question, and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    pub about: &'static str,
    pub answer: Answer,
    pub text: String,
}

/// All about one livepatch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    pub patch: String,
    /// The worst of them.
    pub in_force: Answer,
    pub checks: Vec<Check>,
}

/// Asks. `attached`: [`None`] if nobody knows what is attached.
pub fn verify(patch: &Patch, system: &System, attached: Option<&Attached>) -> Verified {
    let checks = vec![
        transition(patch),
        forced(patch),
        objects(patch),
        versions(patch, system),
        ftrace(patch, attached),
        others(patch, attached),
        file(patch, system),
    ];
    let in_force = checks
        .iter()
        .map(|check| check.answer)
        .max()
        .unwrap_or(Answer::Unknown);
    Verified {
        patch: patch.name.clone(),
        in_force,
        checks,
    }
}

/// Each livepatch that is there, and each that should be. Only `name`, if one is given.
pub fn verify_all(
    system: &System,
    attached: Option<&Attached>,
    name: Option<&str>,
) -> Vec<Verified> {
    let is_meant = |patch: &str| name.is_none_or(|name| patch == name);
    let loaded = system
        .patches
        .iter()
        .filter(|patch| is_meant(&patch.name))
        .map(|patch| verify(patch, system, attached));
    let missing = system
        .missing()
        .filter(|installed| is_meant(&installed.name))
        .map(|installed| Verified {
            patch: installed.name.clone(),
            in_force: Answer::No,
            checks: vec![check("loaded", Answer::No, "installed, but not loaded")],
        });
    loaded.chain(missing).collect()
}

fn check(about: &'static str, answer: Answer, text: impl Into<String>) -> Check {
    Check {
        about,
        answer,
        text: text.into(),
    }
}

fn transition(patch: &Patch) -> Check {
    let (answer, text) = match (patch.enabled, patch.transition) {
        (true, false) => (Answer::Yes, "enabled, all tasks have been moved"),
        (true, true) => (
            Answer::No,
            "being enabled: there are tasks that run the old functions",
        ),
        (false, true) => (Answer::No, "being disabled"),
        (false, false) => (Answer::No, "disabled"),
    };
    check("tasks", answer, text)
}

fn forced(patch: &Patch) -> Check {
    match patch.forced {
        Some(false) => check("force", Answer::Yes, "no task was moved by force"),
        Some(true) => check(
            "force",
            Answer::Unknown,
            "tasks were moved by force: one may still be in an old function",
        ),
        None => check(
            "force",
            Answer::Unknown,
            "tasks were moved by force since, or the kernel's log does not tell",
        ),
    }
}

const NO_TRACEFS: &str = "tracefs may only be read by root";

/// Names at most this many.
const MOST: usize = 3;

fn some(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let names = names.join(", ");
    if more > 0 {
        format!("{names} and {more} more")
    } else {
        names
    }
}

fn objects(patch: &Patch) -> Check {
    let loaded: Vec<_> = patch
        .objects
        .iter()
        .filter(|object| object.loaded)
        .collect();
    let named = |patched| {
        some(
            loaded
                .iter()
                .filter(|object| object.patched == patched)
                .map(|object| object.name.clone())
                .collect(),
        )
    };
    let waiting = patch.objects.len() - loaded.len();
    if loaded.iter().any(|object| object.patched == Some(false)) {
        check(
            "objects",
            Answer::No,
            format!("not patched: {}", named(Some(false))),
        )
    } else if loaded.iter().any(|object| object.patched.is_none()) {
        check(
            "objects",
            Answer::Unknown,
            format!("unknown whether patched: {}", named(None)),
        )
    } else if waiting > 0 {
        let patched = loaded.len();
        check(
            "objects",
            Answer::Yes,
            format!("{patched} patched, {waiting} not loaded"),
        )
    } else {
        check("objects", Answer::Yes, "all patched")
    }
}

fn functions(patch: &Patch) -> impl Iterator<Item = (&str, &Function)> {
    patch
        .objects
        .iter()
        .filter(|object| object.loaded)
        .flat_map(|object| {
            object
                .functions
                .iter()
                .map(move |function| (object.name.as_str(), function))
        })
}

/// Those of its functions of which that is so.
fn named(patch: &Patch, is: impl Fn(&str, &Function) -> bool) -> Vec<String> {
    functions(patch)
        .filter(|(object, function)| is(object, function))
        .map(|(_, function)| function.name.clone())
        .collect()
}

fn versions(patch: &Patch, system: &System) -> Check {
    let covered = named(patch, |_, function| function.effective == Some(false));
    if functions(patch).any(|(_, function)| function.effective.is_none()) {
        return check(
            "versions",
            Answer::Unknown,
            "this kernel does not tell which one is the latest",
        );
    }
    if covered.is_empty() || !patch.enabled {
        return check(
            "versions",
            Answer::Yes,
            "no later livepatch has one of its functions",
        );
    }
    let last = system
        .patches
        .iter()
        .filter(|it| it.enabled)
        .max_by_key(|it| it.stack_order);
    let last = last.map_or("?", |last| last.name.as_str());
    let covered = some(covered);
    check(
        "versions",
        Answer::Unknown,
        format!("a later livepatch ({last} is the last) has {covered}: has it this fix, too?"),
    )
}

fn ftrace(patch: &Patch, attached: Option<&Attached>) -> Check {
    let Some(attached) = attached else {
        return check("ftrace", Answer::Unknown, NO_TRACEFS);
    };
    let redirects = |object: &str, function: &Function| {
        attached
            .flags(object, &function.name)
            .is_some_and(|flags| flags.redirects)
    };
    let missing = named(patch, |object, function| !redirects(object, function));
    if missing.is_empty() {
        check(
            "ftrace",
            Answer::Yes,
            "calls of all its functions are redirected",
        )
    } else {
        check(
            "ftrace",
            Answer::No,
            format!("calls are not redirected: {}", some(missing)),
        )
    }
}

fn others(patch: &Patch, attached: Option<&Attached>) -> Check {
    let Some(attached) = attached else {
        return check("programs", Answer::Unknown, NO_TRACEFS);
    };
    let direct = named(patch, |object, function| {
        attached
            .flags(object, &function.name)
            .is_some_and(|flags| flags.direct)
    });
    if direct.is_empty() {
        check(
            "programs",
            Answer::Yes,
            "no program is called in the place of one of its functions",
        )
    } else {
        let direct = some(direct);
        check(
            "programs",
            Answer::Unknown,
            format!("a BPF program is at {direct}: of type modify_return, it can suppress the fix"),
        )
    }
}

fn file(patch: &Patch, system: &System) -> Check {
    match (&patch.module.file, patch.module.file_matches) {
        (_, Some(true)) => check("file", Answer::Yes, "the installed file is what is loaded"),
        (_, Some(false)) => check(
            "file",
            Answer::No,
            "the installed file is not what is loaded: load it",
        ),
        (Some(_), None) => check("file", Answer::Unknown, "file or module has no build ID"),
        (None, None) if system.installed.is_none() => check(
            "file",
            Answer::Unknown,
            "what is installed may only be seen by root",
        ),
        (None, None) => check(
            "file",
            Answer::Yes,
            "none is installed, so there is none to compare",
        ),
    }
}
