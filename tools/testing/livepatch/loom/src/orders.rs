// SPDX-License-Identifier: GPL-2.0

//! What must hold in every execution, and what breaks without each rule.

use crate::{
    model::{
        phase::PatchState,
        protocol::{
            self,
            System,
            Task,
            TransitionOps, //
        },
    },
    rules::{
        Rule::{
            self,
            Assumptions,
            FlagThenState,
            FlagsThenStacks,
            ForkHelps,
            ForkLock,
            ForkThenMove,
            HeldOff,
            LoadThenCall,
            MoveThenList,
            Preemption,
            PublishThenRead,
            PushThenRead,
            SchedPending,
            StatesThenFlags,
            Synchronize,
            SynchronizeForks,
            TakePending,
            TargetThenPending,
            TextThenPending,
            VersionThenFlag, //
        },
        Rules, //
    },
    steps::Transition,
    world::{
        Code,
        Start,
        World, //
    },
};
use loom::{
    model::Builder,
    sync::Arc,
    thread, //
};

/// More than any worker has steps.
const PAUSES: usize = 32;

/// One thread works on the patch, the other one is a task.
struct Scene {
    start: Start,
    worker: fn(&mut Transition<'_>),
    task: fn(&World),
}

impl Scene {
    /// Explores all executions.
    fn explore(&self, without: &'static [Rule]) {
        let &Scene {
            start,
            worker,
            task,
        } = self;

        // loom leaves out executions that it takes for others' equals, sometimes wrongly so: what
        // a task does as a whole between two steps of the worker. So there is one exploration for
        // each step that lets the task go first, and one without.
        for pause in 0..=PAUSES {
            Builder::new().check(move || {
                let world = Arc::new(World::new(start, Rules::without(without)));
                let other = {
                    let world = world.clone();
                    thread::spawn(move || task(&world))
                };
                worker(&mut Transition::new(&world, pause));
                other.join().unwrap();
                world.expect_no_task_left();
            });
        }
    }
}

fn enable(transition: &mut Transition<'_>) {
    protocol::enable(transition).unwrap();
}

fn disable(transition: &mut Transition<'_>) {
    protocol::disable(transition).unwrap();
}

fn enable_and_reverse(transition: &mut Transition<'_>) {
    enable(transition);
    reverse(transition, PatchState::Patched);
}

fn disable_and_reverse(transition: &mut Transition<'_>) {
    disable(transition);
    reverse(transition, PatchState::Unpatched);
}

fn reverse(transition: &mut Transition<'_>, target: PatchState) {
    protocol::reverse(transition, target);

    let reversed = System::target_state(transition.world) == Some(target.opposite());
    assert!(reversed, "the transition is not reversed");
}

fn enable_to_end(transition: &mut Transition<'_>) {
    enable(transition);
    try_complete(transition, PatchState::Patched);
}

fn disable_to_end(transition: &mut Transition<'_>) {
    disable(transition);
    try_complete(transition, PatchState::Unpatched);
}

fn replace_to_end(transition: &mut Transition<'_>) {
    transition.replaces = true;
    enable_to_end(transition);
}

fn force_to_end(transition: &mut Transition<'_>) {
    enable(transition);
    protocol::force(transition, PatchState::Patched);
    try_complete(transition, PatchState::Patched);
}

fn try_complete(transition: &mut Transition<'_>, target: PatchState) {
    if protocol::advance(transition, target) {
        protocol::finish(transition, target);
    }
}

fn complete(transition: &mut Transition<'_>) {
    try_complete(transition, PatchState::Patched);
}

fn enable_for_sleeper(transition: &mut Transition<'_>) {
    enable(transition);
    transition.asleep = true;
    protocol::advance(transition, PatchState::Patched);
}

fn call_unpatched(world: &World) {
    let code = world.call(0);
    assert_eq!(code, Code::Original, "an unpatched task runs the patch");
}

fn call_old(world: &World) {
    let code = world.call(0);
    assert_ne!(code, Code::New, "an unpatched task runs the patch");
    assert_eq!(code, Code::Old, "an unpatched task runs the original");
}

fn call_either(world: &World) {
    let code = world.call(0);
    assert_ne!(code, Code::Original, "a task runs the original");
}

fn call_patched(world: &World) {
    let code = world.call(0);
    assert_eq!(code, Code::New, "a patched task runs the original");
}

fn call_if_patched(world: &World) {
    if world.task(0).patch_state() == Some(PatchState::Patched) {
        call_patched(world);
    }
}

fn leave_kernel(world: &World) {
    world.leave_kernel(0);
}

fn leave_kernel_and_call(world: &World) {
    world.leave_kernel(0);
    call_if_patched(world);
}

/// The call site was a NOP before.
fn leave_kernel_and_call_as_fetched(world: &World) {
    world.leave_kernel(0);
    if world.task(0).patch_state() == Some(PatchState::Patched) {
        let code = world.call_as_fetched(0);
        assert_eq!(code, Code::New, "a patched task runs the original");
    }
}

/// From the older version to the newer one, which replaces it.
fn leave_old(world: &World) {
    call_old(world);
    leave_kernel_and_call_by_state(world);
}

/// From the newer version to the older one.
fn leave_new(world: &World) {
    call_patched(world);
    leave_kernel_and_call_by_state(world);
}

fn leave_kernel_and_call_by_state(world: &World) {
    world.leave_kernel(0);
    match world.task(0).patch_state() {
        Some(PatchState::Unpatched) => call_old(world),
        Some(PatchState::Patched) => call_patched(world),
        None => call_either(world),
    }
}

fn leave_kernel_and_call_anything(world: &World) {
    world.leave_kernel(0);
    world.call(0);
}

fn schedule(world: &World) {
    world.schedule(0);
}

fn schedule_twice(world: &World) {
    world.schedule(0);
    world.schedule(0);
}

fn schedule_and_call(world: &World) {
    world.schedule(0);
    call_if_patched(world);
}

fn fork_and_call(world: &World) {
    let child = world.fork(0);
    if world.call(child) == Code::New {
        panic!("an unpatched task runs the patch");
    }
}

fn fork_and_leave_kernel(world: &World) {
    world.fork(0);
    world.leave_kernel(0);
}

fn fork_and_schedule(world: &World) {
    world.fork(0);
    world.schedule(0);
}

fn sleep_and_call(world: &World) {
    world.run(0, || call_if_patched(world));
}

/// The ranges are published anew, since a module comes.
fn enable_and_refresh(transition: &mut Transition<'_>) {
    enable(transition);
    load(transition);
    // Whoever frees what was replaced waits before that, some time later.
    TransitionOps::synchronize(transition);
    transition.free_ranges();
}

/// The same, since a module goes.
fn enable_and_remove(transition: &mut Transition<'_>) {
    enable(transition);
    protocol::going(transition);
    transition.free_ranges();
}

/// A module comes whose function is patched; there is no transition.
fn module_comes(transition: &mut Transition<'_>) {
    load(transition);
    transition.world.set_module_live();
}

fn load(transition: &mut Transition<'_>) {
    protocol::coming(transition).unwrap();
    protocol::loaded(transition.system());
}

/// The module goes, and its function and version with it; there is no transition.
fn module_goes(transition: &mut Transition<'_>) {
    protocol::going(transition);
    transition.free_module();
}

fn call_anything(world: &World) {
    world.call(0);
}

fn call_module(world: &World) {
    if world.is_module_live() {
        call_patched(world);
    }
}

macro_rules! scenes {
    ($($(#[doc = $doc:literal])* $name:ident: $start:expr, $worker:ident, $task:ident;)*) => {
        $($(#[doc = $doc])*
        const fn $name() -> Scene {
            Scene { start: $start, worker: $worker, task: $task }
        })*

        /// With all rules, everything holds.
        mod all_rules {
            $(#[test] fn $name() { super::$name().explore(&[]); })*
        }
    };
}

scenes! {
    /// A task calls the function while a patch is enabled, and does not move.
    call_when_enabled: Start::WHOLE, enable, call_unpatched;
    /// The same, and the version is not there before.
    call_new_version: Start::UNPATCHED, enable, call_unpatched;
    /// A task calls the function while a patch is disabled, and does not move.
    call_when_disabled: Start::PATCHED, disable, call_patched;
    /// A task leaves the kernel, and calls the function when it is back.
    leave_kernel_when_enabled: Start::WHOLE, enable, leave_kernel_and_call;
    /// The same, on a CPU that has fetched what was at the call site before.
    leave_kernel_when_fetched: Start::WHOLE, enable, leave_kernel_and_call_as_fetched;
    /// A kthread goes to sleep, and calls the function when it is awake.
    schedule_when_enabled: Start::WHOLE, enable, schedule_and_call;
    /// A kthread goes to sleep while there are new ranges.
    schedule_when_refreshed: Start::WHOLE, enable_and_refresh, schedule;
    schedule_when_removed: Start::WHOLE, enable_and_remove, schedule;
    /// A task calls a function of a module that has come.
    call_in_new_module: Start::WHOLE, module_comes, call_module;
    /// A task is in a function of a module that goes.
    call_in_old_module: Start::PATCHED, module_goes, call_anything;
    /// A task calls the function of which there is an older version, and does not move.
    call_old_version: Start::OLD, enable, call_old;
    /// A task leaves the kernel while the older version is replaced, and calls the function.
    call_when_replaced: Start::OLD, replace_to_end, leave_old;
    /// A task moves back to the older version, and calls the function while the newer one goes.
    call_when_back_to_old: Start::STACKED, disable_to_end, leave_new;
    /// A task leaves the kernel while it is moved by force.
    leave_kernel_when_forced: Start::WHOLE, force_to_end, leave_kernel_and_call_anything;
    /// A kthread goes to sleep while it is moved by force.
    schedule_when_forced: Start::WHOLE, force_to_end, schedule;
    /// A task leaves the kernel while a transition is reversed.
    leave_kernel_when_reversed: Start::WHOLE, enable_and_reverse, leave_kernel;
    leave_kernel_when_back: Start::PATCHED, disable_and_reverse, leave_kernel;
    /// A kthread goes to sleep while a transition is reversed.
    schedule_when_reversed: Start::WHOLE, enable_and_reverse, schedule;
    /// It does so twice, and moves to and fro.
    schedule_again_when_reversed: Start::WHOLE, enable_and_reverse, schedule_twice;
    /// A task moves to the patch, and calls the function while the transition ends.
    call_at_end: Start::WHOLE, enable_to_end, leave_kernel_and_call_anything;
    leave_kernel_at_end: Start::WHOLE, enable_to_end, leave_kernel;
    /// A task moves away from the patch, and calls the function while the patch goes.
    call_while_patch_goes: Start::PATCHED, disable_to_end, leave_kernel_and_call_anything;
    /// A kthread moves away from the patch while the patch goes.
    schedule_while_patch_goes: Start::PATCHED, disable_to_end, schedule;
    /// A task forks while a patch is enabled; the child calls the function.
    fork_when_enabled: Start::PARENT, enable, fork_and_call;
    /// A task forks and moves by itself; the child stays.
    fork_and_leave_kernel_at_end: Start::MOVING_PARENT, complete, fork_and_leave_kernel;
    fork_and_schedule_at_end: Start::MOVING_PARENT, complete, fork_and_schedule;
    /// A task that is asleep is moved, and calls the function when it is awake.
    sleep_when_enabled: Start::WHOLE, enable_for_sleeper, sleep_and_call;
}

macro_rules! breaks {
    ($($name:ident: $scene:ident without $($rule:ident)* => $what:literal;)*) => {
        /// Without them, this is what comes of it.
        mod without {
            use super::*;

            $(#[test]
            #[should_panic(expected = $what)]
            fn $name() { $scene().explore(&[$($rule),*]); })*
        }
    };
}

breaks! {
    states_then_flags: call_when_disabled without StatesThenFlags => "the task has no state";
    flag_then_state: call_when_disabled without FlagThenState => "the task has no state";
    flags_then_stacks: call_when_enabled without FlagsThenStacks PushThenRead =>
        "an unpatched task runs the patch";
    version_then_flag: call_when_enabled without VersionThenFlag =>
        "an unpatched task runs the patch";
    version_then_flag_old: call_old_version without VersionThenFlag =>
        "an unpatched task runs the patch";
    push_then_read_content: call_new_version without FlagsThenStacks PushThenRead =>
        "a version that is not there";
    push_then_read: call_old_version without PushThenRead =>
        "an unpatched task runs the original";
    target_then_pending: leave_kernel_when_enabled without TargetThenPending =>
        "a patched task runs the original";
    target_then_pending_sched: schedule_again_when_reversed without TargetThenPending =>
        "the ranges are not for the target";
    text_then_pending: leave_kernel_when_fetched without TextThenPending =>
        "a patched task runs the original";
    take_pending: leave_kernel_when_enabled without TakePending => "a task moves to no state";
    sched_pending: schedule_again_when_reversed without SchedPending =>
        "the ranges are not for the target";
    publish_then_read: schedule_when_refreshed without PublishThenRead => "Causality violation";
    synchronize_going_ranges: schedule_when_removed without Synchronize => "Causality violation";
    synchronize_going: call_in_old_module without Synchronize => "a version that is not there";
    synchronize_back: call_when_back_to_old without Synchronize Assumptions =>
        "the task has no state";
    synchronize_replaced: call_when_replaced without Synchronize Assumptions =>
        "the task has no state";
    synchronize_forced_sched: schedule_when_forced without Synchronize =>
        "Causality violation";
    load_then_call: call_in_new_module without LoadThenCall =>
        "a patched task runs the original";
    synchronize_coming_ranges: schedule_when_refreshed without Synchronize =>
        "Causality violation";
    synchronize_reverse: leave_kernel_when_reversed without Synchronize => "a task is left behind";
    synchronize_reverse_sched: schedule_when_reversed without Synchronize => "a task is left behind";
    synchronize_end: call_at_end without Synchronize Assumptions => "the task has no state";
    synchronize_free: call_while_patch_goes without Synchronize Assumptions => "the task has no state";
    synchronize_free_ranges: schedule_while_patch_goes without Synchronize Assumptions MoveThenList =>
        "Causality violation";
    preemption_going: call_in_old_module without Preemption => "a version that is not there";
    preemption_reverse: leave_kernel_when_reversed without Preemption => "a task is left behind";
    preemption_end: call_at_end without Preemption Assumptions => "the task has no state";
    preemption_free: call_while_patch_goes without Preemption Assumptions => "the task has no state";
    preemption_free_ranges: schedule_while_patch_goes without Preemption Assumptions MoveThenList =>
        "Causality violation";
    fork_lock: fork_when_enabled without ForkLock => "a task is left behind";
    synchronize_forks: fork_when_enabled without SynchronizeForks => "a task is left behind";
    move_then_list: fork_and_leave_kernel_at_end without MoveThenList => "AllMoved does not hold";
    fork_then_move: fork_and_schedule_at_end without ForkThenMove => "AllMoved does not hold";
    fork_helps: fork_when_enabled without ForkHelps => "a task is left behind";
    held_off: sleep_when_enabled without HeldOff => "a patched task runs the original";
}

/// The kernel, and the litmus tests, know the rules by the same names.
#[test]
fn names() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../");
    let read = |path: &str| std::fs::read_to_string(format!("{root}{path}")).unwrap();

    for (rule, places) in [
        (
            StatesThenFlags,
            &["model/protocol.rs", "shim/handler.c"][..],
        ),
        (FlagsThenStacks, &["model/protocol.rs", "shim/handler.c"]),
        (
            TargetThenPending,
            &["model/protocol.rs", "transition/task.rs"],
        ),
        (SchedPending, &["model/protocol.rs", "transition/task.rs"]),
        (ForkThenMove, &["model/protocol.rs", "transition/task.rs"]),
        (MoveThenList, &["model/protocol.rs", "transition/task.rs"]),
        (
            TakePending,
            &["model/protocol/ops.rs", "transition/task.rs"],
        ),
        (LoadThenCall, &["model/protocol.rs", "transition/task.rs"]),
        (
            TextThenPending,
            &["model/protocol.rs", "transition/task.rs"],
        ),
        (
            VersionThenFlag,
            &["model/protocol/ops.rs", "shim/handler.c"],
        ),
        (FlagThenState, &["model/protocol/ops.rs", "shim/handler.c"]),
        (PushThenRead, &["func_stacks.rs", "shim/calls.h"]),
        (PublishThenRead, &["publish.rs", "shim/handler.c"]),
    ] {
        let name = format!("{rule:?}");
        for place in places {
            let text = read(&format!("kernel/livepatch/{place}"));
            assert!(text.contains(&name), "{place} does not name {name}");
        }
        let litmus = format!("{root}tools/testing/livepatch/litmus");
        let tested = std::fs::read_dir(litmus)
            .unwrap()
            .any(|file| file.unwrap().file_name().to_string_lossy().contains(&name));
        assert!(tested, "there is no litmus test for {name}");
    }
}
