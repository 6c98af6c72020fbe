// SPDX-License-Identifier: GPL-2.0

//! What there is: tasks, patched functions, patches, and how far everybody has got.

use crate::{
    config::Config,
    model::{
        choice::Stacked,
        phase::{
            PatchState,
            Phase, //
        },
        protocol::Pass,
        versions::{
            self,
            Link, //
        },
    },
    terms::{
        Code,
        Cpu,
        Frame,
        Kind,
        Life,
        Place,
        Procedure,
        Universes,
        Value,
        Violation,
        ALL_UNIVERSES, //
    },
};
use std::fmt;

/// More than any scenario has.
pub(crate) const FUNCS: usize = 2;
pub(crate) const PATCHES: usize = 3;

/// How deep calls of patched functions may be nested.
pub(crate) const DEPTH: usize = 2;

/// Somebody who takes steps, and how far he is in what he does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Thread {
    pub(crate) procedure: Option<Procedure>,
    /// What came of the steps of the procedure so far.
    pub(crate) log: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TaskState {
    pub(crate) kind: Kind,
    pub(crate) life: Life,
    /// For an idle task; others come to their CPUs by themselves.
    pub(crate) cpu: Cpu,
    /// Not on a CPU, be it that it sleeps or that it was preempted.
    pub(crate) asleep: bool,
    pub(crate) patch_state: Option<PatchState>,
    pub(crate) pending: bool,
    pub(crate) frames: [Option<Frame>; DEPTH],
    /// Which patches can the task have seen since it was last at a point where it may move? Empty
    /// when it has seen what fits no set of patches.
    pub(crate) universes: Universes,
    pub(crate) thread: Thread,
    /// A synchronization waits for the task to leave the section that it is in.
    pub(crate) awaited: bool,
    /// The same for the way to or from the handler.
    pub(crate) awaited_call: bool,
    /// Where a walk gets to from a task that has left the list since.
    pub(crate) next: Option<u8>,
}

impl TaskState {
    pub(crate) fn new(kind: Kind, life: Life) -> Self {
        TaskState {
            kind,
            life,
            cpu: Cpu::Idle,
            asleep: false,
            patch_state: None,
            pending: false,
            frames: [None; DEPTH],
            universes: ALL_UNIVERSES,
            thread: Thread::default(),
            awaited: false,
            awaited_call: false,
            next: None,
        }
    }

    pub(crate) fn frames(&self) -> impl Iterator<Item = Frame> + '_ {
        self.frames.iter().flatten().copied()
    }

    pub(crate) fn depth(&self) -> usize {
        self.frames().count()
    }

    pub(crate) fn top(&mut self) -> Option<&mut Frame> {
        self.frames.iter_mut().rev().find_map(Option::as_mut)
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.kind == Kind::Idle
    }

    /// Has the task yet to run?
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.life, Life::Unborn | Life::Zombie | Life::Gone)
    }

    /// On the way to the handler, in it, or on the way from it?
    pub(crate) fn is_in_call(&self) -> bool {
        self.frames()
            .any(|frame| !matches!(frame.place, Place::In(_)))
    }
}

/// One version of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    pub(crate) flag: bool,
    pub(crate) below: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Patch {
    pub(crate) phase: Phase,
    pub(crate) forced: bool,
}

/// What a task must not be in when it is moved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ranges {
    /// Function and code.
    pub(crate) codes: Vec<(u8, Code)>,
    /// The functions whose calls are in the way.
    pub(crate) calls: Vec<u8>,
}

/// Whether a walk has lost its place in the list, which happens once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum WalkPlace {
    Kept,
    /// The walk that is under way, or the next one, begins anew.
    Lost,
    /// It has begun anew.
    Found,
}

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) target: Option<PatchState>,
    pub(crate) pass: Option<Pass>,
    pub(crate) tasks: Vec<TaskState>,
    /// The list of all tasks, in its order.
    pub(crate) list: Vec<u8>,
    pub(crate) versions: [[Version; FUNCS]; PATCHES],
    pub(crate) tops: [Option<u8>; FUNCS],
    /// The patches whose replacements calls jump to, past the handler.
    pub(crate) jumps: [Option<u8>; FUNCS],
    /// Does the administrator want them to jump?
    pub(crate) may_jump: bool,
    pub(crate) ranges: Option<Ranges>,
    pub(crate) hooked: bool,
    pub(crate) place: WalkPlace,
    /// Who has `tasklist_lock` for writing. Readers have it for one step.
    pub(crate) writer: Option<u8>,
    /// `cpus_read_lock()`: no CPU goes or comes.
    pub(crate) cpus_locked: bool,
    pub(crate) patches: [Patch; PATCHES],
    /// Those in use, in the order in which they were enabled.
    pub(crate) order: Vec<u8>,
    pub(crate) transition: Option<(u8, PatchState)>,
    /// The transition is over, and the patches that it has taken out of use are still in `order`.
    pub(crate) over: bool,
    pub(crate) module_live: bool,
    pub(crate) worker: Thread,
    /// A transition was forced: tasks may have seen anything.
    pub(crate) forced: bool,
    pub(crate) violation: Option<Violation>,
}

