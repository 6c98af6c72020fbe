// SPDX-License-Identifier: GPL-2.0

//! Scenarios, and faults that can be seeded in them.

use crate::{
    model::operation::Registration,
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
    pub(crate) registration: Registration,
    pub(crate) depth: usize,
    pub(crate) fork: bool,
    pub(crate) exit: bool,
    pub(crate) force: bool,
    /// CPUs go offline and come back, and run other tasks than the idle ones.
    pub(crate) cpus: bool,
    /// Applying a patch may fail.
    pub(crate) failures: bool,
    /// No task calls a patched function while a patch is being applied, and new tasks come last.
    pub(crate) quiet: bool,
    /// It is checked that the transition ends in each step, not only between operations.
    pub(crate) thorough: bool,
    /// Takes minutes.
    pub(crate) large: bool,
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

pub(crate) const MIXED: &str = "no task mixes old and new code";
pub(crate) const LEFT: &str = "a transition ends with all tasks in one state";
pub(crate) const FREED: &str = "what is freed is not in use";
pub(crate) const NO_STATE: &str = "the handler knows the state of the task";
pub(crate) const STATE_BEFORE: &str = "no task has a state before a transition";
pub(crate) const PENDING: &str = "no task has yet to move after a transition";
pub(crate) const TWICE: &str = "no version is put on its stack twice";
pub(crate) const BEHIND: &str = "a forced transition leaves no task behind";
pub(crate) const HOOKED: &str = "schedule() is hooked only in transitions";
pub(crate) const ENDS: &str = "each transition ends";

macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal in $scenario:literal shows $property:ident,)*) => {
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

            /// The property that does not hold any more.
            pub(crate) fn property(self) -> &'static str {
                match self { $(Fault::$name => $property,)* }
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
    ForkEarlyFlag = "fork-early-flag" in "fork" shows PENDING,
    /// As in the C core: tasks that exit are in no list once they are unhashed.
    ExitUnlisted = "exit-unlisted" in "exit" shows FREED,
    /// All tasks are walked under RCU only; the state of a new task is the target as long as it has
    /// none.
    WalkUnlocked = "walk-unlocked" in "fork-reverse" shows MIXED,
    /// Nobody waits in `complete`, for a patch that is on.
    NoSyncPatched = "no-sync-patched" in "one" shows NO_STATE,
    /// Nobody waits in `complete`, for a patch that is off.
    NoSyncUnpatched = "no-sync-unpatched" in "one" shows MIXED,
    /// Nobody waits in `reverse`.
    NoSyncReverse = "no-sync-reverse" in "one" shows ENDS,
    /// Pending flags are left in `reverse`.
    NoUnpendReverse = "no-unpend-reverse" in "one" shows MIXED,
    /// `reverse` leaves the ranges of the other direction published.
    StaleRanges = "stale-ranges" in "one" shows MIXED,
    /// A task that was preempted between the call and the function is not seen.
    NoCallWindow = "no-call-window" in "one" shows MIXED,
    /// What a task does to move itself can be interrupted by others for long.
    UpdateDisturbed = "update-disturbed" in "one" shows MIXED,
    /// Preemption is on after an exiting task has left the last list.
    LastPreempted = "last-preempted" in "exit" shows FREED,
    /// The transition flags are set after the versions are on their stacks.
    FlagsLate = "flags-late" in "one" shows MIXED,
    /// The flags are set before the tasks have a state.
    StatesLate = "states-late" in "one" shows NO_STATE,
    /// Tasks may move before the target is set.
    TargetLate = "target-late" in "one" shows NO_STATE,
    /// The flags are cleared before the versions are off their stacks.
    RevertLate = "revert-late" in "one" shows MIXED,
    /// `complete` leaves tasks in their state.
    NoIdle = "no-idle" in "one" shows STATE_BEFORE,
    /// A task in the middle of a switch by another one can run.
    Unpinned = "unpinned" in "one" shows MIXED,
    /// `schedule()` switches a kthread whatever its stack.
    ScheduleUnchecked = "schedule-unchecked" in "kthread" shows MIXED,
    /// Functions of a module that comes in mid-transition are not looked for on stacks.
    NoRefreshRanges = "no-refresh-ranges" in "module" shows MIXED,
    /// The versions for a module that comes are not in transition.
    ComingUnflagged = "coming-unflagged" in "module" shows MIXED,
    /// What was applied to a module that is refused stays.
    NoRevertComing = "no-revert-coming" in "module" shows TWICE,
    /// Nobody waits after what is replaced was taken off, and the nops with it.
    ReplacedLate = "replaced-late" in "replace" shows FREED,
    /// Nops are taken off before what they stand for.
    NopsFirst = "nops-first" in "replace" shows MIXED,
    /// Only what the new patch lies on is looked for on stacks, and not what lies below.
    ReplaceShallow = "replace-shallow" in "force-replace" shows FREED,
    /// A forced patch is freed.
    ForceFrees = "force-frees" in "force" shows FREED,
    /// Forcing leaves those out that are only in the list of exiting tasks.
    ForceUnlisted = "force-unlisted" in "force-exit" shows BEHIND,
    /// Tasks that sleep are not signalled.
    NoSignal = "no-signal" in "one" shows ENDS,
    /// Nobody makes the CPUs pass their idle loops.
    NoKick = "no-kick" in "idle" shows ENDS,
    /// A CPU may come while its idle task is moved without a stack check.
    HotplugUnlocked = "hotplug-unlocked" in "idle" shows MIXED,
}

