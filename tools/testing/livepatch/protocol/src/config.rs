// SPDX-License-Identifier: GPL-2.0

//! Scenarios, and faults that can be seeded in them.

use crate::{
    model::operation::Lifetime,
    world::{
        Kind,
        Life, //
    },
};

#[derive(Clone, Copy, Debug)]
pub(crate) struct PatchConfig {
    /// Bit set of functions.
    pub(crate) funcs: u8,
    pub(crate) replace: bool,
}

/// What takes part, and what may happen.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) name: &'static str,
    pub(crate) tasks: Vec<(Kind, Life)>,
    pub(crate) funcs: u8,
    /// The function that belongs to a module that comes and goes.
    pub(crate) module_func: Option<u8>,
    pub(crate) patches: Vec<PatchConfig>,
    pub(crate) lifetime: Lifetime,
    pub(crate) depth: usize,
    pub(crate) fork: bool,
    pub(crate) exit: bool,
    pub(crate) force: bool,
    pub(crate) fault: Option<Fault>,
}

impl Config {
    /// Does the patch replace this function?
    pub(crate) fn has(&self, patch: u8, func: u8) -> bool {
        self.patches
            .get(usize::from(patch))
            .is_some_and(|patch| patch.funcs & (1 << func) != 0)
    }

    pub(crate) fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }
}

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal in $scenario:literal,)*) => {
        /// Something that the protocol does, and does not do now.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault {
            $($(#[doc = $doc])* $name,)*
        }

        impl Fault {
            pub(crate) const ALL: &'static [Fault] = &[$(Fault::$name,)*];

            /// The name on the command line.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Fault::$name => $text,)* }
            }

            /// A scenario in which it shows.
            pub(crate) fn scenario(self) -> &'static str {
                match self { $(Fault::$name => $scenario,)* }
            }
        }
    };
}

faults! {
    /// As before Linux 6.1: the flag of a new task is the one that was copied when the fork began.
    ForkEarlyFlag = "fork-early-flag" in "fork",
    /// As in the C core: tasks that exit are in no list once they are unhashed.
    ExitUnlisted = "exit-unlisted" in "exit",
    /// All tasks are walked under RCU only; a new task gets its side when it first needs it.
    WalkUnlocked = "walk-unlocked" in "fork",
    /// Nobody waits in `complete`, for a patch that is on.
    NoSyncPatched = "no-sync-patched" in "one",
    /// Nobody waits in `complete`, for a patch that is off.
    NoSyncUnpatched = "no-sync-unpatched" in "one",
    /// Nobody waits in `reverse`.
    NoSyncReverse = "no-sync-reverse" in "one",
    /// Pending flags are left in `reverse`.
    NoUnpendReverse = "no-unpend-reverse" in "one",
    /// `reverse` leaves the ranges of the other direction published.
    StaleRanges = "stale-ranges" in "one",
    /// A task that was preempted between the call and the function is not seen.
    NoCallWindow = "no-call-window" in "one",
    /// What a task does to move itself can be interrupted by others for long.
    UpdateDisturbed = "update-disturbed" in "one",
    /// Preemption is on after an exiting task has left the last list.
    LastPreempted = "last-preempted" in "exit",
    /// The transition flags are set after the versions are on their stacks.
    FlagsLate = "flags-late" in "one",
    /// The flags are set before the tasks have a side.
    SidesLate = "sides-late" in "one",
    /// Tasks may move before the target is set.
    TargetLate = "target-late" in "one",
    /// The flags are cleared before the versions are off their stacks.
    RevertLate = "revert-late" in "one",
    /// `complete` leaves tasks on their side.
    NoIdle = "no-idle" in "one",
    /// A task in the middle of a switch by another one can run.
    Unpinned = "unpinned" in "one",
    /// `schedule()` switches a kthread whatever its stack.
    ScheduleUnchecked = "schedule-unchecked" in "one",
    /// Functions of a module that comes in mid-transition are not looked for on stacks.
    NoRefreshRanges = "no-refresh-ranges" in "module",
    /// The versions for a module that comes are not in transition.
    ComingUnflagged = "coming-unflagged" in "module",
    /// A module goes, and nobody waits for those who look at the versions for it.
    NoSyncGoing = "no-sync-going" in "module",
    /// What is replaced is taken off after nobody looks for it any more.
    ReplacedLate = "replaced-late" in "replace",
    /// Nops are taken off before what they stand for.
    NopsFirst = "nops-first" in "replace",
    /// Only what the new patch lies on is looked for on stacks, and not what lies below.
    ReplaceShallow = "replace-shallow" in "force-replace",
    /// A forced patch is freed.
    ForceFrees = "force-frees" in "force",
    /// Tasks that sleep are not signalled.
    NoSignal = "no-signal" in "one",
    /// Nobody makes the CPUs pass their idle loops.
    NoKick = "no-kick" in "idle",
}

const USER: (Kind, Life) = (Kind::User, Life::User);
const UNBORN: (Kind, Life) = (Kind::User, Life::Unborn);
const KTHREAD: (Kind, Life) = (Kind::Kthread, Life::Kernel);
const IDLE: (Kind, Life) = (Kind::Idle, Life::Kernel);
const OFFLINE: (Kind, Life) = (Kind::OfflineIdle, Life::Kernel);

const F: u8 = 1;
const G: u8 = 2;

fn patch(funcs: u8) -> PatchConfig {
    PatchConfig {
        funcs,
        replace: false,
    }
}

fn replacing(funcs: u8) -> PatchConfig {
    PatchConfig {
        funcs,
        replace: true,
    }
}

/// All scenarios: the small ones of the tests, and the large ones.
pub(crate) fn scenarios() -> Vec<Config> {
    let base = Config {
        name: "",
        tasks: vec![USER],
        funcs: 2,
        module_func: None,
        patches: vec![patch(F | G)],
        lifetime: Lifetime::OneShot,
        depth: 2,
        fork: false,
        exit: false,
        force: false,
        fault: None,
    };
    vec![
        Config {
            name: "one",
            ..base.clone()
        },
        Config {
            name: "kthread",
            tasks: vec![KTHREAD],
            ..base.clone()
        },
        Config {
            name: "fork",
            tasks: vec![USER, UNBORN],
            funcs: 1,
            patches: vec![patch(F)],
            depth: 1,
            fork: true,
            ..base.clone()
        },
        Config {
            name: "exit",
            tasks: vec![USER],
            funcs: 1,
            patches: vec![patch(F)],
            depth: 1,
            exit: true,
            ..base.clone()
        },
        Config {
            name: "idle",
            tasks: vec![IDLE, OFFLINE],
            funcs: 1,
            patches: vec![patch(F)],
            depth: 1,
            ..base.clone()
        },
        Config {
            name: "stacked",
            patches: vec![patch(F), patch(F | G)],
            ..base.clone()
        },
        Config {
            name: "replace",
            patches: vec![patch(F | G), replacing(F)],
            ..base.clone()
        },
        Config {
            name: "module",
            module_func: Some(1),
            ..base.clone()
        },
        Config {
            name: "force",
            force: true,
            depth: 1,
            ..base.clone()
        },
        Config {
            name: "force-replace",
            funcs: 1,
            patches: vec![patch(F), patch(F), replacing(F)],
            force: true,
            depth: 1,
            ..base.clone()
        },
        Config {
            name: "two",
            tasks: vec![USER, KTHREAD],
            ..base
        },
    ]
}