/// A version, seen under `klp_mutex`.
#[derive(Clone, Copy)]
pub(crate) struct OnStack<'a> {
    state: &'a State,
    pub(crate) patch: u8,
    func: u8,
}

impl<'a> OnStack<'a> {
    pub(crate) fn new(state: &'a State, patch: u8, func: u8) -> Self {
        OnStack { state, patch, func }
    }

    fn version(self) -> Version {
        self.state.versions[usize::from(self.patch)][usize::from(self.func)]
    }
}

impl PartialEq for OnStack<'_> {
    fn eq(&self, other: &Self) -> bool {
        (self.patch, self.func) == (other.patch, other.func)
    }
}

impl Stacked for OnStack<'_> {
    fn in_transition(self) -> bool {
        self.version().flag
    }

    fn below(self) -> Option<Self> {
        let patch = self.version().below?;
        Some(OnStack { patch, ..self })
    }
}

impl fmt::Debug for State {
    /// What matters for a person who follows a counter-example.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "target {:?}, order {:?}, transition {:?}, tops {:?}, violation {:?}",
            self.target, self.order, self.transition, self.tops, self.violation
        )?;
        for (id, task) in self.tasks.iter().enumerate() {
            let frames: Vec<_> = task.frames().collect();
            writeln!(
                f,
                "  task {id} {:?} {:?} CPU {:?} asleep {} state {:?} pending {} frames {frames:?} {:?}",
                task.kind, task.life, task.cpu, task.asleep, task.patch_state, task.pending, task.thread.procedure
            )?;
        }
        Ok(())
    }
}

impl State {
    pub(crate) fn new(config: &Config) -> Self {
        let tasks: Vec<_> = config
            .tasks
            .iter()
            .map(|&(kind, life)| TaskState::new(kind, life))
            .collect();
        let mut state = State {
            target: None,
            pass: None,
            tasks,
            list: Vec::new(),
            versions: Default::default(),
            tops: [None; FUNCS],
            jumps: [None; FUNCS],
            may_jump: true,
            ranges: None,
            hooked: false,
            place: WalkPlace::Kept,
            writer: None,
            cpus_locked: false,
            patches: [Patch {
                phase: Phase::Disabled,
                forced: false,
            }; PATCHES],
            order: Vec::new(),
            transition: None,
            over: false,
            module_live: config.module_func.is_none(),
            worker: Thread::default(),
            forced: false,
            violation: None,
        };
        state.list = state.ids(|task| !task.is_idle() && task.is_alive());
        state
    }

    /// The tasks for which `f` is true.
    pub(crate) fn ids(&self, f: impl Fn(&TaskState) -> bool) -> Vec<u8> {
        (0..)
            .zip(&self.tasks)
            .filter(|(_, task)| f(task))
            .map(|(id, _)| id)
            .collect()
    }

    /// Where a walk gets to from task `id`: what comes next in the list, or came next when the task
    /// left it.
    pub(crate) fn after(&self, id: usize) -> Option<u8> {
        match self.list.iter().position(|&other| usize::from(other) == id) {
            Some(at) => self.list.get(at + 1).copied(),
            None => self.tasks[id].next,
        }
    }

    /// Takes task `id` out of the list.
    pub(crate) fn unlist(&mut self, id: usize) {
        self.tasks[id].next = self.after(id);
        self.list.retain(|&other| usize::from(other) != id);
    }

    pub(crate) fn violate(&mut self, violation: Violation) {
        self.violation.get_or_insert(violation);
    }

