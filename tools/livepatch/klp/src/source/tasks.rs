// SPDX-License-Identifier: GPL-2.0

//! `/proc`: tasks, and which of them a transition waits for.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::PathBuf;

use procfs::process::{Stat, StatFlags};
use procfs::FromRead;

use super::modules::in_brackets;
use super::sysfs::Target;
use crate::root::{known, Root};

/// A task that a transition waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub tid: i32,
    pub tgid: i32,
    /// May hold anything, newlines included: its owner chooses it.
    pub comm: String,
    pub kthread: bool,
    pub exiting: bool,
    /// The processor that it runs on, or waits for.
    pub running_on: Option<i32>,
    /// Where it sleeps, the innermost function first. [`None`]: may not be read.
    pub stack: Option<Vec<Frame>>,
}

/// A line of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub function: String,
    /// [`None`]: the function is the kernel's own.
    pub module: Option<String>,
    /// As the kernel writes it, `function+0x1/0x2 [module]`.
    pub text: String,
}

/// The tasks of a system, as far as a transition is concerned.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    /// How many there are.
    pub count: usize,
    pub left: Vec<Left>,
    /// There are tasks whose state may not be read.
    pub hidden: bool,
}

/// A task of which only this is known: to look closer takes longer than to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Left {
    pub tid: i32,
    pub tgid: i32,
}

/// Looks at all tasks for those that are not yet `target`.
pub fn left(root: &Root, target: Target) -> io::Result<Tasks> {
    let wanted = match target {
        Target::Patched => "1",
        Target::Unpatched => "0",
    };
    let (all, hidden) = all(root)?;
    let mut tasks = Tasks {
        count: all.len(),
        left: Vec::new(),
        hidden,
    };
    for task in all {
        let file = task.dir().join("patch_state");
        match root.text(&file)?.as_deref() {
            // -1: no transition, or it is a new one.
            Some("-1") => {}
            Some(state) if state == wanted => {}
            Some(_) => tasks.left.push(task),
            // The task has gone, or others may not see its state.
            None => tasks.hidden |= root.exists(&file),
        }
    }
    tasks.left.sort();
    Ok(tasks)
}

/// All tasks, and whether there are others that may not be seen.
fn all(root: &Root) -> io::Result<(Vec<Left>, bool)> {
    let mut hidden = !all_are_shown(root)?;
    let mut tasks = Vec::new();
    for tgid in root
        .names("/proc")?
        .unwrap_or_default()
        .iter()
        .filter_map(|name| name.parse().ok())
    {
        match root.names(format!("/proc/{tgid}/task"))? {
            Some(threads) => {
                let tids = threads.iter().filter_map(|name| name.parse().ok());
                tasks.extend(tids.map(|tid| Left { tid, tgid }));
            }
            None => hidden = true,
        }
    }
    Ok((tasks, hidden))
}

/// The names of tasks, by object and function that they sleep in.
pub type Sleepers = BTreeMap<(String, String), Vec<String>>;

/// Which tasks sleep in these functions now, of objects and names. [`None`]: stacks may not be read, or
/// not those of all tasks, and none of those that may does.
pub fn asleep_in(root: &Root, functions: &HashSet<(&str, &str)>) -> io::Result<Option<Sleepers>> {
    let mut found = Sleepers::new();
    let mut any = false;
    let (tasks, hidden) = all(root)?;
    for task in tasks {
        let Some(stack) = root.text(task.dir().join("stack"))? else {
            continue;
        };
        any = true;
        let frames = frames(&stack);
        let places: BTreeSet<(&str, &str)> = frames
            .iter()
            .map(|frame| {
                let object = frame.module.as_deref().unwrap_or("vmlinux");
                (object, frame.function.as_str())
            })
            .filter(|place| functions.contains(place))
            .collect();
        if places.is_empty() {
            continue;
        }
        let comm = root.text(task.dir().join("comm"))?.unwrap_or_default();
        for (object, function) in places {
            let place = (object.to_owned(), function.to_owned());
            found.entry(place).or_default().push(comm.clone());
        }
    }
    Ok((any && !(hidden && found.is_empty())).then_some(found))
}

/// Has `/proc` all tasks? Those of others are not there if it is mounted with `hidepid=`, and in a
/// container those of the rest of the system are not.
pub fn all_are_shown(root: &Root) -> io::Result<bool> {
    /// The first namespace has this number on all kernels: `PROC_PID_INIT_INO`.
    const FIRST: &str = "pid:[4026531836]";

    let namespace = known(std::fs::read_link(root.path("/proc/self/ns/pid")))?;
    let is_first = namespace.is_none_or(|namespace| namespace.as_os_str() == FIRST);
    Ok(is_first && root.exists("/proc/1"))
}

