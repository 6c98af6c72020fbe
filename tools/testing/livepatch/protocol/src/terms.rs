// SPDX-License-Identifier: GPL-2.0

//! The terms in which the world, its steps and its faults are told.

use crate::model::{
    phase::PatchState,
    protocol::Pass, //
};

/// The patch whose replacement a task runs; `None` for the original function.
pub(crate) type Code = Option<u8>;

/// Where a task is on its way through a call of a patched function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// At the call site, before the handler.
    Called,
    /// After the handler, before the first instruction of what it has chosen.
    Bound(Code),
    /// In the function.
    In(Code),
}

/// A call of a patched function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Frame {
    pub(crate) func: u8,
    pub(crate) place: Place,
}

impl Frame {
    pub(crate) fn code(self) -> Option<Code> {
        match self.place {
            Place::Called => None,
            Place::Bound(code) | Place::In(code) => Some(code),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Enters and leaves the kernel.
    User,
    /// Never leaves the kernel, and sleeps where it may be frozen.
    Kthread,
    /// The idle task of a CPU.
    Idle,
}

/// What the CPU of an idle task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cpu {
    /// It runs the idle task, be it halted or not.
    Idle,
    /// It runs another task.
    Busy,
    Offline,
}

/// How far a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Life {
    /// There is no such task.
    Unborn,
    /// In user space.
    User,
    /// In the kernel.
    Kernel,
    /// Exiting; in the list of exiting tasks, too.
    Exiting,
    /// Exiting, and only in the list of exiting tasks.
    Unhashed,
    /// Not in the list of exiting tasks any more, with preemption disabled until the task schedules
    /// for the last time.
    Last,
    /// Will never run again, and is still in the list of all tasks until somebody reaps it.
    Zombie,
    /// In no list any more; a walk may still have the pointer.
    Gone,
}

/// A set of universes: bit `n` is for the one with the patches in the bits of `n`.
pub(crate) type Universes = u8;

pub(crate) const ALL_UNIVERSES: Universes = u8::MAX;

/// Who takes a step: the thread under `klp_mutex`, or a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Actor {
    Worker,
    Task(usize),
}

/// A piece of code that is run step by step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Procedure {
    /// By the worker.
    Enable(u8),
    /// There is not enough memory to apply the patch.
    EnableFails(u8),
    Disable(u8),
    Reverse,
    /// One pass over the tasks, and the end of the transition if all have moved.
    Advance,
    Force,
    Coming,
    /// There is not enough memory for that.
    ComingFails,
    Going,
    /// The administrator wants calls to jump, or not.
    Switch(bool),
    /// By a task.
    Handle(u8),
    Update,
    Schedule,
    /// Forks this task, and puts it at the end of the list or, as a thread, behind its parent.
    Fork(u8, bool),
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Done,
    Bool(bool),
    PatchState(Option<PatchState>),
    Pass(Option<Pass>),
    Version(Option<u8>),
    /// Tasks, one in each four bits, the first one lowest; 15 ends the list.
    Tasks(u32),
    /// A patch and the state that its transition goes to.
    Transition(u8, PatchState),
}

impl Value {
    pub(crate) fn of_tasks(tasks: &[u8]) -> Self {
        let pack = |packed, &id| packed << 4 | u32::from(id);

        Value::Tasks(tasks.iter().rev().fold(u32::MAX, pack))
    }

    pub(crate) fn bool(self) -> bool {
        match self {
            Value::Bool(value) => value,
            _ => unreachable!(),
        }
    }

    pub(crate) fn patch_state(self) -> Option<PatchState> {
        match self {
            Value::PatchState(patch_state) => patch_state,
            _ => unreachable!(),
        }
    }

    pub(crate) fn pass(self) -> Option<Pass> {
        match self {
            Value::Pass(pass) => pass,
            _ => unreachable!(),
        }
    }

    pub(crate) fn version(self) -> Option<u8> {
        match self {
            Value::Version(patch) => patch,
            _ => unreachable!(),
        }
    }

    pub(crate) fn tasks(self) -> Vec<usize> {
        let Value::Tasks(mut packed) = self else {
            unreachable!()
        };
        let mut tasks = Vec::new();

        while packed & 15 != 15 {
            tasks.push((packed & 15) as usize);
            packed >>= 4;
        }
        tasks
    }

    pub(crate) fn transition(self) -> (u8, PatchState) {
        match self {
            Value::Transition(patch, target) => (patch, target),
            _ => unreachable!(),
        }
    }
}

macro_rules! violations {
    ($($(#[doc = $doc:literal])* $name:ident = $property:literal,)*) => {
        /// What must never be.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Violation {
            $($(#[doc = $doc])* $name,)*
        }

        impl Violation {
            /// The name of the property that does not hold.
            pub(crate) const fn property(self) -> &'static str {
                match self { $(Violation::$name => $property,)* }
            }
        }
    };
}

violations! {
    /// A task ran old code after new code or the other way round, without a chance to move.
    Mixed = "no task mixes old and new code",
    /// A transition is over for a task that has still seen the other state.
    Divided = "a transition ends with all tasks in one state",
    /// A task is in, or bound for, or looks at what may be freed.
    Freed = "what is freed is not in use",
    /// The handler met a version in transition in a task without a state.
    NoStateInHandler = "the handler knows the state of the task",
    /// A transition began while a task had a state.
    StateBefore = "no task has a state before a transition",
    /// A transition ended and a task had yet to move.
    PendingAfter = "no task has yet to move after a transition",
    /// A version was put on the stack that it is on.
    Twice = "no version is put on its stack twice",
    /// A transition was forced, and a task has not moved and does not do so.
    Behind = "a forced transition leaves no task behind",
    /// `schedule()` is hooked while nothing is in transition.
    Hooked = "schedule() is hooked only in transitions",
    /// A transition does not end although each task gets its turn.
    Endless = "each transition ends",
}
