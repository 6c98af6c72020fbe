// SPDX-License-Identifier: GPL-2.0

//! The scenarios and faults that take seconds. `make prove` does all of them.

use crate::{
    fault::Fault,
    find,
    scenarios::SCENARIOS,
    Verdict, //
};

/// Each test is one of several.
const THREADS: usize = 1;

fn holds(name: &str) {
    let verdict = Verdict::of_scenario(&find(name).unwrap(), THREADS);
    assert!(verdict.good, "{}: {}", verdict.name, verdict.remark);
}

fn is_found(fault: Fault) {
    let verdict = Verdict::of_fault(fault, fault.scenario(), THREADS, false).unwrap();
    assert!(verdict.good, "{}: {}", verdict.name, verdict.remark);
}

macro_rules! tests {
    ({ $($name:ident = $scenario:literal,)* } { $($test:ident = $fault:ident,)* }) => {
        mod scenario {
            $(#[test] fn $name() { super::holds($scenario); })*
        }

        mod fault {
            use super::Fault;

            $(#[test] fn $test() { super::is_found(Fault::$fault); })*
        }

        /// What is neither here nor too large has been forgotten.
        #[test]
        fn nothing_is_forgotten() {
            let small = |config: &&crate::config::Config| !config.large;
            for config in SCENARIOS.iter().filter(small) {
                assert!([$($scenario,)*].contains(&config.name), "{}", config.name);
            }
            for &fault in Fault::ALL {
                let large = find(fault.scenario()).unwrap().large;
                assert!(large || [$(Fault::$fault,)*].contains(&fault), "{fault:?}");
            }
        }
    };
}

tests! {
    {
        one = "one",
        kthread = "kthread",
        fork = "fork",
        fork_rt = "fork-rt",
        restart = "restart",
        exit = "exit",
        idle = "idle",
        stacked = "stacked",
        registered = "registered",
        replace = "replace",
        switch = "switch",
        module = "module",
        module_stacked = "module-stacked",
        force = "force",
        force_kthread = "force-kthread",
        force_exit = "force-exit",
        force_idle = "force-idle",
        cpus = "cpus",
    }
    {
        fork_early_flag = ForkEarlyFlag,
        exit_unlisted = ExitUnlisted,
        fork_unhelped = ForkUnhelped,
        no_sync_forks = NoSyncForks,
        flags_stay = FlagsStay,
        switch_unlocked = SwitchUnlocked,
        no_sync_patched = NoSyncPatched,
        no_sync_unpatched = NoSyncUnpatched,
        no_sync_cancel = NoSyncCancel,
        no_sync_reverse = NoSyncReverse,
        no_unpend_reverse = NoUnpendReverse,
        stale_ranges = StaleRanges,
        no_call_window = NoCallWindow,
        update_disturbed = UpdateDisturbed,
        last_preempted = LastPreempted,
        flags_late = FlagsLate,
        states_late = StatesLate,
        target_late = TargetLate,
        revert_late = RevertLate,
        no_idle = NoIdle,
        unpinned = Unpinned,
        schedule_unchecked = ScheduleUnchecked,
        no_refresh_ranges = NoRefreshRanges,
        coming_unflagged = ComingUnflagged,
        no_revert_coming = NoRevertComing,
        no_revert_refused = NoRevertRefused,
        replaced_late = ReplacedLate,
        nops_first = NopsFirst,
        jumps_stay = JumpsStay,
        jumps_stay_disable = JumpsStayDisable,
        jumps_late = JumpsLate,
        jumps_early = JumpsEarly,
        force_frees = ForceFrees,
        force_unlisted = ForceUnlisted,
        no_signal = NoSignal,
        no_kick = NoKick,
        hotplug_unlocked = HotplugUnlocked,
    }
}