const USER: (Kind, Life) = (Kind::User, Life::User);
const UNBORN: (Kind, Life) = (Kind::User, Life::Unborn);
const KTHREAD: (Kind, Life) = (Kind::Kthread, Life::Kernel);
const IDLE: (Kind, Life) = (Kind::Idle, Life::Kernel);

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
        registration: Registration::OneShot,
        depth: 2,
        fork: false,
        exit: false,
        force: false,
        cpus: false,
        failures: true,
        quiet: false,
        thorough: false,
        large: false,
        fault: None,
    };
    vec![
        Config {
            name: "one",
            thorough: true,
            ..base.clone()
        },
        Config {
            name: "kthread",
            thorough: true,
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
        // Has only the counter-example to a walk without the lock that takes a patch that is turned
        // round, and not the shorter ones.
        Config {
            name: "fork-reverse",
            tasks: vec![USER, UNBORN],
            depth: 1,
            fork: true,
            failures: false,
            quiet: true,
            large: true,
            ..base.clone()
        },
        Config {
            name: "exit",
            thorough: true,
            tasks: vec![USER],
            funcs: 1,
            patches: vec![patch(F)],
            depth: 1,
            exit: true,
            ..base.clone()
        },
        Config {
            name: "idle",
            thorough: true,
            tasks: vec![IDLE],
            cpus: true,
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
            name: "force-kthread",
            tasks: vec![KTHREAD],
            force: true,
            ..base.clone()
        },
        Config {
            name: "force-exit",
            funcs: 1,
            patches: vec![patch(F)],
            depth: 1,
            exit: true,
            force: true,
            ..base.clone()
        },
        Config {
            name: "force-idle",
            tasks: vec![IDLE],
            cpus: true,
            force: true,
            ..base.clone()
        },
        Config {
            name: "force-replace",
            funcs: 1,
            patches: vec![patch(F), patch(F), replacing(F)],
            force: true,
            depth: 1,
            large: true,
            ..base.clone()
        },
        Config {
            name: "two",
            tasks: vec![USER, KTHREAD],
            large: true,
            ..base.clone()
        },
        Config {
            name: "crowd",
            tasks: vec![USER, KTHREAD, IDLE],
            funcs: 1,
            patches: vec![patch(F)],
            depth: 1,
            large: true,
            ..base.clone()
        },
        Config {
            name: "cpus",
            tasks: vec![IDLE, IDLE],
            cpus: true,
            funcs: 1,
            patches: vec![patch(F)],
            depth: 1,
            ..base.clone()
        },
        Config {
            name: "module-stacked",
            module_func: Some(1),
            patches: vec![patch(F | G), patch(G)],
            ..base.clone()
        },
        Config {
            name: "registered",
            patches: vec![patch(F), patch(F | G)],
            registration: Registration::Registered,
            ..base
        },
    ]
}
