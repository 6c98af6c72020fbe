// SPDX-License-Identifier: GPL-2.0

//! The patches that are known, and who may do what, when.

use crate::{
    fault::{
        self,
        Point, //
    },
    model::{
        operation::{
            self,
            Known,
            Registration,
            Operation,
            Refusal,
            Decision, //
        },
        phase::{
            Phase,
            PatchState, //
        },
        compatibility, //
    },
    ops::Ops,
    patch::{
        self,
        ModuleId,
        ModuleRef,
        Patch,
        PatchId, //
    },
    state::{
        self,
        Declared, //
    },
    transition::{
        self,
        Running, //
    },
};
use core::{
    mem,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::lock::GlobalGuard, //
};

kernel::sync::global_lock! {
    /// Serializes everything that changes what is patched.
    ///
    /// Taken before `cpu_hotplug_lock`, `ftrace_lock` and `tasklist_lock`. Not taken by the ftrace
    /// handler and by the hooks in the paths of fork, schedule, idle and the exit to user space.
    // SAFETY: `init_lock` is called by an initcall, before modules can be loaded and hence before
    // any other use.
    #[allow(non_upper_case_globals)]
    pub(crate) unsafe(uninit) static klp_mutex: Mutex<Registry> = Registry::new();
}

/// All that is guarded by `klp_mutex`.
///
/// # Invariants
///
/// `idle` has room for all registered patches, and `leaving` for all patches.
pub(crate) struct Registry {
    /// In use or in transition, in the order in which they were enabled.
    pub(crate) patches: KVec<Patch>,
    /// Registered, and not in use.
    pub(crate) idle: KVec<Patch>,
    /// The modules of patches that are not here any more, and not yet gone from sysfs.
    leaving: KVec<ModuleId>,
    pub(crate) transition: Option<Running>,
    pub(crate) ops: Ops,
    /// The kobject of /sys/kernel/livepatch; null before `init_sysfs`.
    root: *mut bindings::kobject,
    last_id: u64,
}

// SAFETY: The kobject may be used by any thread.
unsafe impl Send for Registry {}

/// Prepares the lock.
///
/// # Safety
///
/// Must be called once, before anything else of this module.
pub(crate) unsafe fn init_lock() {
    // SAFETY: By the contract of this function.
    unsafe { klp_mutex.init() };
}

/// Creates /sys/kernel/livepatch. Before that, no patch is taken.
pub(crate) fn init_sysfs() -> Result {
    // SAFETY: `kernel_kobj` was made by an earlier initcall. May sleep.
    let root = unsafe {
        bindings::kobject_create_and_add(c"livepatch".as_char_ptr(), bindings::kernel_kobj)
    };

    lock().root = NonNull::new(root).ok_or(ENOMEM)?.as_ptr();
    Ok(())
}

/// Takes `klp_mutex`. May sleep.
pub(crate) fn lock() -> GlobalGuard<klp_mutex> {
    klp_mutex.lock()
}

/// The position of a patch among the enabled ones, counted from 1; 0 if it is not enabled.
pub(crate) fn stack_order(id: PatchId) -> usize {
    lock().position(id).map_or(0, |at| at + 1)
}

/// Refuses to wait for `klp_mutex` in a callback, which runs under it.
pub(crate) fn outside_of_callbacks(operation: &CStr) -> Result {
    if patch::in_callback() {
        pr_err!("{} is not possible in a callback\n", operation);
        return Err(EBUSY);
    }
    Ok(())
}

/// Acts on a write to the attribute `enabled`.
pub(crate) fn set_enabled(id: PatchId, enable: bool) -> Result {
    outside_of_callbacks(c"a write to enabled")?;

    let operation = if enable {
        Operation::Enable
    } else {
        Operation::Disable
    };
    lock().operate(id, operation)
}

/// The patch of `module` is gone from sysfs. Nobody sees the module without it and `hold`, the
/// patch's last reference to it, being gone, too.
pub(crate) fn has_left(module: ModuleId, hold: Option<ModuleRef>) {
    let mut registry = lock();

    drop(hold);
    registry.leaving.retain(|leaving| *leaving != module);
}

/// Acts on a write of 1 to the attribute `force`.
pub(crate) fn force(id: PatchId) -> Result {
    outside_of_callbacks(c"a write to force")?;

    let mut registry = lock();
    let Parts {
        patch,
        older,
        ops,
        transition,
    } = registry.parts(id)?;

    transition
        .as_mut()
        .filter(|running| running.patch == id)
        .ok_or(EINVAL)?
        .force(patch, older, ops);
    Ok(())
}

