// SPDX-License-Identifier: GPL-2.0

//! The rules that keep the protocol in order, and that can be taken out one by one.
//!
//! Barriers are fences of the strength that C11 has for them: `smp_wmb()` is a release fence, which
//! orders earlier writes before later ones for a reader with an acquire fence, which is `smp_rmb()`.

use loom::sync::atomic::{
    fence,
    Ordering::{
        self,
        Relaxed,
        Release, //
    }, //
};

/// What keeps the protocol in order. Each can be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Barriers of `protocol.rs`.
    StatesThenFlags,
    FlagsThenStacks,
    TargetThenPending,
    SchedPending,
    ForkThenMove,
    MoveThenList,
    /// The same for those who call a module that has come: an interrupt, on CPUs that need it.
    LoadThenCall,
    /// And for what CPUs have fetched, which no fence orders.
    TextThenPending,
    /// That of `test_and_clear_tsk_thread_flag()`.
    TakePending,
    /// Those of the handler.
    VersionThenFlag,
    FlagThenState,
    /// The release stores of `FuncStacks::publish_top` and `Published::replace`. The table that the
    /// top is in was published before, or is an older one, in which the top of then stays.
    PushThenRead,
    PublishThenRead,
    /// `TransitionOps::synchronize`.
    Synchronize,
    /// Preemption is disabled in the handler, in `update` and in `schedule`.
    Preemption,
    /// `tasklist_lock` is taken by those who fork.
    ForkLock,
    /// A walk waits for them before it begins, and they do what it does.
    SynchronizeForks,
    ForkHelps,
    /// The lock by which a task is held off while another one moves it.
    HeldOff,
    /// Assumptions of the protocol are checked.
    Assumptions,
}

/// Those that are kept.
pub(crate) struct Rules {
    without: Vec<Rule>,
}

impl Rules {
    pub(crate) fn without(rules: &[Rule]) -> Self {
        Rules {
            without: rules.to_vec(),
        }
    }

    pub(crate) fn has(&self, rule: Rule) -> bool {
        !self.without.contains(&rule)
    }

    pub(crate) fn fence(&self, rule: Rule, ordering: Ordering) {
        if self.has(rule) {
            fence(ordering);
        }
    }

    pub(crate) fn store_order(&self, rule: Rule) -> Ordering {
        if self.has(rule) {
            Release
        } else {
            Relaxed
        }
    }
}