    pub(crate) fn version(&mut self, patch: u8, func: u8) -> &mut Version {
        &mut self.versions[usize::from(patch)][usize::from(func)]
    }

    /// The functions of `patch`, nops included.
    pub(crate) fn funcs(&self, config: &Config, patch: u8) -> Vec<u8> {
        (0..config.funcs)
            .filter(|&func| config.has(patch, func) || self.is_nop(config, patch, func))
            .collect()
    }

    /// Does `patch` have a nop for `func`, because a patch that it replaces has the function?
    pub(crate) fn is_nop(&self, config: &Config, patch: u8, func: u8) -> bool {
        let older = self.order.iter().take_while(|&&other| other != patch);

        config.patches[usize::from(patch)].replace
            && !config.has(patch, func)
            && self.order.contains(&patch)
            && older.clone().any(|&old| config.has(old, func))
    }

    pub(crate) fn is_loaded(&self, config: &Config, func: u8) -> bool {
        self.module_live || config.module_func != Some(func)
    }

    /// Puts a version on top.
    pub(crate) fn push(&mut self, patch: u8, func: u8) {
        let below = self.tops[usize::from(func)];
        let twice = versions::versions(self.top(func)).any(|version| version.patch == patch);

        if twice {
            self.violate(Violation::Twice);
            return;
        }
        let version = self.version(patch, func);
        version.below = below;
        self.tops[usize::from(func)] = Some(patch);
    }

    /// Takes a version off. Its own `below` stays, as in the kernel.
    pub(crate) fn remove(&mut self, patch: u8, func: u8) {
        let below = self.version(patch, func).below;
        let link = versions::link_to(self.top(func), OnStack::new(self, patch, func));

        match link.map(|link| match link {
            Link::Top => None,
            Link::Above(above) => Some(above.patch),
        }) {
            Some(None) => self.tops[usize::from(func)] = below,
            Some(Some(above)) => self.version(above, func).below = below,
            None => {}
        }
    }

    /// The patch whose replacement of `func` all tasks run; `None` for the original function, or if
    /// they run different ones.
    pub(crate) fn settled(&self, config: &Config, func: u8) -> Option<u8> {
        let top = self.top(func)?;

        Some(top.patch).filter(|&patch| !top.in_transition() && config.has(patch, func))
    }

    pub(crate) fn top(&self, func: u8) -> Option<OnStack<'_>> {
        self.tops[usize::from(func)].map(|patch| OnStack::new(self, patch, func))
    }

    /// All tasks were moved, but for those that are just moving by themselves.
    pub(crate) fn check_forced(&mut self) {
        let behind = |task: &TaskState| {
            let moves = matches!(
                task.thread.procedure,
                Some(Procedure::Update | Procedure::Schedule)
            );
            task.is_alive() && task.life != Life::Last && task.patch_state != self.target && !moves
        };

        if self.tasks.iter().any(behind) {
            self.violate(Violation::Behind);
        }
    }

    /// Does anybody run, or is about to run, or look at what belongs to `patch`?
    fn is_held(&self, patch: u8) -> bool {
        self.tasks.iter().any(|task| {
            task.frames().any(|frame| frame.code() == Some(Some(patch)))
                || task.sees_version_of(patch)
        })
    }

    /// A patch that is not in use goes at any moment, with its module.
    pub(crate) fn check_freed(&mut self) {
        for patch in 0..PATCHES {
            let unused = self.patches[patch].phase == Phase::Disabled
                && !self.patches[patch].forced
                && !self.order.contains(&(patch as u8));

            if unused && self.is_held(patch as u8) {
                self.violate(Violation::Freed);
            }
        }
    }

    /// The nops of `patch` are freed.
    pub(crate) fn check_nops(&mut self, config: &Config, patch: u8) {
        let held = (0..config.funcs).any(|func| {
            self.is_nop(config, patch, func)
                && self.tasks.iter().any(|task| task.sees_version(patch, func))
        });
        if held {
            self.violate(Violation::Freed);
        }
    }
}

impl TaskState {
    /// Is the task in the handler, and has it met this version?
    fn sees_version(&self, patch: u8, func: u8) -> bool {
        self.thread.procedure == Some(Procedure::Handle(func)) && self.sees_version_of(patch)
    }

    fn sees_version_of(&self, patch: u8) -> bool {
        self.thread.log.contains(&Value::Version(Some(patch)))
    }
}
