// SPDX-License-Identifier: GPL-2.0

//! What is in the way of a transition, and the stack check that looks for it.

use crate::{
    config::Config,
    model::{
        phase::PatchState,
        versions::{
            self,
            OldCode, //
        },
    },
    terms::{
        Cpu,
        Place, //
    },
    world::{
        OnStack,
        Ranges,
        State, //
    },
};

/// `Ranges::collect()`: what is in the way of the transition.
pub(crate) fn collect(config: &Config, state: &State) -> Ranges {
    let mut ranges = Ranges {
        codes: Vec::new(),
        calls: Vec::new(),
    };
    let Some((patch, target)) = state.transition else {
        return ranges;
    };
    let code = |patch: u8, func: u8| config.has(patch, func).then_some(patch);

    for func in state.funcs(config, patch) {
        let (top, version) = (state.top(func), OnStack::new(state, patch, func));

        if !versions::versions(top).any(|other| other == version) {
            continue;
        }
        ranges
            .codes
            .push(match versions::old_code(top, version, target) {
                OldCode::Nothing => continue,
                OldCode::Version(version) => (func, code(version.patch, func)),
                OldCode::Original => (func, None),
            });
        ranges.calls.push(func);
        if target == PatchState::Patched && config.patches[usize::from(patch)].replace {
            let below = versions::older(top, version).filter_map(|below| code(below.patch, func));
            ranges.codes.extend(below.map(|code| (func, Some(code))));
        }
    }
    ranges
}

/// Is the stack of the task free of what is in the way?
pub(crate) fn is_safe(state: &State, id: usize) -> bool {
    state.ranges.as_ref().is_some_and(|ranges| {
        state.tasks[id].frames().all(|frame| match frame.place {
            Place::Called | Place::Bound(_) => !ranges.calls.contains(&frame.func),
            Place::In(code) => !ranges.codes.contains(&(frame.func, code)),
        })
    })
}

/// Is the task not running? An idle task that sleeps is still the one on its CPU.
pub(crate) fn is_off_cpu(state: &State, id: usize) -> bool {
    let task = &state.tasks[id];

    if task.is_idle() {
        task.cpu != Cpu::Idle
    } else {
        task.asleep
    }
}
