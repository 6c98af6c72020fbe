// SPDX-License-Identifier: GPL-2.0

//! In which order the steps of a transition come. What tasks do between them is for the model
//! checker on the host.

mod recorder;

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_protocol))]
mod cases {
    use super::recorder::{
        Call::{
            self,
            *, //
        },
        Recorder, //
    };
    use crate::model::{
        phase::PatchState::{
            self,
            Patched,
            Unpatched, //
        },
        protocol::{
            self,
            Assumption,
            Event,
            Order,
            Pass, //
        },
    };

    #[test]
    fn enable() {
        let recorder = Recorder::new();

        assert!(protocol::enable(&mut recorder.patch()).is_ok());
        assert!(recorder.calls_are(&[
            OnEvent(Event::Initializing(Patched)),
            SetTargetState(Some(Patched)),
            SetPass(Some(Pass::SetPatchState(Some(Unpatched)))),
            SynchronizeForks,
            SetPatchState(Some(Unpatched)),
            SynchronizeForks,
            SetPass(None),
            Expect(Assumption::NoPatchState, true),
            Barrier(Order::StatesThenFlags),
            Flag(true),
            Barrier(Order::FlagsThenStacks),
            Apply,
            PublishRanges,
            OnEvent(Event::Starting(Patched)),
            Barrier(Order::TextThenPending),
            Barrier(Order::TargetThenPending),
            SetPass(Some(Pass::SetPending(Patched))),
            SynchronizeForks,
            SetPending,
            SynchronizeForks,
            SetPass(None),
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
            SetPass(Some(Pass::SetPatchState(Some(Unpatched)))),
            SynchronizeForks,
            SetPatchState(Some(Unpatched)),
            SynchronizeForks,
            SetPass(None),
            Expect(Assumption::NoPatchState, true),
            Barrier(Order::StatesThenFlags),
            Flag(true),
            Barrier(Order::FlagsThenStacks),
            Apply,
            OnEvent(Event::Canceling),
            SetTargetState(Some(Unpatched)),
            OnEvent(Event::Completing(Unpatched)),
            Revert,
            Synchronize,
            Flag(false),
            Discard,
            SetPass(Some(Pass::SetPatchState(None))),
            SynchronizeForks,
            SetPatchState(None),
            SynchronizeForks,
            SetPass(None),
            Expect(Assumption::NonePending, true),
            RunPostCallbacks(Unpatched),
            OnEvent(Event::Complete(Unpatched)),
            SetTargetState(None),
            Jump,
        ]));
    }

    #[test]
    fn disable() {
        let recorder = Recorder::new();

        assert!(protocol::disable(&mut recorder.patch()).is_ok());
        assert!(recorder.calls_are(&[
            LeaveJumps,
            OnEvent(Event::Initializing(Unpatched)),
            SetTargetState(Some(Unpatched)),
            SetPass(Some(Pass::SetPatchState(Some(Patched)))),
            SynchronizeForks,
            SetPatchState(Some(Patched)),
            SynchronizeForks,
            SetPass(None),
            Expect(Assumption::NoPatchState, true),
            Barrier(Order::StatesThenFlags),
            Flag(true),
            PrepareToRevert,
            PublishRanges,
            OnEvent(Event::Starting(Unpatched)),
            Barrier(Order::TextThenPending),
            Barrier(Order::TargetThenPending),
            SetPass(Some(Pass::SetPending(Unpatched))),
            SynchronizeForks,
            SetPending,
            SynchronizeForks,
            SetPass(None),
            HookScheduler(true),
        ]));
    }

    #[test]
    fn disable_fails() {
        let recorder = Recorder::new();

        recorder.leave_jumps_fails.set(true);
        assert!(protocol::disable(&mut recorder.patch()).is_err());
        assert!(recorder.calls_are(&[LeaveJumps]));
    }

    #[test]
    fn task_with_patch_state_before() {
        let recorder = Recorder::in_transition(Unpatched);

        recorder.patch_state.set(Some(Unpatched));
        assert!(protocol::disable(&mut recorder.patch()).is_ok());
        assert!(recorder.has_call(Expect(Assumption::NoPatchState, false)));
    }

