// SPDX-License-Identifier: GPL-2.0

//! The patches that are known, and in which list each of them is.

use crate::{
    descriptor::PatchDescriptor,
    func_stacks::FuncStacks,
    history::History,
    kobject::Root,
    model::operation::{
        Known,
        Registration, //
    },
    patch::{
        ModuleId,
        Patch,
        PatchId, //
    },
    publish::Synchronized,
    shim,
    stack_check::SpareRanges,
    transition::{
        Running,
        Subject, //
    },
};
use kernel::{
    prelude::*,
    sync::lock::GlobalGuard, //
};

kernel::sync::global_lock! {
    /// Serializes everything that changes what is patched.
    ///
    /// Taken before `klp_sync_mutex` of the shim, `cpu_hotplug_lock`, `ftrace_lock` and
    /// `tasklist_lock`. Not taken by the ftrace handler and by the hooks in the paths of fork,
    /// schedule, idle and the exit to user space.
    // SAFETY: `init_lock` is called by a core initcall, before modules can be loaded and hence
    // before any other use.
    #[allow(non_upper_case_globals)]
    pub(crate) unsafe(uninit) static klp_mutex: Mutex<Registry> = Registry::new();
}

/// The proof that `klp_mutex` is held.
pub(crate) type Guard = GlobalGuard<klp_mutex>;

/// All that is guarded by `klp_mutex`.
///
/// # Invariants
///
/// `registered` has room for all registered patches, `outgoing` and `removing` for all patches.
pub(crate) struct Registry {
    /// In use or in transition, in the order in which they were enabled.
    pub(crate) enabled: KVec<Patch>,
    /// Registered, and not in use.
    pub(crate) registered: KVec<Patch>,
    /// In no use any more, and to be freed by the reaper.
    outgoing: KVec<Patch>,
    /// The modules of patches that are in none of the first two lists, and not yet gone from sysfs.
    removing: KVec<ModuleId>,
    pub(crate) transition: Option<Running>,
    pub(crate) history: History,
    pub(crate) func_stacks: FuncStacks,
    pub(crate) spare_ranges: SpareRanges,
    /// /sys/kernel/livepatch; `None` before [`Registry::set_root`].
    root: Option<Root>,
    last_id: PatchId,
}

/// Prepares the lock.
///
/// # Safety
///
/// Must be called once, before anything else of this module.
pub(crate) unsafe fn init_lock() {
    // SAFETY: Called once and before any use of the lock, as the caller promises.
    unsafe { klp_mutex.init() };
}

/// Takes `klp_mutex`. May sleep.
pub(crate) fn lock() -> Guard {
    klp_mutex.lock()
}

impl Registry {
    const fn new() -> Self {
        Registry {
            enabled: KVec::new(),
            registered: KVec::new(),
            outgoing: KVec::new(),
            removing: KVec::new(),
            transition: None,
            history: History::new(),
            func_stacks: FuncStacks::new(),
            spare_ranges: SpareRanges::new(),
            root: None,
            last_id: PatchId::NONE,
        }
    }

    /// Takes /sys/kernel/livepatch. Before that, no patch is taken.
    pub(crate) fn set_root(&mut self, root: Root) {
        self.root = Some(root);
    }

    /// Whether patches can be taken.
    pub(crate) fn is_ready(&self) -> bool {
        self.root.is_some()
    }

    /// Creates those of the patch's directories in sysfs that are not there yet. May sleep.
    pub(crate) fn add_to_sysfs(&self, patch: &mut Patch) -> Result {
        patch.add_to_sysfs(self.root.as_ref().ok_or(ENODEV)?)
    }

    /// A number for a new patch.
    pub(crate) fn next_id(&mut self) -> PatchId {
        self.last_id = self.last_id.next();
        self.last_id
    }

