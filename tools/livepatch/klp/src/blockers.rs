// SPDX-License-Identifier: GPL-2.0

//! Whom a transition waits for, and why.
//!
//! The core in Rust says so. The one in C does not give its reasons; it gives each task's state
//! and, to root, its stack. So each reason is a guess there, if one with good grounds: a task is
//! moved when it is asleep and none of the functions that change is on its stack, and when it
//! leaves the kernel.

use std::collections::HashSet;

use serde::Serialize;

use crate::source::sysfs::{Patch, Target};
use crate::source::tasks::{Frame, Task};
use crate::source::transition::{Kind, Straggler};

/// Why a task has not been moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Reason {
    /// It runs in the kernel, or waits for a processor.
    Running {
        cpu: Option<i32>,
    },
    /// It sleeps in a function that is to be replaced.
    OnOld {
        function: String,
    },
    /// It sleeps in a function of a livepatch.
    OnPatch {
        function: String,
    },
    /// It sleeps, and nothing that is patched is on its stack: it will be moved at the next look,
    /// or its stack is not reliable.
    Asleep {
        function: Option<String>,
    },
    /// It sleeps on its way to a function that changes.
    #[serde(rename = "in_trampoline")]
    OnTheWay {
        function: String,
    },
    /// The kernel cannot tell what is on its stack.
    Unreliable,
    /// Nothing keeps it: it will be moved at the next look.
    Untried,
    /// The kernel has a word for it that is new.
    Other {
        word: String,
    },
    /// Its stack may not be read.
    StackUnreadable,
    Exiting,
}

/// A task that has not been moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Blocker {
    pub tid: i32,
    pub tgid: i32,
    pub comm: String,
    pub kthread: bool,
    /// Is it the idle task of a processor?
    pub idle: bool,
    /// Is it a program that can be started again? Those that exit are none any more.
    #[serde(skip)]
    pub program: bool,
    #[serde(flatten)]
    pub reason: Reason,
    /// The reason is not the kernel's own.
    pub guess: bool,
    /// Its stack, the innermost function first; [`None`] if it may not be read.
    pub stack: Option<Vec<String>>,
}

/// What `patch`, which is in transition to `target`, waits for.
pub fn blockers(patch: &Patch, target: Target, all: &[Patch], tasks: &[Task]) -> Vec<Blocker> {
    let code = Code::of(patch, target, all);
    tasks
        .iter()
        .map(|task| Blocker {
            tid: task.tid,
            tgid: task.tgid,
            comm: task.comm.clone(),
            kthread: task.kthread,
            idle: false,
            program: !task.kthread && !task.exiting,
            reason: code.reason(task),
            guess: true,
            stack: texts(task.stack.as_deref()),
        })
        .collect()
}

/// What the kernel says of a task that is left; `stack` is what `/proc` shows of its stack.
pub fn told(straggler: &Straggler, stack: Option<&[Frame]>) -> Blocker {
    let place = || straggler.place.clone().unwrap_or_else(|| "?".to_owned());
    Blocker {
        tid: straggler.tid,
        tgid: straggler.tgid,
        comm: straggler.comm.clone(),
        kthread: straggler.kind == Kind::Kthread,
        idle: straggler.kind == Kind::Idle,
        program: straggler.kind == Kind::User,
        reason: match straggler.reason.as_str() {
            "running" => Reason::Running { cpu: straggler.cpu },
            "on_old" => Reason::OnOld { function: place() },
            "on_new" => Reason::OnPatch { function: place() },
            "in_trampoline" => Reason::OnTheWay { function: place() },
            "unreliable" => Reason::Unreliable,
            "untried" => Reason::Untried,
            word => Reason::Other {
                word: word.to_owned(),
            },
        },
        guess: false,
        stack: texts(stack),
    }
}

fn texts(stack: Option<&[Frame]>) -> Option<Vec<String>> {
    Some(stack?.iter().map(|frame| frame.text.clone()).collect())
}

/// The code that no task may be in when it is moved.
struct Code<'a> {
    /// Functions by object and name that run as long as the task has not been moved.
    old: HashSet<(&'a str, &'a str)>,
    /// Modules whose code may be that of a function that is being replaced, or taken back.
    modules: HashSet<&'a str>,
}

impl<'a> Code<'a> {
    fn of(patch: &'a Patch, target: Target, all: &'a [Patch]) -> Self {
        let functions = |patch: &'a Patch| {
            patch.objects.iter().flat_map(|object| {
                object
                    .functions
                    .iter()
                    .map(|func| (object.name.as_str(), func.name.as_str()))
            })
        };
        match target {
            Target::Unpatched => Self {
                old: HashSet::new(),
                modules: [patch.name.as_str()].into(),
            },
            Target::Patched => Self {
                old: functions(patch).collect(),
                // The version before may be that of an older livepatch.
                modules: (all.iter().map(|other| other.name.as_str()))
                    .filter(|name| *name != patch.name)
                    .collect(),
            },
        }
    }

    fn reason(&self, task: &Task) -> Reason {
        if task.exiting {
            return Reason::Exiting;
        }
        if let Some(cpu) = task.running_on {
            return Reason::Running { cpu: Some(cpu) };
        }
        let Some(stack) = &task.stack else {
            return Reason::StackUnreadable;
        };
        for frame in stack {
            let function = || frame.text.clone();
            if frame
                .module
                .as_deref()
                .is_some_and(|module| self.modules.contains(module))
            {
                return Reason::OnPatch {
                    function: function(),
                };
            }
            if self.is_old(frame) {
                return Reason::OnOld {
                    function: function(),
                };
            }
        }
        Reason::Asleep {
            function: stack.first().map(|frame| frame.text.clone()),
        }
    }

    fn is_old(&self, frame: &Frame) -> bool {
        let object = frame.module.as_deref().unwrap_or("vmlinux");
        // A compiler splits functions, and names the parts after them.
        let function = frame.function.split('.').next().unwrap_or(&frame.function);
        self.old.contains(&(object, frame.function.as_str()))
            || self.old.contains(&(object, function))
    }
}

