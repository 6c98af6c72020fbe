// SPDX-License-Identifier: GPL-2.0

//! The faults that can be seeded, and what shows them. `faulty.rs` has what each one does.

use crate::terms::Violation;

macro_rules! faults {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident = $text:literal in $scenario:literal shows $violation:ident,
    )*) => {
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
                match self { $(Fault::$name => Violation::$violation.property(),)* }
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
    ForkEarlyFlag = "fork-early-flag" in "fork" shows PendingAfter,
    /// As in the C core: tasks that exit are in no list once they are unhashed.
    ExitUnlisted = "exit-unlisted" in "exit" shows Freed,
    /// A fork knows nothing of a walk that may not meet the new task.
    ForkUnhelped = "fork-unhelped" in "fork" shows NoStateInHandler,
    /// A walk begins before forks have ended that know nothing of it.
    NoSyncForks = "no-sync-forks" in "fork" shows NoStateInHandler,
    /// The flag of a task that has moved and got it all the same stays.
    FlagsStay = "flags-stay" in "restart" shows PendingAfter,
    /// A parent is moved while it gives its state to a new task.
    SwitchUnlocked = "switch-unlocked" in "fork-rt" shows Divided,
    /// Nobody waits in `complete`, for a patch that is on.
    NoSyncPatched = "no-sync-patched" in "one" shows NoStateInHandler,
    /// Nobody waits in `complete`, for a patch that is off.
    NoSyncUnpatched = "no-sync-unpatched" in "one" shows Mixed,
    /// Nobody waits when a patch could not be applied.
    NoSyncCancel = "no-sync-cancel" in "one" shows Mixed,
    /// Nobody waits in `reverse`.
    NoSyncReverse = "no-sync-reverse" in "one" shows Endless,
    /// Pending flags are left in `reverse`.
    NoUnpendReverse = "no-unpend-reverse" in "one" shows Mixed,
    /// `reverse` leaves the ranges of the other direction published.
    StaleRanges = "stale-ranges" in "one" shows Mixed,
    /// A task that was preempted between the call and the function is not seen.
    NoCallWindow = "no-call-window" in "one" shows Mixed,
    /// What a task does to move itself can be interrupted by others for long.
    UpdateDisturbed = "update-disturbed" in "one" shows Mixed,
    /// Preemption is on after an exiting task has left the last list.
    LastPreempted = "last-preempted" in "exit" shows Freed,
    /// The transition flags are set after the versions are on their stacks.
    FlagsLate = "flags-late" in "one" shows Mixed,
    /// The flags are set before the tasks have a state.
    StatesLate = "states-late" in "one" shows NoStateInHandler,
    /// Tasks may move before the target is set.
    TargetLate = "target-late" in "one" shows NoStateInHandler,
    /// The flags are cleared before the versions are off their stacks.
    RevertLate = "revert-late" in "one" shows Mixed,
    /// `complete` leaves tasks in their state.
    NoIdle = "no-idle" in "stacked" shows StateBefore,
    /// A task in the middle of a switch by another one can run.
    Unpinned = "unpinned" in "one" shows Mixed,
    /// `schedule()` switches a kthread whatever its stack.
    ScheduleUnchecked = "schedule-unchecked" in "kthread" shows Mixed,
    /// Functions of a module that comes in mid-transition are not looked for on stacks.
    NoRefreshRanges = "no-refresh-ranges" in "module" shows Mixed,
    /// The versions for a module that comes are not in transition.
    ComingUnflagged = "coming-unflagged" in "module" shows Mixed,
    /// What was applied to a module that is refused stays.
    NoRevertComing = "no-revert-coming" in "module" shows Twice,
    /// The same for the patches that were applied before the one that is to blame.
    NoRevertRefused = "no-revert-refused" in "module-stacked" shows Twice,
    /// Nobody waits after what is replaced was taken off, and the nops with it.
    ReplacedLate = "replaced-late" in "replace" shows Freed,
    /// Nops are taken off before what they stand for.
    NopsFirst = "nops-first" in "replace" shows Mixed,
    /// A patch is put on top of one that calls go on to jump to.
    JumpsStay = "jumps-stay" in "stacked" shows Mixed,
    /// A patch is disabled to which calls go on to jump.
    JumpsStayDisable = "jumps-stay-disable" in "one" shows Mixed,
    /// Tasks may move before calls come to the handler.
    JumpsLate = "jumps-late" in "one" shows Mixed,
    /// Calls jump to a patch before all tasks have moved to it.
    JumpsEarly = "jumps-early" in "one" shows Mixed,
    /// Only what the new patch lies on is looked for on stacks, and not what lies below.
    ReplaceShallow = "replace-shallow" in "force-replace" shows Freed,
    /// A forced patch is freed.
    ForceFrees = "force-frees" in "force" shows Freed,
    /// Forcing leaves those out that are only in the list of exiting tasks.
    ForceUnlisted = "force-unlisted" in "force-exit" shows Behind,
    /// Tasks that sleep are not signalled.
    NoSignal = "no-signal" in "one" shows Endless,
    /// Nobody makes the CPUs pass their idle loops.
    NoKick = "no-kick" in "idle" shows Endless,
    /// A CPU may come while its idle task is moved without a stack check.
    HotplugUnlocked = "hotplug-unlocked" in "idle" shows Mixed,
}
