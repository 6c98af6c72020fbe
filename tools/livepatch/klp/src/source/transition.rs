// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/livepatch/transition`, as Documentation/ABI/testing/debugfs-livepatch has it:
//! the kernel's own account of a transition. Only the core in Rust gives one, and only to root.

use std::io;

use super::sysfs::Target;
use crate::root::Root;

const FILE: &str = "/sys/kernel/debug/livepatch/transition";

/// The version of the format that is known here.
const VERSION: &str = "1";

/// What the kernel says of the transition that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub patch: String,
    pub target: Target,
    pub age_ms: u64,
    pub tasks: usize,
    pub left: usize,
    /// Those that are left, as far as the kernel lists them.
    pub stragglers: Vec<Straggler>,
}

/// A task that has yet to move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Straggler {
    pub tid: i32,
    pub tgid: i32,
    /// [`None`]: it does not run.
    pub cpu: Option<i32>,
    pub kind: Kind,
    /// The kernel's word for it; there may be new ones.
    pub reason: String,
    /// `object:function+0x1`.
    pub place: Option<String>,
    pub comm: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    User,
    Kthread,
    Idle,
    Exiting,
}

/// What the kernel says. [`None`]: nothing, or nothing that is understood here.
pub fn account(root: &Root) -> io::Result<Option<Account>> {
    Ok(root.text(FILE)?.and_then(|text| Account::parse(&text)))
}

impl Account {
    fn parse(text: &str) -> Option<Self> {
        let (head, rows) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let value = |key| {
            head.lines()
                .filter_map(|line| line.split_once(' '))
                .find_map(|(it, value)| (it == key).then_some(value))
        };
        if value("version")? != VERSION {
            return None;
        }
        Some(Self {
            patch: value("patch")?.to_owned(),
            target: match value("target")? {
                "patched" => Target::Patched,
                "unpatched" => Target::Unpatched,
                _ => return None,
            },
            age_ms: value("age_ms")?.parse().ok()?,
            tasks: value("tasks")?.parse().ok()?,
            left: value("left")?.parse().ok()?,
            stragglers: rows.lines().filter_map(Straggler::parse).collect(),
        })
    }
}

impl Straggler {
    /// Columns may be added before the last one.
    fn parse(line: &str) -> Option<Self> {
        let columns: Vec<&str> = line.split('\t').collect();
        let [tid, tgid, cpu, kind, reason, place, .., comm] = columns[..] else {
            return None;
        };
        Some(Self {
            tid: tid.parse().ok()?,
            tgid: tgid.parse().ok()?,
            cpu: cpu.parse().ok(),
            kind: match kind {
                "kthread" => Kind::Kthread,
                "idle" => Kind::Idle,
                "exiting" => Kind::Exiting,
                _ => Kind::User,
            },
            reason: reason.to_owned(),
            place: (place != "-").then(|| place.to_owned()),
            comm: comm.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "version 1\npatch a\ntarget patched\nage_ms 7\ntasks 9\nleft 2\n\n\
        5\t4\t-\tuser\ton_old\text4:f+0x1\ta b\n0\t0\t1\tidle\tuntried\t-\tswapper/1\nmore 3\n";

    #[test]
    fn an_account_has_a_head_and_tasks() {
        let account = Account::parse(TEXT).unwrap();
        assert_eq!((account.patch.as_str(), account.left), ("a", 2));
        assert_eq!(account.stragglers.len(), 2);
        let [first, second] = &account.stragglers[..] else {
            panic!("{account:?}");
        };
        assert_eq!((first.tid, first.cpu), (5, None));
        assert_eq!(first.place.as_deref(), Some("ext4:f+0x1"));
        assert_eq!(first.comm, "a b");
        assert_eq!(
            (second.kind, second.cpu, second.place.as_ref()),
            (Kind::Idle, Some(1), None)
        );
    }

    #[test]
    fn what_a_later_kernel_adds_does_no_harm() {
        let text = TEXT
            .replace("left 2\n", "left 2\nnew 1\n")
            .replace("\ta b", "\tnew\ta b");
        let account = Account::parse(&text).unwrap();
        assert_eq!(account.stragglers[0].comm, "a b");
        assert_eq!(
            Account::parse(&TEXT.replace("version 1", "version 2")),
            None
        );
    }

    #[test]
    fn no_transition_is_no_account() {
        assert_eq!(Account::parse(""), None);
    }

    proptest! {
        #[test]
        fn anything_may_be_in_an_account(text: String) {
            Account::parse(&text);
        }

        #[test]
        fn an_account_may_be_cut_off(end in 0..=TEXT.len()) {
            Account::parse(&TEXT[..end]);
        }
    }
}
