// SPDX-License-Identifier: GPL-2.0

//! In which order the steps of a transition come. What tasks do between them is for the model
//! checker on the host.

mod recorder;

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_protocol))]
mod cases {
    use super::recorder::{
        Call::*,
        Recorder, //
    };
    use crate::model::{
        phase::PatchState::{
            Patched,
            Unpatched, //
        },
        protocol::{
            self,
            Assumption,
            Event,
            Order, //
        },
    };

    #[test]
    fn enable() {
        let recorder = Recorder::new();

        assert!(protocol::enable(&mut recorder.patch()).is_ok());
        assert!(recorder.calls_are(&[
            OnEvent(Event::Initializing(Patched)),
            SetTargetState(Some(Patched)),
            SetPatchState(Some(Unpatched)),
            Expect(Assumption::NoPatchState, true),
            Barrier(Order::StatesThenFlags),
            Flag(true),
            Barrier(Order::FlagsThenStacks),
            Apply,
            PublishRanges,
            OnEvent(Event::Starting(Patched)),
            Barrier(Order::TargetThenPending),
            SetPending,
            HookScheduler(true),
        ]));
    }

    #[test]
    fn enable_fails() {
        let recorder = Recorder::new();

        recorder.apply_fails.set(true);
        assert!(protocol::enable(&mut recorder.patch()).is_err());
        assert!(recorder.calls_are(&[
            OnEvent(Event::Initializing(Patched)),
            SetTargetState(Some(Patched)),
            SetPatchState(Some(Unpatched)),
            Expect(Assumption::NoPatchState, true),
            Barrier(Order::StatesThenFlags),
            Flag(true),
            Barrier(Order::FlagsThenStacks),
            Apply,
            OnEvent(Event::Canceling),
            SetTargetState(Some(Unpatched)),
            OnEvent(Event::Completing(Unpatched)),
            WithdrawRanges,
            Revert,
            Synchronize,
            Flag(false),
            SynchronizeTasks,
            Discard,
            SetPatchState(None),
            Expect(Assumption::NonePending, true),
            RunPostCallbacks(Unpatched),
            OnEvent(Event::Complete(Unpatched)),
            SetTargetState(None),
        ]));
    }

    #[test]
    fn disable() {
        let recorder = Recorder::new();

        protocol::disable(&mut recorder.patch());
        assert!(recorder.calls_are(&[
            OnEvent(Event::Initializing(Unpatched)),
            SetTargetState(Some(Unpatched)),
            SetPatchState(Some(Patched)),
            Expect(Assumption::NoPatchState, true),
            Barrier(Order::StatesThenFlags),
            Flag(true),
            PrepareToRevert,
            PublishRanges,
            OnEvent(Event::Starting(Unpatched)),
            Barrier(Order::TargetThenPending),
            SetPending,
            HookScheduler(true),
        ]));
    }

    #[test]
    fn task_with_patch_state_before() {
        let recorder = Recorder::in_transition(Patched);

        protocol::disable(&mut recorder.patch());
        assert!(recorder.has_call(Expect(Assumption::NoPatchState, false)));
    }

    #[test]
    fn reverse() {
        let recorder = Recorder::in_transition(Patched);

        protocol::reverse(&mut recorder.patch(), Patched);
        // The task is where it goes back to.
        assert!(recorder.calls_are(&[
            OnEvent(Event::Reversing(Patched)),
            ClearPending,
            Synchronize,
            OnEvent(Event::Reversed(Unpatched)),
            SetTargetState(Some(Unpatched)),
            PublishRanges,
            OnEvent(Event::Starting(Unpatched)),
            Barrier(Order::TargetThenPending),
            HookScheduler(true),
        ]));
    }

