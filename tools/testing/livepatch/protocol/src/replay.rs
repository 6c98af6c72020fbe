// SPDX-License-Identifier: GPL-2.0

//! Running plain code one step at a time.
//!
//! The protocol is plain code, which a model checker cannot stop in the middle of and copy. So what
//! came of each step is logged, and to go on means to run the code again from its start, with the
//! results from the log, until one more step is made; the next one after that unwinds. What the
//! code does to the world between two steps is only done the first time it gets there.

use crate::terms::Value;
use std::{
    cell::{
        Cell,
        Ref,
        RefCell, //
    },
    panic::{
        self,
        AssertUnwindSafe, //
    },
};

/// Why a run did not get further.
enum Stop {
    /// It has made its step.
    Later,
    /// Its step is not possible now.
    Blocked,
}

/// How a run ended.
pub(crate) enum Outcome<T> {
    /// The code has come to its end.
    Ended(T),
    /// It has made its step.
    Stepped,
    /// Its step is not possible now.
    Blocked,
}

/// Runs `code` as far as it gets.
pub(crate) fn run<T>(code: impl FnOnce() -> T) -> Outcome<T> {
    match panic::catch_unwind(AssertUnwindSafe(code)) {
        Ok(result) => Outcome::Ended(result),
        Err(payload) => match payload.downcast::<Stop>().map(|stop| *stop) {
            Ok(Stop::Later) => Outcome::Stepped,
            Ok(Stop::Blocked) => Outcome::Blocked,
            Err(other) => panic::resume_unwind(other),
        },
    }
}

/// Ends this run, which has not got any further.
pub(crate) fn blocked() -> ! {
    panic::resume_unwind(Box::new(Stop::Blocked))
}

/// What one run works on: a world of type `W`, and the log of the runs before.
pub(crate) struct Replay<'a, W> {
    world: RefCell<W>,
    log: &'a [Value],
    /// How many steps this run has got through.
    at: Cell<usize>,
    /// What came of the one that is new.
    fresh: Cell<Option<Value>>,
    /// Set while steps are no steps of their own.
    whole: Cell<bool>,
}

impl<'a, W> Replay<'a, W> {
    pub(crate) fn new(world: W, log: &'a [Value]) -> Self {
        Replay {
            world: RefCell::new(world),
            log,
            at: Cell::new(0),
            fresh: Cell::new(None),
            whole: Cell::new(false),
        }
    }

    /// What remains of the run: the world, and what came of the new step.
    pub(crate) fn end(self) -> (W, Option<Value>) {
        (self.world.into_inner(), self.fresh.get())
    }

    /// The world, for what changes only by what the actor does itself.
    pub(crate) fn world(&self) -> Ref<'_, W> {
        self.world.borrow()
    }

    /// Makes a step, which others see as one.
    pub(crate) fn step(&self, step: impl FnOnce(&mut W) -> Value) -> Value {
        if self.whole.get() {
            return step(&mut self.world.borrow_mut());
        }
        let at = self.at.replace(self.at.get() + 1);

        if let Some(&value) = self.log.get(at) {
            return value;
        }
        if self.fresh.get().is_some() {
            panic::resume_unwind(Box::new(Stop::Later));
        }
        let value = step(&mut self.world.borrow_mut());
        self.fresh.set(Some(value));
        value
    }

    /// Makes a step that changes something.
    pub(crate) fn change(&self, step: impl FnOnce(&mut W)) {
        self.step(|world| {
            step(world);
            Value::Done
        });
    }

    /// Makes a step that answers a question.
    pub(crate) fn ask(&self, step: impl FnOnce(&mut W) -> bool) -> bool {
        self.step(|world| Value::Bool(step(world))).bool()
    }

    /// Does what nobody else sees, as a part of the step before.
    pub(crate) fn along(&self, f: impl FnOnce(&mut W)) {
        if self.fresh.get().is_some() || self.log.is_empty() {
            f(&mut self.world.borrow_mut());
        }
    }

    /// Would the next step be the new one?
    pub(crate) fn is_at_new_step(&self) -> bool {
        self.fresh.get().is_none() && self.at.get() >= self.log.len()
    }

    /// Makes all steps of `f` a part of the step before: nobody can tell them apart.
    pub(crate) fn as_one(&self, f: impl FnOnce()) {
        self.whole.set(true);
        f();
        self.whole.set(false);
    }
}