    /// All patches that are known.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Patch> {
        Iterator::chain(self.enabled.iter(), &self.registered)
    }

    /// The patch `id`, if it is known.
    pub(crate) fn get(&self, id: PatchId) -> Option<&Patch> {
        self.all().find(|patch| patch.id == id)
    }

    /// The patch of the module, if there is one.
    pub(crate) fn of_module(&self, module: ModuleId) -> Option<&Patch> {
        self.all().find(|patch| patch.module() == module)
    }

    /// The position of a patch among the enabled ones, counted from 0.
    pub(crate) fn position(&self, id: PatchId) -> Option<usize> {
        self.enabled.iter().position(|patch| patch.id == id)
    }

    /// The oldest of the patches that were enabled before the patch `id`; `None` if that is the
    /// first.
    pub(crate) fn first_before(&self, id: PatchId) -> Option<PatchId> {
        let first = self.enabled.first()?.id;

        (first != id).then_some(first)
    }

    /// The patch `id` and all that its transition works on, and the transition that is under way.
    ///
    /// `None` if the patch is not enabled.
    pub(crate) fn subject(&mut self, id: PatchId) -> Option<(Subject<'_>, &mut Option<Running>)> {
        let at = self.position(id)?;
        let (older, rest) = self.enabled.split_at_mut(at);
        let subject = Subject {
            patch: rest.first_mut()?,
            older,
            func_stacks: &mut self.func_stacks,
            spare_ranges: &mut self.spare_ranges,
        };

        Some((subject, &mut self.transition))
    }

    /// What `model/operation.rs` has to know about the patch `id`; `None` if it is not known.
    pub(crate) fn known(&self, id: PatchId) -> Option<Known> {
        let patch = self.get(id)?;
        let covered = self
            .position(id)
            .is_some_and(|at| at + 1 < self.enabled.len());

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

    /// Makes room for one more patch, wherever it will be.
    pub(crate) fn make_room(&mut self) -> Result {
        let registered = self
            .all()
            .filter(|patch| patch.registration == Registration::Registered)
            .count();
        let known = self.all().count();

        self.enabled.reserve(1, GFP_KERNEL)?;
        // INVARIANT: Each list gets room for all patches that may come into it: for the new one,
        // and for those that are in none of the lists below and are counted here. Those that are in
        // one of them already count by its length.
        self.registered.reserve(registered + 1, GFP_KERNEL)?;
        self.outgoing.reserve(known + 1, GFP_KERNEL)?;
        self.removing.reserve(known + 1, GFP_KERNEL)?;
        Ok(())
    }

    /// Frees what was replaced before the synchronization of `proof`.
    pub(crate) fn collect(&mut self, proof: &Synchronized) {
        self.func_stacks.collect(proof);
        self.spare_ranges.collect(proof);
    }

    /// Makes room for one more enabled patch.
    pub(crate) fn make_room_to_enable(&mut self) -> Result {
        Ok(self.enabled.reserve(1, GFP_KERNEL)?)
    }

    /// Puts a patch behind the enabled ones; gives it back if no room was made.
    #[must_use]
    pub(crate) fn push_enabled(&mut self, patch: Patch) -> Option<Patch> {
        let refused = self.enabled.push_within_capacity(patch).err();

        self.link_enabled();
        refused.map(|full| full.0)
    }

    /// Takes a patch out of the list of enabled ones.
    pub(crate) fn take_enabled(&mut self, id: PatchId) -> Option<Patch> {
        let at = self.position(id)?;
        let patch = self.enabled.remove(at).ok();

        self.link_enabled();
        if self.enabled.is_empty() {
            self.spare_ranges.clear();
        }
        patch
    }

    /// Remembers a transition that ends now.
    pub(crate) fn remember(&mut self, running: &Running) {
        let mut enabled = self.enabled.iter();

        if let Some(patch) = enabled.find(|patch| patch.id == running.patch) {
            self.history.add(&patch.name, running);
        }
    }

    /// Lets debuggers see which patches are enabled.
    fn link_enabled(&self) {
        PatchDescriptor::link_enabled(self.enabled.iter().map(Patch::descriptor));
    }

    /// Takes a patch out of the list of registered ones.
    pub(crate) fn take_registered(&mut self, id: PatchId) -> Option<Patch> {
        let at = self.registered.iter().position(|patch| patch.id == id)?;
        self.registered.remove(at).ok()
    }

    /// Keeps a registered patch that is not, or no longer, in use.
    pub(crate) fn put_registered(&mut self, mut patch: Patch) {
        patch.discard_nops();
        drop(patch.release_module());
        if let Err(full) = self.registered.push_within_capacity(patch) {
            // By the type invariants, this does not happen.
            self.put_outgoing(full.0);
        }
    }

    /// Keeps a patch that is not in use any more if it is registered, and has it freed otherwise.
    pub(crate) fn retire(&mut self, patch: Patch) {
        match patch.registration {
            Registration::Registered => self.put_registered(patch),
            Registration::OneShot => self.put_outgoing(patch),
        }
    }

    /// Has a patch freed later.
    fn put_outgoing(&mut self, patch: Patch) {
        self.begin_removal(&patch);
        if let Err(full) = self.outgoing.push_within_capacity(patch) {
            // By the type invariants, this does not happen. It leaks rather than being used.
            pr_err!("leaked patch '{}'\n", &*full.0.name);
            core::mem::forget(full.0);
        }
        shim::reap();
    }

    /// Takes the first patch that is to be freed; [`Registry::end_removal`] has to follow.
    pub(crate) fn take_outgoing(&mut self) -> Option<Patch> {
        self.outgoing.remove(0).ok()
    }

    /// The patch is not here any more; [`Registry::end_removal`] has to follow.
    pub(crate) fn begin_removal(&mut self, patch: &Patch) {
        if self.removing.push_within_capacity(patch.module()).is_err() {
            // By the type invariants, this does not happen.
            pr_err!("no room was made for the end of patch '{}'\n", &*patch.name);
        }
    }

    /// The patch of `module` is gone, from sysfs and from memory.
    pub(crate) fn end_removal(&mut self, module: ModuleId) {
        self.removing.retain(|removing| *removing != module);
    }

    /// Is the patch of `module` still being removed, or was it by force?
    pub(crate) fn is_removing(&self, module: ModuleId) -> bool {
        self.removing.contains(&module)
    }

    /// How many modules of patches are not yet, or never will be, gone.
    #[cfg(CONFIG_LIVEPATCH_RUST_KUNIT_TEST)]
    pub(crate) fn removing(&self) -> usize {
        self.removing.len()
    }
}
