// SPDX-License-Identifier: GPL-2.0

//! The patches that are known, and who may do what, when.

use crate::{
    model::{
        phase::{
            Phase,
            Refusal,
            Step,
            Target, //
        },
        states, //
    },
    ops::Ops,
    patch::{
        Patch,
        PatchId, //
    },
    stack::Ranges,
    state::{
        self,
        Declared, //
    },
    transition::{
        self,
        Running, //
    },
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::{
        barrier::{
            smp_mb,
            Write, //
        },
        lock::GlobalGuard, //
    },
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
pub(crate) struct Registry {
    /// In the order in which they were enabled.
    pub(crate) patches: KVec<Patch>,
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

/// The position of a patch among the enabled ones, counted from 1.
pub(crate) fn stack_order(id: PatchId) -> usize {
    let registry = lock();

    // A patch that is just being freed comes after all others.
    registry
        .position(id)
        .map_or(registry.patches.len(), |at| at + 1)
}

/// Acts on a write to the attribute `enabled`.
pub(crate) fn set_enabled(id: PatchId, enable: bool) -> Result {
    lock().set_enabled(id, enable)
}

/// Acts on a write of 1 to the attribute `force`.
pub(crate) fn force(id: PatchId) -> Result {
    let mut registry = lock();
    let Parts {
        patch,
        older,
        transition,
        ..
    } = registry.parts(id)?;

    transition
        .as_mut()
        .filter(|running| running.patch == id)
        .ok_or(EINVAL)?
        .force(patch, older);
    Ok(())
}

/// Tries again to complete the transition, if there is one.
pub(crate) fn retry() {
    lock().try_complete();
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
            transition: None,
            ops: Ops::new(),
            root: ptr::null_mut(),
            last_id: 0,
        }
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

    fn position(&self, id: PatchId) -> Option<usize> {
        self.patches.iter().position(|patch| patch.id == id)
    }

    /// A patch that is not here any more is disabled for good: -EINVAL.
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

    /// Refuses a patch whose name is taken: a module has one patch.
    pub(crate) fn check_name(&self, name: &CStr) -> Result {
        if self.patches.iter().any(|patch| *patch.name == *name) {
            pr_err!("patch '{}' is already enabled\n", name);
            return Err(EEXIST);
        }
        Ok(())
    }

    /// Can a patch with these states be used on top of all that are there?
    pub(crate) fn is_compatible(&self, states: &[Declared], replace: bool) -> bool {
        let new = states.iter().map(|declared| declared.state);

        self.patches.iter().all(|old| {
            let old = old.states.iter().map(|declared| declared.state);
            states::is_compatible(new.clone(), old, replace)
        })
    }

    /// Takes a patch: resolves it, shows it in sysfs and enables it.
    ///
    /// If that fails, the patch comes back with the error; it has to be released without
    /// `klp_mutex` then.
    pub(crate) fn enable_new(&mut self, mut patch: Patch) -> Result<(), (Error, Patch)> {
        let id = patch.id;

        if let Err(error) = self.admit(&mut patch) {
            patch.unload();
            return Err((error, patch));
        }
        if let Err(full) = self.patches.push_within_capacity(patch) {
            // `admit` has made room, so this does not happen.
            return Err((ENOMEM, full.0));
        }
        match self.enable(id) {
            Ok(()) => Ok(()),
            Err(error) => match self.take(id) {
                Some(mut patch) => {
                    patch.unload();
                    Err((error, patch))
                }
                None => Ok(()),
            },
        }
    }

    /// What precedes enabling. What was done when it fails is undone by the caller.
    fn admit(&mut self, patch: &mut Patch) -> Result {
        self.patches.reserve(1, GFP_KERNEL)?;

        if patch.replace {
            for old in &self.patches {
                patch.add_nops(old)?;
            }
        }
        patch.load()?;
        patch.show(self.root)
    }

    /// Takes a patch out of the list.
    fn take(&mut self, id: PatchId) -> Option<Patch> {
        let at = self.position(id)?;
        self.patches.remove(at).ok()
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
        let previous = states_of(older)?;

        pr_notice!("enabling patch '{}'\n", &*patch.name);

        let mut running = transition::begin(patch, Target::Patched, previous);

        // ORDERING: The transition flags of the versions before the stacks that they are put on.
        // Pairs with the first read barrier in klp_ftrace_handler().
        smp_mb(Write);

        match apply(patch, ops) {
            Ok(ranges) => {
                running.start(patch, ranges);
                patch.show_enabled();
                *transition = Some(running);
                self.try_complete();
                Ok(())
            }
            Err(error) => {
                pr_warn!("failed to enable patch '{}'\n", &*patch.name);
                running.cancel(patch, older, ops);
                Err(error)
            }
        }
    }

    fn set_enabled(&mut self, id: PatchId, enable: bool) -> Result {
        let Parts {
            patch,
            older,
            ops,
            transition,
        } = self.parts(id)?;
        let others = transition
            .as_ref()
            .is_some_and(|running| running.patch != id);

        let step = patch
            .phase()
            .request(enable, others)
            .map_err(|refusal| match refusal {
                Refusal::Already | Refusal::OneShot => EINVAL,
                Refusal::Busy => EBUSY,
            })?;
        match (step, transition) {
            (Step::Reverse, Some(running)) => running.reverse(patch, ops)?,
            (Step::Start(target), transition @ None) => {
                // The memory first: after it nothing can fail.
                let ranges = Ranges::collect(patch, ops, target)?;
                let mut running = transition::begin(patch, target, states_of(older)?);

                for object in patch.objects.iter().filter(|object| object.is_patched()) {
                    object.pre_unpatch();
                }

                running.start(patch, ranges);
                patch.show_enabled();
                *transition = Some(running);
            }
            _ => return Err(EINVAL),
        }
        self.try_complete();
        Ok(())
    }

    /// Tries to complete the transition, and frees a patch that is not in use any more.
    fn try_complete(&mut self) {
        let Some(mut running) = self.transition.take() else {
            return;
        };

        if !running.try_all() {
            self.transition = Some(running);
            return;
        }

        let id = running.patch;
        let Ok(Parts {
            patch, older, ops, ..
        }) = self.parts(id)
        else {
            return;
        };
        running.finish(patch, older, ops);

        if patch.phase() == Phase::Registered {
            if let Some(patch) = self.take(id) {
                patch.release_later();
            }
        } else if patch.replace {
            while let Some(old) = self
                .patches
                .first()
                .map(|old| old.id)
                .filter(|&old| old != id)
            {
                if let Some(old) = self.take(old) {
                    old.release_later();
                }
            }
        }
    }
}

fn states_of(patches: &[Patch]) -> Result<KVec<Declared>> {
    state::of_patches(patches.iter().map(|patch| &*patch.states))
}

/// Runs the callbacks of a patch and applies its objects, one after the other.
fn apply(patch: &mut Patch, ops: &mut Ops) -> Result<KBox<Ranges>> {
    for object in patch.objects.iter_mut().filter(|object| object.is_loaded()) {
        object.pre_patch().inspect_err(|_| {
            pr_warn!(
                "pre-patch callback failed for object '{}'\n",
                object.label()
            );
        })?;
        object.apply(ops).inspect_err(|_| {
            pr_warn!("failed to patch object '{}'\n", object.label());
        })?;
    }
    Ranges::collect(patch, ops, Target::Patched)
}
