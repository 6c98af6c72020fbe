// SPDX-License-Identifier: GPL-2.0

//! One patched function, two patches and a few tasks, in loom's memory.

use crate::{
    model::{
        choice::{
            self,
            Stacked, //
        },
        phase::PatchState,
        protocol::Pass, //
    },
    rules::{
        Rule,
        Rules, //
    },
};
use loom::{
    cell::UnsafeCell,
    sync::{
        atomic::{
            AtomicBool,
            AtomicUsize,
            Ordering::{
                Acquire,
                Relaxed,
                Release, //
            }, //
        },
        Mutex, //
    },
};

/// Which version a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Original,
    /// That of a patch which was enabled before.
    Old,
    /// That of the patch that the worker works on.
    New,
}

/// A version of the function, which can be put on the stack.
pub(crate) struct VersionCell {
    pub(crate) flag: AtomicBool,
    /// Is it whole, and not yet freed?
    pub(crate) whole: AtomicBool,
    /// The version below, as in `World::top`.
    pub(crate) below: AtomicUsize,
}

/// The versions by their index.
pub(crate) const OLD: usize = 0;
pub(crate) const NEW: usize = 1;

/// No version, or the one with the index, as it is kept in a link.
pub(crate) fn link(version: Option<usize>) -> usize {
    version.map_or(0, |index| 1 + index)
}

/// A patch state, or none, in loom's memory.
pub(crate) struct PatchStateCell(AtomicUsize);

impl PatchStateCell {
    fn new() -> Self {
        PatchStateCell(AtomicUsize::new(0))
    }

    pub(crate) fn load(&self) -> Option<PatchState> {
        match self.0.load(Relaxed) {
            1 => Some(PatchState::Unpatched),
            2 => Some(PatchState::Patched),
            _ => None,
        }
    }

    pub(crate) fn store(&self, patch_state: Option<PatchState>) {
        let number = patch_state.map_or(0, |patch_state| 1 + patch_state as usize);
        self.0.store(number, Relaxed);
    }
}

/// A walk that is under way, or none, in loom's memory.
pub(crate) struct PassCell(AtomicUsize);

impl PassCell {
    pub(crate) fn load(&self) -> Option<Pass> {
        Pass::from_number(self.0.load(Relaxed))
    }

    pub(crate) fn store(&self, pass: Option<Pass>) {
        self.0.store(Pass::number(pass), Relaxed);
    }
}

pub(crate) struct TaskCell {
    pub(crate) patch_state: PatchStateCell,
    pub(crate) pending: AtomicBool,
    /// Held while the task has preemption disabled. Who synchronizes takes it once: that is what the
    /// work items on each CPU amount to.
    pub(crate) section: Mutex<()>,
    /// The lock of `task_call_func()`; here, a task has it as long as it runs.
    pub(crate) held_off: Mutex<()>,
}

impl TaskCell {
    fn new() -> Self {
        TaskCell {
            patch_state: PatchStateCell::new(),
            pending: AtomicBool::new(false),
            section: Mutex::new(()),
            held_off: Mutex::new(()),
        }
    }
}

pub(crate) struct World {
    pub(crate) target: PatchStateCell,
    pub(crate) pass: PassCell,
    pub(crate) tasks: Vec<TaskCell>,
    /// How many of the tasks are in the list.
    pub(crate) listed: AtomicUsize,
    pub(crate) tasklist_lock: Mutex<()>,
    pub(crate) module_live: AtomicBool,
    /// Has the CPU of the task that [`World::call_as_fetched`] fetched the call of the handler?
    has_fetched: AtomicBool,
    /// Has the transition been forced?
    pub(crate) forced: AtomicBool,
    /// A [`link`] to the newest version on the stack.
    pub(crate) top: AtomicUsize,
    pub(crate) versions: [VersionCell; 2],
    /// 0 or the number of the ranges, counted from 1.
    pub(crate) ranges: AtomicUsize,
    /// The direction that the ranges are for, in the order in which they are published.
    pub(crate) ranges_of: [UnsafeCell<Option<PatchState>>; 2],
    pub(crate) rules: Rules,
}

/// How a scene begins.
#[derive(Clone, Copy)]
pub(crate) struct Start {
    /// How many tasks there will be.
    tasks: usize,
    /// Whether the patch is enabled.
    patched: bool,
    /// Whether its version is whole long before it is used.
    whole: bool,
    /// Whether there is an older patch, which is enabled.
    old: bool,
    /// Whether the first task is on its way to the patch.
    moving: bool,
}

impl Start {
    pub(crate) const UNPATCHED: Start = Start {
        tasks: 1,
        patched: false,
        whole: false,
        old: false,
        moving: false,
    };
    pub(crate) const WHOLE: Start = Start {
        whole: true,
        ..Start::UNPATCHED
    };
    pub(crate) const PATCHED: Start = Start {
        patched: true,
        ..Start::WHOLE
    };
    pub(crate) const OLD: Start = Start {
        old: true,
        ..Start::WHOLE
    };
    pub(crate) const STACKED: Start = Start {
        old: true,
        ..Start::PATCHED
    };
    /// The second task is forked by the first one.
    pub(crate) const PARENT: Start = Start {
        tasks: 2,
        ..Start::WHOLE
    };
    /// The same in mid-transition.
    pub(crate) const MOVING_PARENT: Start = Start {
        tasks: 2,
        moving: true,
        ..Start::PATCHED
    };
}