    #[test]
    fn finish() {
        let recorder = Recorder::new();

        recorder.patch_state.set(Some(Patched));
        protocol::finish(&mut recorder.patch(), Patched);
        assert!(recorder.calls_are(&[
            HookScheduler(false),
            OnEvent(Event::Completing(Patched)),
            WithdrawRanges,
            RevertReplaced,
            Flag(false),
            Synchronize,
            Discard,
            SetPatchState(None),
            Expect(Assumption::NonePending, true),
            RunPostCallbacks(Patched),
            OnEvent(Event::Complete(Patched)),
            SetTargetState(None),
        ]));
    }

    #[test]
    fn pending_task_in_the_end() {
        let recorder = Recorder::in_transition(Patched);

        protocol::finish(&mut recorder.patch(), Patched);
        assert!(recorder.has_call(Expect(Assumption::NonePending, false)));
    }

    #[test]
    fn advance() {
        let recorder = Recorder::in_transition(Patched);

        assert!(!protocol::advance(&mut recorder.patch(), Patched));
        assert!(recorder.calls_are(&[]));

        recorder.safe.set(true);
        assert!(protocol::advance(&mut recorder.patch(), Patched));
        assert!(protocol::advance(&mut recorder.patch(), Patched));
        assert!(recorder.calls_are(&[ClearPending, SetPatchState(Some(Patched))]));
    }

    #[test]
    fn advance_offline() {
        let recorder = Recorder::in_transition(Unpatched);

        recorder.offline.set(true);
        assert!(protocol::advance(&mut recorder.patch(), Unpatched));
        assert!(recorder.calls_are(&[ClearPending, SetPatchState(Some(Unpatched))]));
    }

    #[test]
    fn force() {
        let recorder = Recorder::in_transition(Unpatched);

        protocol::force(&mut recorder.patch(), Unpatched);
        assert!(recorder.calls_are(&[SetPatchState(Some(Unpatched)), PinForced(Unpatched)]));
        assert!(!recorder.pending.get());
    }

    #[test]
    fn update() {
        let recorder = Recorder::in_transition(Patched);

        protocol::update(&recorder, &recorder);
        protocol::update(&recorder, &recorder);
        assert!(recorder.calls_are(&[SetPatchState(Some(Patched))]));
    }

    #[test]
    fn schedule() {
        let recorder = Recorder::in_transition(Patched);

        protocol::schedule(&recorder, &recorder);
        recorder.safe.set(true);
        protocol::schedule(&recorder, &recorder);
        protocol::schedule(&recorder, &recorder);
        assert!(recorder.calls_are(&[
            Barrier(Order::SchedPending),
            Barrier(Order::SchedPending),
            ClearPending,
            SetPatchState(Some(Patched)),
        ]));
    }

    #[test]
    fn inherit() {
        let (parent, child) = (Recorder::in_transition(Patched), Recorder::new());

        protocol::inherit(&parent, &child);
        assert!(child.calls_are(&[SetPending, SetPatchState(Some(Unpatched))]));

        // The parent has moved since its flag was copied.
        let (parent, child) = (Recorder::new(), Recorder::new());
        parent.patch_state.set(Some(Patched));
        child.pending.set(true);

        protocol::inherit(&parent, &child);
        assert!(child.calls_are(&[ClearPending, SetPatchState(Some(Patched))]));
    }

    #[test]
    fn coming() {
        let recorder = Recorder::new();

        assert!(protocol::coming(&mut recorder.patch()).is_ok());
        assert!(recorder.calls_are(&[Apply, RefreshRanges, Synchronize]));
    }

    #[test]
    fn coming_fails() {
        let recorder = Recorder::new();

        recorder.apply_fails.set(true);
        assert!(protocol::coming(&mut recorder.patch()).is_err());
        assert!(recorder.calls_are(&[Apply, Revert, Synchronize]));
    }

    #[test]
    fn going() {
        let recorder = Recorder::new();

        protocol::going(&mut recorder.patch());
        assert!(recorder.calls_are(&[Revert, RefreshRanges, Synchronize, SynchronizeTasks]));
    }
}