impl Reason {
    /// In a few words.
    pub fn text(&self) -> String {
        match self {
            Self::Running { cpu: Some(cpu) } => format!("runs on CPU {cpu}, or waits for it"),
            Self::Running { cpu: None } => "runs".to_owned(),
            Self::OnOld { function } => format!("sleeps in {function} (old)"),
            Self::OnPatch { function } => format!("sleeps in {function}"),
            Self::Asleep {
                function: Some(function),
            } => {
                format!("sleeps in {function}, nothing patched on its stack")
            }
            Self::Asleep { function: None } => "sleeps, its stack is empty".to_owned(),
            Self::OnTheWay { function } => format!("sleeps on its way to {function}"),
            Self::Unreliable => "sleeps, its stack cannot be relied upon".to_owned(),
            Self::Untried => "will be moved at the next try".to_owned(),
            Self::Other { word } => word.clone(),
            Self::StackUnreadable => "unknown: its stack may only be read by root".to_owned(),
            Self::Exiting => "exits".to_owned(),
        }
    }

    /// The word that stands for it in tables of numbers.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Running { .. } => "running",
            Self::OnOld { .. } => "on_old",
            Self::OnPatch { .. } => "on_patch",
            Self::Asleep { .. } => "asleep",
            Self::OnTheWay { .. } => "in_trampoline",
            Self::Unreliable => "unreliable",
            Self::Untried => "untried",
            Self::Other { .. } => "other",
            Self::StackUnreadable => "stack_unreadable",
            Self::Exiting => "exiting",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::sysfs::{Function, Object};

    fn patch(name: &str) -> Patch {
        Patch {
            name: name.to_owned(),
            enabled: true,
            transition: true,
            objects: vec![Object {
                name: "ext4".to_owned(),
                patched: Some(true),
                functions: vec![Function {
                    name: "ext4_readdir".to_owned(),
                    sympos: 1,
                }],
            }],
            ..Patch::default()
        }
    }

    fn frame(function: &str, module: Option<&str>) -> Frame {
        Frame {
            function: function.to_owned(),
            module: module.map(str::to_owned),
            text: format!("{function}+0x1/0x2"),
        }
    }

    fn reason(target: Target, frames: &[Frame]) -> Reason {
        let all = [patch("older"), patch("newer")];
        let task = Task {
            tid: 1,
            tgid: 1,
            comm: "t".to_owned(),
            kthread: false,
            exiting: false,
            running_on: None,
            stack: Some(frames.to_vec()),
        };
        blockers(&all[1], target, &all, &[task]).remove(0).reason
    }

    #[test]
    fn a_function_counts_in_its_own_object_only() {
        let on_old = |frame| matches!(reason(Target::Patched, &[frame]), Reason::OnOld { .. });
        assert!(on_old(frame("ext4_readdir", Some("ext4"))));
        assert!(on_old(frame("ext4_readdir.cold", Some("ext4"))));
        assert!(!on_old(frame("ext4_readdir", None)));
        assert!(!on_old(frame("ext4_readdir_more", Some("ext4"))));
    }

    #[test]
    fn code_of_a_livepatch_counts_where_it_is_the_version_before() {
        let in_module = |target, module| reason(target, &[frame("f", Some(module))]);
        let is_on_patch = |reason| matches!(reason, Reason::OnPatch { .. });
        assert!(is_on_patch(in_module(Target::Patched, "older")));
        assert!(!is_on_patch(in_module(Target::Patched, "newer")));
        assert!(is_on_patch(in_module(Target::Unpatched, "newer")));
        assert!(!is_on_patch(in_module(Target::Unpatched, "older")));
    }

    #[test]
    fn what_runs_or_exits_is_not_asked_for_its_stack() {
        let mut task = Task {
            tid: 1,
            tgid: 1,
            comm: String::new(),
            kthread: false,
            exiting: false,
            running_on: Some(3),
            stack: None,
        };
        let code = Code {
            old: HashSet::new(),
            modules: HashSet::new(),
        };
        assert_eq!(code.reason(&task), Reason::Running { cpu: Some(3) });
        task.running_on = None;
        assert_eq!(code.reason(&task), Reason::StackUnreadable);
        task.exiting = true;
        assert_eq!(code.reason(&task), Reason::Exiting);
    }
}