    #[test]
    fn reverse() {
        let recorder = Recorder::in_transition(Patched);

        protocol::reverse(&mut recorder.patch(), Patched);
        // The task is where it goes back to.
        assert!(recorder.calls_are(&[
            OnEvent(Event::Reversing(Patched)),
            SetPass(Some(Pass::ClearPending)),
            SynchronizeForks,
            ClearPending,
            SynchronizeForks,
            SetPass(None),
            Synchronize,
            OnEvent(Event::Reversed(Unpatched)),
            SetTargetState(Some(Unpatched)),
            PublishRanges,
            OnEvent(Event::Starting(Unpatched)),
            Barrier(Order::TextThenPending),
            Barrier(Order::TargetThenPending),
            SetPass(Some(Pass::SetPending(Unpatched))),
            SynchronizeForks,
            SynchronizeForks,
            SetPass(None),
            HookScheduler(true),
        ]));
    }

    /// Are the steps of a transition's end these, between those that are the same for each target?
    fn finishes_by(target: PatchState, steps: &[Call]) -> bool {
        let recorder = Recorder::new();

        recorder.patch_state.set(Some(target));
        protocol::finish(&mut recorder.patch(), target);
        recorder.calls_are_all_of(&[
            &[
                HookScheduler(false),
                SetPass(Some(Pass::ClearPending)),
                SynchronizeForks,
                ClearPending,
                SynchronizeForks,
                SetPass(None),
                Expect(Assumption::AllMoved, true),
                OnEvent(Event::Completing(target)),
                WithdrawRanges,
            ],
            steps,
            &[
                Discard,
                SetPass(Some(Pass::SetPatchState(None))),
                SynchronizeForks,
                SetPatchState(None),
                SynchronizeForks,
                SetPass(None),
                Expect(Assumption::NonePending, true),
                RunPostCallbacks(target),
                OnEvent(Event::Complete(target)),
                SetTargetState(None),
                Jump,
            ],
        ])
    }

    #[test]
    fn finish() {
        assert!(finishes_by(
            Patched,
            &[RevertReplaced, Flag(false), Synchronize]
        ));
    }

    #[test]
    fn finish_disabling() {
        assert!(finishes_by(
            Unpatched,
            &[Revert, Synchronize, Flag(false), SynchronizeTasks]
        ));
    }

    /// A task has moved and got the flag all the same.
    #[test]
    fn finish_with_stale_flag() {
        let recorder = Recorder::in_transition(Patched);

        recorder.patch_state.set(Some(Patched));
        protocol::finish(&mut recorder.patch(), Patched);
        assert!(!recorder.pending.get());
        assert!(recorder.has_call(Expect(Assumption::AllMoved, true)));
        assert!(recorder.has_call(Expect(Assumption::NonePending, true)));
    }

    #[test]
    fn finish_before_all_have_moved() {
        let recorder = Recorder::in_transition(Patched);

        protocol::finish(&mut recorder.patch(), Patched);
        assert!(recorder.has_call(Expect(Assumption::AllMoved, false)));
    }

    #[test]
    fn pending_task_in_the_end() {
        let recorder = Recorder::new();

        recorder.apply_fails.set(true);
        recorder.pending.set(true);
        assert!(protocol::enable(&mut recorder.patch()).is_err());
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
        assert!(recorder.calls_are(&[
            ClearPending,
            Barrier(Order::ForkThenMove),
            SetPatchState(Some(Patched)),
            Barrier(Order::MoveThenList),
        ]));
    }

    #[test]
    fn advance_offline() {
        let recorder = Recorder::in_transition(Unpatched);

        recorder.offline.set(true);
        assert!(protocol::advance(&mut recorder.patch(), Unpatched));
        assert!(recorder.calls_are(&[
            ClearPending,
            Barrier(Order::ForkThenMove),
            SetPatchState(Some(Unpatched)),
        ]));
    }