impl Left {
    fn dir(self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/task/{}", self.tgid, self.tid))
    }

    /// Looks closer. [`None`]: it has gone.
    pub fn look(self, root: &Root) -> io::Result<Option<Task>> {
        let Self { tid, tgid } = self;
        let dir = self.dir();
        let Some(stat) = root.bytes(dir.join("stat"))? else {
            return Ok(None);
        };
        // Whatever it looks like, it is left.
        let stat = parse(&stat);
        let flag = |flag| {
            (stat.as_ref()).is_some_and(|it| StatFlags::from_bits_truncate(it.flags).contains(flag))
        };
        Ok(Some(Task {
            tid,
            tgid,
            comm: root.text(dir.join("comm"))?.unwrap_or_default(),
            kthread: flag(StatFlags::PF_KTHREAD),
            exiting: flag(StatFlags::PF_EXITING),
            running_on: stat
                .as_ref()
                .filter(|it| it.state == 'R')
                .and_then(|it| it.processor),
            stack: root.text(dir.join("stack"))?.map(|text| frames(&text)),
        }))
    }
}

/// What `/proc/TID/stat` says, if it is all there: the library takes that for granted.
fn parse(stat: &[u8]) -> Option<Stat> {
    /// State to processor.
    const FIELDS: usize = 37;

    let open = stat.iter().position(|byte| *byte == b'(')?;
    let close = stat.iter().rposition(|byte| *byte == b')')?;
    let fields = std::str::from_utf8(stat.get(close + 1..)?).ok()?;
    let is_whole = stat[0].is_ascii_digit()
        && stat[..open].ends_with(b" ")
        && open < close
        && fields.starts_with(' ')
        && fields.split_whitespace().count() >= FIELDS;
    if !is_whole {
        return None;
    }
    Stat::from_read(stat).ok()
}

fn frames(text: &str) -> Vec<Frame> {
    text.lines().filter_map(Frame::parse).collect()
}

impl Frame {
    /// A line of `/proc/TID/stack`: `[<0>] function+0x1/0x2 [module]`.
    fn parse(line: &str) -> Option<Self> {
        let text = line.split_once("] ")?.1.trim();
        let (place, module) = match text.split_once(" [") {
            Some((place, rest)) => (place, Some(in_brackets(rest))),
            None => (text, None),
        };
        Some(Self {
            function: place.split_once('+')?.0.to_owned(),
            module: module.map(str::to_owned),
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAT: &str =
        "7 (a) b) R 0 0 0 0 -1 64 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 \
        3 0 0 0 0 0 0 0 0 0 0 0 0 0";

    #[test]
    fn a_stat_has_state_and_processor() {
        let stat = parse(STAT.as_bytes()).unwrap();
        assert_eq!((stat.state, stat.processor), ('R', Some(3)));
        for wrong in ["", "1", "1 (a)", "1 a) R", ") (", "1 (a) R 0 0"] {
            assert!(parse(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_line_of_a_stack_says_function_and_module() {
        let frame = Frame::parse("[<0>] ext4_readdir+0x1a/0x50 [ext4]").unwrap();
        assert_eq!(frame.function, "ext4_readdir");
        assert_eq!(frame.module.as_deref(), Some("ext4"));
        assert_eq!(frame.text, "ext4_readdir+0x1a/0x50 [ext4]");

        let frame = Frame::parse("[<0>] do_syscall_64+0x10/0x20").unwrap();
        assert_eq!(
            (frame.function.as_str(), frame.module),
            ("do_syscall_64", None)
        );
    }

    #[test]
    fn what_is_no_function_is_left_out() {
        assert_eq!(frames("[<0>] 0xffffffffc0000000\n\nnonsense\n"), []);
    }

    proptest! {
        #[test]
        fn anything_may_be_in_a_stack(text: String) {
            frames(&text);
        }

        #[test]
        fn a_stat_may_be_cut_off(end in 0..=STAT.len()) {
            let _ = parse(&STAT.as_bytes()[..end]);
        }

        #[test]
        fn anything_may_be_in_a_stat(start in "[0-9 ()a]{0,12}", rest: Vec<u8>) {
            let _ = parse(&[start.as_bytes(), &rest].concat());
        }
    }
}