/// Tries again to complete the transition, if there is one.
pub(crate) fn retry() {
    lock().try_complete();
}

/// A patch that was not taken, and why.
#[must_use = "the patch has to be released, without `klp_mutex`"]
pub(crate) struct Refused {
    pub(crate) error: Error,
    pub(crate) patch: Patch,
}

/// One patch, and what is needed to move tasks to it or away from it.
struct Parts<'a> {
    patch: &'a mut Patch,
    /// Those that were enabled before.
    older: &'a mut [Patch],
    ops: &'a mut Ops,
    transition: &'a mut Option<Running>,
}

impl Registry {
    const fn new() -> Self {
        Registry {
            patches: KVec::new(),
            idle: KVec::new(),
            leaving: KVec::new(),
            transition: None,
            ops: Ops::new(),
            root: ptr::null_mut(),
            last_id: 0,
        }
    }

    /// How many modules of patches are not yet, or never will be, gone.
    #[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
    pub(crate) fn leaving(&self) -> usize {
        self.leaving.len()
    }

    /// Whether patches can be taken.
    pub(crate) fn is_ready(&self) -> bool {
        !self.root.is_null()
    }

    /// A number for a new patch.
    pub(crate) fn next_id(&mut self) -> PatchId {
        // 64 bits are not used up.
        self.last_id = self.last_id.wrapping_add(1);
        PatchId(self.last_id)
    }

