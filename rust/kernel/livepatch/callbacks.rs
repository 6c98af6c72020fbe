// SPDX-License-Identifier: GPL-2.0

//! Functions of a livepatch that run before and after one of its kernel objects is patched.

use crate::{
    bindings,
    error::{
        from_result,
        Result,
        VTABLE_DEFAULT_ERROR, //
    },
    ffi::c_int,
    prelude::*,
    str::CStrExt as _, //
};
use core::marker::PhantomData;

/// What a livepatch does before and after a kernel object is patched and unpatched.
///
/// A method that is not implemented is not called: the livepatch core gets a null pointer for it.
/// All methods run in process context and may sleep, one at a time, with the lock of the livepatch
/// core held. They must not enable or disable livepatches, or load or unload modules: that lock is
/// needed for all of this.
///
/// When an object is patched as part of a transition, `pre_patch` runs before any of its functions
/// is redirected, and `post_patch` after the last task has been switched. `pre_unpatch` and
/// `post_unpatch` are the same for the way back. If a transition is reversed before its end, then
/// `post_unpatch` follows `pre_patch`. When a module is loaded that is to be patched, all of
/// its functions are redirected before any of its code runs, and both methods are called then; the
/// same goes for a module that is unloaded. None of the methods of a livepatch is called when
/// another one [replaces](super::Patch::replace) it.
///
/// [Documentation/livepatch/callbacks.rst](srctree/Documentation/livepatch/callbacks.rst) says more
/// about when to use them.
///
/// # Examples
///
/// ```
/// use kernel::{
///     livepatch::{
///         Callbacks,
///         Func,
///         List,
///         Object,
///         ObjectDesc, //
///     },
///     prelude::*, //
/// };
///
/// struct Guarded;
///
/// # struct Module;
/// # impl kernel::ModuleMetadata for Module {
/// #     const NAME: &'static CStr = c"livepatch_doctest";
/// #     // SAFETY: This is built into the kernel, and the right `THIS_MODULE` of that is null.
/// #     const THIS_MODULE: ThisModule =
/// #         unsafe { ThisModule::from_ptr(core::ptr::null_mut()) };
/// # }
/// #[vtable]
/// impl Callbacks for Guarded {
/// #   type OwnerModule = Module;
///     fn pre_patch(object: &Object<'_>) -> Result {
///         pr_info!("about to patch {}\n", object.name());
///         Ok(())
///     }
/// }
///
/// static FUNCS: List<Func, 0> = List::new([]);
/// static OBJECT: ObjectDesc = ObjectDesc::vmlinux(&FUNCS).with_callbacks::<Guarded>();
/// # let _ = &OBJECT;
/// # assert!(Guarded::HAS_PRE_PATCH);
/// # assert!(!Guarded::HAS_POST_PATCH);
/// ```
#[vtable]
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not implement `livepatch::Callbacks`",
    label = "these are not callbacks"
)]
pub trait Callbacks {
    /// Called before `object` is patched.
    ///
    /// An error stops it: the livepatch is not enabled, or the module that `object` is about is not
    /// loaded. The other methods are not called then.
    fn pre_patch(_object: &Object<'_>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Called when `object` is patched and all tasks use the new functions.
    fn post_patch(_object: &Object<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Called before `object` is unpatched: all tasks use the new functions.
    fn pre_unpatch(_object: &Object<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Called when `object` is unpatched and no task uses the new functions any more.
    fn post_unpatch(_object: &Object<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

/// The C functions for the methods of `C`; none for those that it does not have.
pub(super) const fn table<C: Callbacks>() -> bindings::klp_callbacks {
    bindings::klp_callbacks {
        pre_patch: if C::HAS_PRE_PATCH {
            Some(pre_patch::<C>)
        } else {
            None
        },
        post_patch: if C::HAS_POST_PATCH {
            Some(post_patch::<C>)
        } else {
            None
        },
        pre_unpatch: if C::HAS_PRE_UNPATCH {
            Some(pre_unpatch::<C>)
        } else {
            None
        },
        post_unpatch: if C::HAS_POST_UNPATCH {
            Some(post_unpatch::<C>)
        } else {
            None
        },
        post_unpatch_enabled: false,
    }
}

/// # Safety
///
/// To be called by the livepatch core only, as `pre_patch` of `struct klp_callbacks`: with an
/// `object` that is valid, and stays so, until this returns.
unsafe extern "C" fn pre_patch<C: Callbacks>(object: *mut bindings::klp_object) -> c_int {
    // SAFETY: By the safety requirements, the livepatch core has called this function with `object`
    // as a callback. The `Object` is a local variable, so it is gone when this returns.
    let object = unsafe { Object::from_raw(object) };

    from_result(|| C::pre_patch(&object).map(|()| 0))
}

/// # Safety
///
/// To be called by the livepatch core only, as `post_patch` of `struct klp_callbacks`: with an
/// `object` that is valid, and stays so, until this returns.
unsafe extern "C" fn post_patch<C: Callbacks>(object: *mut bindings::klp_object) {
    // SAFETY: By the safety requirements, the livepatch core has called this function with `object`
    // as a callback. The `Object` is a temporary value, so it is gone when this returns.
    C::post_patch(&unsafe { Object::from_raw(object) });
}

/// # Safety
///
/// To be called by the livepatch core only, as `pre_unpatch` of `struct klp_callbacks`: with an
/// `object` that is valid, and stays so, until this returns.
unsafe extern "C" fn pre_unpatch<C: Callbacks>(object: *mut bindings::klp_object) {
    // SAFETY: By the safety requirements, the livepatch core has called this function with `object`
    // as a callback. The `Object` is a temporary value, so it is gone when this returns.
    C::pre_unpatch(&unsafe { Object::from_raw(object) });
}

/// # Safety
///
/// To be called by the livepatch core only, as `post_unpatch` of `struct klp_callbacks`: with an
/// `object` that is valid, and stays so, until this returns.
unsafe extern "C" fn post_unpatch<C: Callbacks>(object: *mut bindings::klp_object) {
    // SAFETY: By the safety requirements, the livepatch core has called this function with `object`
    // as a callback. The `Object` is a temporary value, so it is gone when this returns.
    C::post_unpatch(&unsafe { Object::from_raw(object) });
}

/// What state a module is in.
///
/// C header: [`include/linux/module.h`](srctree/include/linux/module.h)
///
/// # Examples
///
/// ```
/// use kernel::livepatch::{
///     ModuleState,
///     Object, //
/// };
///
/// /// Is `object` just being loaded?
/// fn is_new(object: &Object<'_>) -> bool {
///     object.module_state() == Some(ModuleState::Coming)
/// }
/// # let _ = is_new;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleState {
    /// Its init function has run.
    Live,
    /// It is complete, and its init function has not run to its end.
    Coming,
    /// It is going away.
    Going,
    /// It is still being set up.
    Unformed,
}

/// A kernel object that is being patched or unpatched: the argument of all [`Callbacks`].
///
/// # Invariants
///
/// `raw` is what the livepatch core has called a callback with, that callback has not returned
/// during `'a`, and this value has not left its thread. So, during `'a`, this thread holds the lock
/// of the livepatch core, `raw` is valid, and the kernel object is there: `raw->mod` is null for
/// `vmlinux`, and otherwise a valid module.
///
/// # Examples
///
/// See [`Callbacks`].
pub struct Object<'a> {
    // The raw pointer makes this neither `Send` nor `Sync`.
    raw: *mut bindings::klp_object,
    _callback: PhantomData<&'a ()>,
}

impl<'a> Object<'a> {
    /// # Safety
    ///
    /// The livepatch core must have called the current function with `raw` as a callback, and that
    /// must not return during `'a`.
    unsafe fn from_raw(raw: *mut bindings::klp_object) -> Self {
        // INVARIANT: By the safety requirements. The lock is held while a callback runs, and
        // callbacks are called for objects that are there.
        Self {
            raw,
            _callback: PhantomData,
        }
    }

    /// The module that this is about; `None` for `vmlinux`.
    fn module(&self) -> Option<*const bindings::module> {
        // SAFETY: By the type invariants, `raw` is valid, and this thread holds the lock of the
        // livepatch core, under which alone `mod` changes. So nobody writes it now.
        let module = unsafe { (*self.raw).mod_ };

        (!module.is_null()).then_some(module.cast_const())
    }

    /// Whether this is `vmlinux`, the kernel without modules.
    pub fn is_vmlinux(&self) -> bool {
        self.module().is_none()
    }

    /// The name of the module, or `vmlinux`.
    pub fn name(&self) -> &CStr {
        match self.module() {
            None => c"vmlinux",
            // SAFETY: `name` is an array in the module, which by the type invariants is valid for
            // as long as `self` is: so for as long as the result. The module loader has made sure
            // that there is a NUL in it, and nobody changes it afterwards.
            Some(module) => unsafe { CStr::from_char_ptr((&raw const (*module).name).cast()) },
        }
    }

    /// The state of the module; `None` for `vmlinux`.
    pub fn module_state(&self) -> Option<ModuleState> {
        let module = self.module()?;
        // SAFETY: `state` is a field of the module, which is valid by the type invariants. The
        // module loader may change it meanwhile: hence the volatile access, like `READ_ONCE()`. It
        // is an integer for Rust, so that any value is valid.
        let state = unsafe { (&raw const (*module).state).read_volatile() };

        Some(match state {
            bindings::module_state_MODULE_STATE_LIVE => ModuleState::Live,
            bindings::module_state_MODULE_STATE_COMING => ModuleState::Coming,
            bindings::module_state_MODULE_STATE_GOING => ModuleState::Going,
            _ => ModuleState::Unformed,
        })
    }
}
