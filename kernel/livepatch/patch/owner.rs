// SPDX-License-Identifier: GPL-2.0

//! Who a patch is, which module it is in, and what keeps that module in memory.

use crate::{
    descriptor::PatchDescriptor,
    fault::{
        self,
        Point, //
    },
    reloc::Elf,
    shim,
    symbols::Sizes, //
};
use core::{
    mem,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Identifies a patch for as long as the system runs; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PatchId(u64);

impl PatchId {
    /// The number of no patch.
    pub(crate) const NONE: Self = PatchId(0);

    /// The number after this one. 64 bits are not used up.
    pub(crate) const fn next(self) -> Self {
        PatchId(self.0.wrapping_add(1))
    }
}

/// Says which module something is about. Only to be compared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ModuleId(*mut bindings::module);

// SAFETY: The address is only compared, and not followed.
unsafe impl Send for ModuleId {}

impl ModuleId {
    pub(crate) fn of(module: *mut bindings::module) -> Self {
        ModuleId(module)
    }
}

/// The livepatch module that a patch is in.
///
/// # Invariants
///
/// It is a livepatch module, and in memory for as long as this exists.
pub(crate) struct PatchModule(NonNull<bindings::module>);

// SAFETY: A `struct module` belongs to no thread; what is read of it does not change.
unsafe impl Send for PatchModule {}

impl PatchModule {
    /// The module that `patch` is in; `None` if it is not a livepatch module, or has not come as
    /// far as its init function.
    ///
    /// # Safety
    ///
    /// The result must not be used when the module is not in memory any more. A patch that is in
    /// use holds a reference to its module, and `klp_module_going()` removes one that is not.
    pub(crate) unsafe fn of(patch: PatchDescriptor) -> Option<Self> {
        // INVARIANT: Both are checked here. It stays in memory as the caller promises.
        (patch.is_livepatch_module() && patch.has_elf_info()).then(|| PatchModule(patch.module()))
    }

    pub(crate) fn id(&self) -> ModuleId {
        ModuleId(self.0.as_ptr())
    }

    /// The ELF file of the module.
    pub(super) fn elf(&self) -> Elf<'_> {
        // SAFETY: It is a livepatch module by the type invariants, and in memory for as long as
        // this is borrowed.
        unsafe { Elf::of_loaded(self.0) }
    }

    /// Measures the code at `addrs`, most of which is in the module. May sleep.
    pub(super) fn measure(&self, addrs: impl Iterator<Item = usize> + Clone) -> Result<Sizes> {
        // SAFETY: The module is in memory by the type invariants.
        unsafe { Sizes::measure(Some(self.0), addrs) }
    }

    /// Takes a reference, which keeps the module loaded; -ENODEV if it is going.
    pub(crate) fn hold(&self) -> Result<ModuleRef> {
        fault::check(Point::HoldModule)?;
        // SAFETY: The module is in memory by the type invariants.
        let held = unsafe { shim::module_get(self.0) };

        // Not `then_some`: a `ModuleRef` that is made and dropped puts the module.
        // INVARIANT: The reference was taken above.
        held.then(|| ModuleRef(self.0)).ok_or(ENODEV)
    }
}

/// A reference to a livepatch module, which keeps its code and data in memory.
///
/// # Invariants
///
/// Owns a reference that [`PatchModule::hold`] has taken.
pub(crate) struct ModuleRef(NonNull<bindings::module>);

// SAFETY: Any thread may put a reference that another one has taken.
unsafe impl Send for ModuleRef {}

impl Drop for ModuleRef {
    fn drop(&mut self) {
        // SAFETY: The reference is owned by the type invariants, and nobody uses it after this.
        unsafe { shim::module_put(self.0) };
    }
}

/// What keeps the module of a patch loaded.
pub(super) enum Hold {
    /// Nothing: the patch is not in use.
    None,
    /// A reference, while the patch is in use.
    Held(ModuleRef),
    /// A reference that was taken and that nobody will put: the patch was removed by force, and a
    /// task may run the module's code for as long as it likes.
    Forever,
}

impl Hold {
    /// Takes a reference if there is none, for a patch that is going to be in use.
    pub(super) fn renew(&mut self, module: &PatchModule) -> Result {
        let reference = module.hold()?;

        if let Hold::None = self {
            *self = Hold::Held(reference);
        }
        Ok(())
    }

    /// Gives up the reference of a patch that is not in use any more. It is put when it is dropped.
    pub(super) fn release(&mut self) -> Option<ModuleRef> {
        match mem::replace(self, Hold::None) {
            Hold::None => None,
            Hold::Held(reference) => Some(reference),
            Hold::Forever => {
                *self = Hold::Forever;
                None
            }
        }
    }

    /// Keeps the reference for ever. Only a patch that is in use can be removed by force, so there
    /// is one.
    pub(super) fn pin(&mut self) {
        match mem::replace(self, Hold::Forever) {
            Hold::Held(reference) => mem::forget(reference),
            Hold::Forever => {}
            Hold::None => pr_err!("a patch is forced that does not hold its module\n"),
        }
    }

    pub(super) fn is_forever(&self) -> bool {
        matches!(self, Hold::Forever)
    }
}