    /// All patches that are known.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Patch> {
        Iterator::chain(self.patches.iter(), &self.idle)
    }

    fn position(&self, id: PatchId) -> Option<usize> {
        self.patches.iter().position(|patch| patch.id == id)
    }

    /// A patch that is not enabled: -EINVAL.
    fn parts(&mut self, id: PatchId) -> Result<Parts<'_>> {
        let at = self.position(id).ok_or(EINVAL)?;
        let (older, rest) = self.patches.split_at_mut(at);

        Ok(Parts {
            patch: rest.first_mut().ok_or(EINVAL)?,
            older,
            ops: &mut self.ops,
            transition: &mut self.transition,
        })
    }

    fn known(&self, id: PatchId) -> Option<Known> {
        let (patch, covered) = match self.position(id) {
            Some(at) => (self.patches.get(at)?, at + 1 < self.patches.len()),
            None => (self.idle.iter().find(|patch| patch.id == id)?, false),
        };
        Some(Known {
            registration: patch.registration,
            phase: patch.phase(),
            other_running: self
                .transition
                .as_ref()
                .is_some_and(|running| running.patch != id),
            covered,
        })
    }

    fn decide(&self, id: PatchId, operation: Operation) -> Result<Decision> {
        operation::decide(operation, self.known(id)).map_err(|refusal| match refusal {
            Refusal::Unknown | Refusal::Already => EINVAL,
            Refusal::Exists => EEXIST,
            Refusal::Busy | Refusal::InUse => EBUSY,
            Refusal::Covered => {
                if let (Some(at), Some(last)) = (self.position(id), self.patches.last()) {
                    pr_err!(
                        "patch '{}' was enabled after '{}': disable it first\n",
                        &*last.name,
                        self.patches.get(at).map_or(c"", |patch| &patch.name)
                    );
                }
                EBUSY
            }
        })
    }

    /// Refuses a patch of a module that has one already: both would have the same name.
    pub(crate) fn check_name(&self, module: ModuleId, name: &CStr) -> Result {
        if let Some(patch) = self.all().find(|patch| patch.module() == module) {
            let state = match patch.registration {
                Registration::OneShot => "enabled",
                Registration::Registered => "registered",
            };
            pr_err!("patch '{}' is already {}\n", name, state);
            self.decide(patch.id, Operation::Register)?;
        }
        if self.leaving.contains(&module) {
            pr_err!("patch '{}' is still being removed, or was by force\n", name);
            return Err(EBUSY);
        }
        Ok(())
    }

    /// Refuses a patch that cannot cope with the states of those that are enabled.
    pub(crate) fn check_states(&self, name: &CStr, states: &[Declared], replace: bool) -> Result {
        fault::check(Point::CheckStates)?;
        let new = states.iter().map(|declared| declared.state);

        let compatible = self.patches.iter().all(|old| {
            let old = old.states.iter().map(|declared| declared.state);
            compatibility::is_compatible(new.clone(), old, replace)
        });
        if !compatible {
            pr_err!(
                "Livepatch patch ({}) is not compatible with the already installed livepatches.\n",
                name
            );
            return Err(EINVAL);
        }
        Ok(())
    }

    /// Takes a new patch: resolves it and shows it in sysfs. A one-shot patch is enabled, too.
    ///
    /// After [`Registry::make_room`].
    pub(crate) fn admit(&mut self, mut patch: Patch) -> Option<Refused> {
        let id = patch.id;
        let admitted = match patch.registration {
            Registration::OneShot => self.prepare(&mut patch),
            Registration::Registered => {
                pr_notice!("registering patch '{}'\n", &*patch.name);
                patch.load().and_then(|()| patch.show(self.root))
            }
        };
        if let Err(error) = admitted {
            return Some(self.refuse(error, patch));
        }

        if patch.registration == Registration::Registered {
            self.put_idle(patch);
            return None;
        }
        if let Err(full) = self.patches.push_within_capacity(patch) {
            // There is room, so this does not happen.
            return Some(self.refuse(ENOMEM, full.0));
        }
        let error = self.enable(id).err()?;
        let patch = self.take(id)?;
        Some(self.refuse(error, patch))
    }

    fn refuse(&mut self, error: Error, patch: Patch) -> Refused {
        Refused {
            error,
            patch: self.dismiss(patch),
        }
    }

    /// Makes room for one more patch, wherever it will be.
    pub(crate) fn make_room(&mut self) -> Result {
        let registered = self
            .patches
            .iter()
            .filter(|patch| patch.registration == Registration::Registered)
            .count();
        let known = self.patches.len() + self.idle.len();

        fault::check(Point::MakeRoom)?;
        self.patches.reserve(1, GFP_KERNEL)?;
        self.idle.reserve(registered + 1, GFP_KERNEL)?;
        self.leaving.reserve(known + 1, GFP_KERNEL)?;
        Ok(())
    }

    /// What precedes enabling. What was done when it fails is undone by the caller.
    fn prepare(&self, patch: &mut Patch) -> Result {
        if patch.replace {
            for old in &self.patches {
                fault::check(Point::AddNops)?;
                patch.add_nops(old)?;
            }
        }
        patch.load()?;
        patch.show(self.root)
    }

    /// Undoes [`Patch::load`] and has the patch released by the caller.
    fn dismiss(&mut self, mut patch: Patch) -> Patch {
        // The relocations of a forced patch are still needed by whoever runs it.
        if !patch.forced {
            patch.unload();
        }
        self.leave(&patch);
        patch
    }

    /// The patch is not here any more; [`has_left`] has to follow.
    fn leave(&mut self, patch: &Patch) {
        if self.leaving.push_within_capacity(patch.module()).is_err() {
            // By the type invariant, this does not happen.
            pr_err!("patch '{}' leaves unnoticed\n", &*patch.name);
        }
    }

    /// Keeps a registered patch that is not, or no longer, in use.
    fn put_idle(&mut self, mut patch: Patch) {
        patch.discard_nops();
        patch.let_module_go();
        if let Err(full) = self.idle.push_within_capacity(patch) {
            // By the type invariant, this does not happen.
            full.0.release_later();
        }
    }

    /// Keeps a patch that is not in use any more if it is registered, and frees it otherwise.
    fn retire(&mut self, patch: Patch) {
        match patch.registration {
            Registration::Registered => self.put_idle(patch),
            Registration::OneShot => {
                self.leave(&patch);
                patch.release_later();
            }
        }
    }

    /// Takes a patch out of the list of enabled ones.
    fn take(&mut self, id: PatchId) -> Option<Patch> {
        let at = self.position(id)?;
        self.patches.remove(at).ok()
    }

    fn take_idle(&mut self, id: PatchId) -> Result<Patch> {
        let at = self.idle.iter().position(|patch| patch.id == id);
        self.idle.remove(at.ok_or(EINVAL)?).map_err(|_| EINVAL)
    }

    /// Takes a registered patch out. It has to be released without `klp_mutex` then.
    pub(crate) fn unregister(&mut self, id: PatchId) -> Result<Patch> {
        self.decide(id, Operation::Unregister)?;

        let patch = self.take_idle(id)?;
        pr_notice!("unregistering patch '{}'\n", &*patch.name);
        Ok(self.dismiss(patch))
    }

    /// Enables or disables a patch.
    pub(crate) fn operate(&mut self, id: PatchId, operation: Operation) -> Result {
        match self.decide(id, operation)? {
            Decision::Start(PatchState::Patched) => return self.enable_idle(id),
            Decision::Start(PatchState::Unpatched) => self.disable(id)?,
            Decision::Reverse => {
                let Parts {
                    patch,
                    older,
                    ops,
                    transition,
                } = self.parts(id)?;
                transition
                    .as_mut()
                    .ok_or(EINVAL)?
                    .reverse(patch, older, ops)?;
            }
            Decision::Admit(_) | Decision::Forget => return Err(EINVAL),
        }
        self.try_complete();
        Ok(())
    }

    /// Enables a registered patch. If that fails, it is as before.
    fn enable_idle(&mut self, id: PatchId) -> Result {
        fault::check(Point::MakeRoomToEnable)?;
        self.patches.reserve(1, GFP_KERNEL)?;

        let mut patch = self.take_idle(id)?;
        let prepared = self
            .check_states(&patch.name, &patch.states, patch.replace)
            .and_then(|()| fault::check(Point::HoldModule))
            .and_then(|()| patch.hold_module())
            .and_then(|()| self.prepare(&mut patch));
        if let Err(error) = prepared {
            self.put_idle(patch);
            return Err(error);
        }
        if let Err(full) = self.patches.push_within_capacity(patch) {
            // There is room, so this does not happen.
            self.put_idle(full.0);
            return Err(ENOMEM);
        }
        self.enable(id).inspect_err(|_| {
            if let Some(patch) = self.take(id) {
                self.put_idle(patch);
            }
        })
    }

    fn enable(&mut self, id: PatchId) -> Result {
        let Parts {
            patch,
            older,
            ops,
            transition,
        } = self.parts(id)?;

        if transition.is_some() {
            return Err(EBUSY);
        }
        fault::check(Point::PreviousStates)?;
        let previous = states_of(older)?;

        pr_notice!("enabling patch '{}'\n", &*patch.name);

        *transition = Some(transition::enable(patch, older, ops, previous)?);
        patch.show_enabled();
        self.try_complete();
        Ok(())
    }

    fn disable(&mut self, id: PatchId) -> Result {
        let Parts {
            patch,
            older,
            ops,
            transition,
        } = self.parts(id)?;

        let previous = states_of(older)?;
        *transition = Some(transition::disable(patch, older, ops, previous)?);
        patch.show_enabled();
        Ok(())
    }

    /// Tries to complete the transition, and retires the patches that are not in use any more.
    fn try_complete(&mut self) {
        let Some(mut running) = self.transition.take() else {
            return;
        };

        let id = running.patch;
        let Ok(Parts {
            patch, older, ops, ..
        }) = self.parts(id)
        else {
            // The patch of a transition is in use, so this does not happen.
            self.transition = Some(running);
            return;
        };
        if !running.try_complete(patch, older, ops) {
            self.transition = Some(running);
            return;
        }

        if patch.phase() == Phase::Disabled {
            if let Some(patch) = self.take(id) {
                self.retire(patch);
            }
        } else if patch.replace {
            while let Some(old) = self
                .patches
                .first()
                .map(|old| old.id)
                .filter(|&old| old != id)
            {
                if let Some(old) = self.take(old) {
                    self.retire(old);
                }
            }
        }
    }
}