    #[test]
    fn force() {
        let recorder = Recorder::in_transition(Unpatched);

        protocol::force(&mut recorder.patch(), Unpatched);
        assert!(recorder.calls_are(&[
            SetPass(Some(Pass::Switch)),
            SynchronizeForks,
            ClearPending,
            Barrier(Order::ForkThenMove),
            SetPatchState(Some(Unpatched)),
            SynchronizeForks,
            SetPass(None),
            PinForced(Unpatched),
        ]));
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
            Barrier(Order::ForkThenMove),
            SetPatchState(Some(Patched)),
        ]));
    }

    #[test]
    fn inherit() {
        let (parent, child) = (Recorder::in_transition(Patched), Recorder::new());

        protocol::inherit(&parent, &parent, &child);
        assert!(child.calls_are(&[SetPending, SetPatchState(Some(Unpatched))]));

        // The parent has moved since its flag was copied.
        let (parent, child) = (Recorder::new(), Recorder::new());
        parent.patch_state.set(Some(Patched));
        child.pending.set(true);

        protocol::inherit(&parent, &parent, &child);
        assert!(child.calls_are(&[ClearPending, SetPatchState(Some(Patched))]));
    }

    /// The walk that is under way has yet to meet the parent, and may not meet the child.
    #[test]
    fn inherit_in_a_walk() {
        let inherit = |pass| {
            let (parent, child) = (Recorder::in_transition(Patched), Recorder::new());

            parent.pass.set(Some(pass));
            protocol::inherit(&parent, &parent, &child);
            (child.pending.get(), child.patch_state.get())
        };

        assert!(inherit(Pass::SetPatchState(None)) == (true, None));
        assert!(inherit(Pass::SetPending(Patched)) == (true, Some(Unpatched)));
        assert!(inherit(Pass::ClearPending) == (false, Some(Unpatched)));
        assert!(inherit(Pass::Switch) == (false, Some(Patched)));

        let (parent, child) = (Recorder::new(), Recorder::new());
        parent.patch_state.set(Some(Unpatched));
        parent.pass.set(Some(Pass::SetPending(Patched)));
        protocol::inherit(&parent, &parent, &child);
        assert!(child.pending.get());

        let (parent, child) = (Recorder::new(), Recorder::new());
        parent.patch_state.set(Some(Patched));
        parent.pass.set(Some(Pass::SetPending(Patched)));
        protocol::inherit(&parent, &parent, &child);
        assert!(!child.pending.get());
    }

    /// Each has a number of its own, and no walk has 0.
    #[test]
    fn numbers_of_passes() {
        let passes = [
            None,
            Some(Pass::SetPatchState(None)),
            Some(Pass::SetPatchState(Some(Unpatched))),
            Some(Pass::SetPatchState(Some(Patched))),
            Some(Pass::SetPending(Unpatched)),
            Some(Pass::SetPending(Patched)),
            Some(Pass::ClearPending),
            Some(Pass::Switch),
        ];

        assert!(Pass::number(None) == 0);
        for pass in passes {
            assert!(Pass::from_number(Pass::number(pass)) == pass);
        }
        assert!(Pass::from_number(passes.len()).is_none());
    }

    #[test]
    fn coming() {
        let recorder = Recorder::new();

        assert!(protocol::coming(&mut recorder.patch()).is_ok());
        assert!(recorder.calls_are(&[Apply, RefreshRanges]));
    }

    #[test]
    fn coming_fails() {
        let recorder = Recorder::new();

        recorder.apply_fails.set(true);
        assert!(protocol::coming(&mut recorder.patch()).is_err());
        assert!(recorder.calls_are(&[Apply, Revert]));
    }

    #[test]
    fn loaded() {
        let recorder = Recorder::new();

        protocol::loaded(&recorder);
        assert!(recorder.calls_are(&[Barrier(Order::LoadThenCall)]));
    }

    #[test]
    fn refused() {
        let recorder = Recorder::new();

        protocol::refused(&mut recorder.patch());
        assert!(recorder.calls_are(&[Revert, RefreshRanges]));
    }

    #[test]
    fn going() {
        let recorder = Recorder::new();

        protocol::going(&mut recorder.patch());
        assert!(recorder.calls_are(&[Revert, RefreshRanges, Synchronize, SynchronizeTasks]));
    }
}