impl World {
    pub(crate) fn new(start: Start, rules: Rules) -> Self {
        let old = link(start.old.then_some(OLD));
        let new = link(start.patched.then_some(NEW));

        let target = start.moving.then_some(PatchState::Patched);
        let world = World {
            target: PatchStateCell::new(),
            pass: PassCell(AtomicUsize::new(0)),
            tasks: (0..start.tasks).map(|_| TaskCell::new()).collect(),
            listed: AtomicUsize::new(1),
            tasklist_lock: Mutex::new(()),
            module_live: AtomicBool::new(false),
            has_fetched: AtomicBool::new(false),
            forced: AtomicBool::new(false),
            top: AtomicUsize::new(if new == 0 { old } else { new }),
            versions: [
                (start.old, 0),
                (start.whole, if new == 0 { 0 } else { old }),
            ]
            .map(|(whole, below)| VersionCell {
                flag: AtomicBool::new(false),
                whole: AtomicBool::new(whole),
                below: AtomicUsize::new(below),
            }),
            ranges: AtomicUsize::new(start.moving.into()),
            ranges_of: [UnsafeCell::new(target), UnsafeCell::new(None)],
            rules,
        };
        world.target.store(target);
        world.tasks[0]
            .patch_state
            .store(target.map(PatchState::opposite));
        world.tasks[0].pending.store(start.moving, Relaxed);
        world
    }

    pub(crate) fn in_section<R>(&self, id: usize, f: impl FnOnce() -> R) -> R {
        let _section = self
            .rules
            .has(Rule::Preemption)
            .then(|| self.tasks[id].section.lock().unwrap());
        f()
    }

    /// A call of the function by task `id`.
    pub(crate) fn call(&self, id: usize) -> Code {
        self.in_section(id, || self.handle(id))
    }

    /// `klp_ftrace_handler()`, whose shell is C; the choice is the kernel's own.
    fn handle(&self, id: usize) -> Code {
        let Some(top) = self.version(&self.top) else {
            return Code::Original;
        };
        self.rules.fence(Rule::VersionThenFlag, Acquire);

        let mut chosen = Some(top);
        if top.in_transition() {
            self.rules.fence(Rule::FlagThenState, Acquire);
            let patch_state = self.tasks[id].patch_state.load();
            assert!(
                patch_state.is_some(),
                "the handler meets a flag, and the task has no state"
            );
            chosen = choice::choose(top, patch_state);
        }
        let Some(chosen) = chosen else {
            return Code::Original;
        };
        let whole = chosen.cell().whole.load(Relaxed);
        assert!(whole, "the handler uses a version that is not there");
        if chosen.index == NEW {
            Code::New
        } else {
            Code::Old
        }
    }

    /// What a link leads to.
    fn version(&self, from: &AtomicUsize) -> Option<Version<'_>> {
        let index = from.load(Relaxed).checked_sub(1)?;
        Some(Version { world: self, index })
    }

    /// The module of the function may be called. What calls it depends on this, and no more.
    pub(crate) fn set_module_live(&self) {
        self.module_live.store(true, Release);
    }

    pub(crate) fn is_module_live(&self) -> bool {
        let live = self.module_live.load(Relaxed);

        self.rules.fence(Rule::LoadThenCall, Acquire);
        live
    }

    /// All CPUs drop the instructions that they have fetched: an interrupt.
    pub(crate) fn fetch_anew(&self) {
        if self.rules.has(Rule::TextThenPending) {
            self.has_fetched.store(true, Relaxed);
        }
    }

    /// Calls the function by an instruction that was fetched long before, if none has been since. In
    /// all other scenes the call of the handler is fetched at once, which is as bad as it gets there.
    pub(crate) fn call_as_fetched(&self, id: usize) -> Code {
        if self.has_fetched.load(Relaxed) {
            self.call(id)
        } else {
            Code::Original
        }
    }

    /// Task `id` runs: whoever has moved it is done.
    pub(crate) fn run(&self, id: usize, f: impl FnOnce()) {
        let _running = self
            .rules
            .has(Rule::HeldOff)
            .then(|| self.tasks[id].held_off.lock().unwrap());
        f();
    }
}

/// A version that the handler has come to.
#[derive(Clone, Copy)]
struct Version<'a> {
    world: &'a World,
    index: usize,
}

impl Version<'_> {
    fn cell(&self) -> &VersionCell {
        &self.world.versions[self.index]
    }
}

impl Stacked for Version<'_> {
    fn in_transition(self) -> bool {
        self.cell().flag.load(Relaxed)
    }

    fn below(self) -> Option<Self> {
        self.world.version(&self.world.versions[self.index].below)
    }
}