/// How far the removal of a patch is whose module goes without it.
pub(crate) enum Removal {
    /// There is no such patch, or no more.
    Done,
    /// It has to be released, without `klp_mutex`.
    Release(Patch),
    /// It is in use, or on its way out. To be asked again.
    Wait,
}

impl Registry {
    /// Gets on with the removal of the patch of `module`, which is going: out of order if need be.
    ///
    /// Says so, unless it was `told` already.
    pub(crate) fn remove_patch_of(
        &mut self,
        module: *mut bindings::module,
        told: &mut bool,
    ) -> Removal {
        let module = ModuleId::of(module);
        let patch = self.all().find(|patch| patch.module() == module);

        if let Some(patch) = patch.filter(|_| !mem::replace(told, true)) {
            let name = &*patch.name;
            pr_err!("module '{name}' goes and its patch is still there: removing it\n");
        }
        let Some((id, phase, forced)) = patch.map(|patch| (patch.id, patch.phase(), patch.forced))
        else {
            return if self.leaving.contains(&module) {
                Removal::Wait
            } else {
                Removal::Done
            };
        };
        match phase {
            // Somebody may be running its code for ever.
            Phase::Disabled if forced => {}
            Phase::Disabled => {
                if let Ok(patch) = self.unregister(id) {
                    return Removal::Release(patch);
                }
            }
            // If there is no memory for that, the next time.
            Phase::Enabled if self.transition.is_none() => {
                if self.disable(id).is_ok() {
                    self.try_complete();
                }
            }
            Phase::Enabling => {
                let _ = self.operate(id, Operation::Disable);
            }
            Phase::Enabled | Phase::Disabling => {}
        }
        Removal::Wait
    }
}

fn states_of(patches: &[Patch]) -> Result<KVec<Declared>> {
    state::of_patches(patches.iter().map(|patch| &*patch.states))
}
