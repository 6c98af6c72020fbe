// SPDX-License-Identifier: GPL-2.0

//! Who a patch is, which module it is in, and what keeps that module in memory.

use crate::{
    descriptor::PatchDescriptor,
    reloc::Elf,
    shim, //
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
pub(crate) struct PatchId(pub(crate) u64);

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
    /// The module that `patch` is in; `None` if it is not a livepatch module, or has not come as far
    /// as its init function.
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

    /// The ELF file of the module. Must not be used longer than this.
    pub(crate) fn elf(&self) -> Elf {
        // SAFETY: It is a livepatch module that is in memory, by the type invariants.
        unsafe { Elf::of_loaded(self.0) }
    }

    /// Takes a reference, which keeps the module loaded; `None` if it is going.
    pub(crate) fn hold(&self) -> Option<ModuleRef> {
        // SAFETY: The module is in memory by the type invariants.
        let held = unsafe { shim::module_get(self.0) };

        // Not `then_some`: a `ModuleRef` that is made and dropped puts the module.
        // INVARIANT: The reference was taken above.
        held.then(|| ModuleRef(self.0))
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
pub(crate) enum Hold {
    /// Nothing: the patch is not in use.
    None,
    /// A reference, while the patch is in use.
    Held(ModuleRef),
    /// A reference that nobody will put: the patch was removed by force, and a task may run the
    /// module's code for as long as it likes.
    Forever,
}

impl Hold {
    /// The patch is going to be in use.
    pub(crate) fn renew(&mut self, module: &PatchModule) -> Result {
        let reference = module.hold().ok_or(ENODEV)?;

        if let Hold::None = self {
            *self = Hold::Held(reference);
        }
        Ok(())
    }

    /// The patch is not in use any more. Returns the reference, which is put when it is dropped.
    pub(crate) fn release(&mut self) -> Option<ModuleRef> {
        match mem::replace(self, Hold::None) {
            Hold::None => None,
            Hold::Held(reference) => Some(reference),
            Hold::Forever => {
                *self = Hold::Forever;
                None
            }
        }
    }

    /// The patch is removed by force.
    pub(crate) fn pin(&mut self) {
        if let Hold::Held(reference) = mem::replace(self, Hold::Forever) {
            mem::forget(reference);
        }
    }

    pub(crate) fn is_forever(&self) -> bool {
        matches!(self, Hold::Forever)
    }
}
