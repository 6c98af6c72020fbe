// SPDX-License-Identifier: GPL-2.0

//! Kernel live patching, for the authors of livepatch modules.
//!
//! A livepatch is a module that redirects calls of functions of the running kernel to functions of
//! its own. It hands the livepatch core a description: which functions of which kernel objects
//! (`vmlinux` or modules), and what takes their place. In Rust, the [`livepatch!`] macro writes
//! that description and the module around it, and [`#[replacement]`](macro@replacement) turns a
//! Rust function into one that C code can be redirected to. Few patch authors need more of this
//! module than these two.
//!
//! The description is made of the structures that a livepatch written in C hands over too. It does
//! not matter in which language the core itself is written.
//!
//! | here | in C | |
//! |---|---|---|
//! | [`Func`] | `struct klp_func` | which function, and by what |
//! | [`ObjectDesc`] | `struct klp_object` | where these are |
//! | [`Patch`] | `struct klp_patch` | all that is patched at once |
//! | [`List`] | an array of functions, objects or states | what belongs together |
//! | [`Callbacks`], [`Object`] | `struct klp_callbacks`, their argument | what else to do |
//! | [`Shadow`] | `klp_shadow_*()` | data for objects of the kernel |
//! | [`State`], [`StateDesc`] | `struct klp_state` | data to hand on |
//! | `Registered`, of the Rust core only | `klp_register_patch()` etc. | coming and going |
//!
//! The core keeps its own state in these structures: list heads, kobjects, work items. So they live
//! in writable `static`s of the livepatch module, never move, and nothing here gives access to
//! their insides.
//!
//! # What a livepatch cannot do
//!
//! It cannot call the function that it replaces: the call would come back to the replacement, or,
//! if it were made past the first instruction, run code that the livepatch core believes nobody
//! runs. Nor can it call the replacement in the livepatch below it, which may be gone. A
//! replacement says all that has to be done. If most of it is what the old function does, then this
//! is a copy of it; or else, patch the function that it calls.
//!
//! It cannot panic and go on: there is no unwinding in the kernel. A panic in a replacement is a
//! `BUG()` like any other.
//!
//! C header: [`include/linux/livepatch.h`](srctree/include/linux/livepatch.h)
//!
//! [`livepatch!`]: macro@livepatch
//!
//! # Examples
//!
//! A whole livepatch module:
//!
// This example is `ignore`d because a livepatch can only be a loadable module, and documentation
// tests are built into the kernel. `samples/livepatch/rust_livepatch_sample.rs` is its compiled
// twin.
//! ```ignore
//! use kernel::{
//!     livepatch::{
//!         livepatch,
//!         replacement, //
//!     },
//!     prelude::*,
//!     seq_file::SeqFile,
//!     seq_print, //
//! };
//!
//! livepatch! {
//!     name: "my_livepatch",
//!     authors: ["Rust for Linux Contributors"],
//!     description: "My very own livepatch!",
//!     license: "GPL",
//!     objects: {
//!         vmlinux: {
//!             cmdline_proc_show => my_cmdline_proc_show,
//!         },
//!     },
//! }
//!
//! #[replacement]
//! fn my_cmdline_proc_show(m: &SeqFile, _v: *mut c_void) -> Result {
//!     seq_print!(m, "this has been live patched\n");
//!     Ok(())
//! }
//! ```

use crate::{
    bindings,
    error::{
        to_result,
        Result, //
    },
    ffi::c_char,
    str::{
        as_char_ptr_in_const_context,
        CStr, //
    },
    types::Opaque,
    ThisModule, //
};

mod callbacks;
mod list;
mod replacement;
mod shadow;
mod state;

pub use self::{
    callbacks::{
        Callbacks,
        ModuleState,
        Object, //
    },
    list::{
        Descriptor,
        List, //
    },
    replacement::{
        Arg,
        HasPrototype,
        Replacement,
        Ret, //
    },
    shadow::{
        ReadableShadowData,
        Shadow,
        ShadowData, //
    },
    state::{
        PreviousState,
        State,
        StateDesc, //
    },
};

#[doc(hidden)]
pub use self::{
    replacement::{
        has_prototype,
        keep_frame,
        Scope, //
    },
    shadow::{
        FreeShadows,
        OwnShadows, //
    },
};

pub use macros::{
    livepatch,
    livepatch_replacement as replacement, //
};

/// A function to be patched: its name, and the function that takes its place.
///
/// # Invariants
///
/// The part of the wrapped `struct klp_func` that belongs to the author of the livepatch is set:
/// `old_name` is a NUL-terminated string and `new_func` a function, both valid for as long as the
/// module that defines them is loaded. The rest is zero until the livepatch core takes over.
///
/// # Examples
///
/// ```
/// use kernel::{
///     livepatch::{
///         replacement,
///         Func, //
///     },
///     prelude::*, //
/// };
///
/// #[replacement]
/// fn always_three(_unused: *mut c_void) -> c_int {
///     3
/// }
///
/// // SAFETY:
/// // - `always_three` has the prototype of `int some_function(void *unused)`.
/// // - Any value meets the requirements of a `*mut c_void`.
/// // - The callers of `some_function()` do not depend on what it returns or does.
/// static FUNC: Func = unsafe { Func::new::<always_three>(c"some_function", 0) };
/// # let _ = &FUNC;
/// ```
#[repr(transparent)]
pub struct Func(Opaque<bindings::klp_func>);

// SAFETY: `Func` has no method that takes a `&Func`. All that one can do with it is to hand it to
// the livepatch core, as part of a `Patch`, and that accesses it with its own lock held.
unsafe impl Sync for Func {}

// SAFETY:
// - `Func` is a transparent wrapper of an `Opaque<klp_func>`.
// - `klp_for_each_func_static()` ends where `old_name`, `new_func` and `old_sympos` are all zero.
//   By the type invariants, `old_name` of a `Func` is a string, so it is not null.
unsafe impl Descriptor for Func {
    type Raw = bindings::klp_func;
}

impl Func {
    /// Describes that `R` takes the place of the function called `old_name`.
    ///
    /// If several functions of that name exist in the same kernel object, then `old_sympos` says
    /// which one is meant: 1 for the first one in the order of `kallsyms`, and so on. 0 is for a
    /// name that exists once; the livepatch fails to load if there are more.
    ///
    /// # Safety
    ///
    /// From the moment when a [`Patch`] with this function is enabled, `R` runs instead of the
    /// function `old_name` of the [`ObjectDesc`] that this is part of. Therefore:
    ///
    /// - The parameters and the return type of `R` must be those of that function, in number, in
    ///   order and in type. See [`Arg`] and [`Ret`] for which type stands for which type of C.
    /// - Every value that a caller of that function may pass must meet the requirements of the type
    ///   of that parameter of `R`, for as long as the call lasts. If `R` is an `unsafe fn`, then
    ///   the values must meet its requirements, too.
    /// - `R` must do everything that the callers of that function rely on.
    pub const unsafe fn new<R: Replacement>(old_name: &'static CStr, old_sympos: usize) -> Self {
        // INVARIANT: `old_name` is a NUL-terminated string, and by the contract of `Replacement`
        // `R::FUNCTION` is a function. Both are `'static`, that is, they last as long as the module
        // does. `zeroed()` is for the rest.
        Self(Opaque::new(bindings::klp_func {
            old_name: as_char_ptr_in_const_context(old_name),
            new_func: R::FUNCTION,
            old_sympos,
            ..pin_init::zeroed()
        }))
    }
}

/// A kernel object with functions to be patched: `vmlinux` or a module.
///
/// # Invariants
///
/// The part of the wrapped `struct klp_object` that belongs to the author of the livepatch is set:
/// `funcs` is a list with an end, `name` is either null or a NUL-terminated string, and both are
/// valid for as long as the module that defines them is loaded. The rest is zero until the
/// livepatch core takes over.
///
/// # Examples
///
/// See [`Patch`].
#[repr(transparent)]
pub struct ObjectDesc(Opaque<bindings::klp_object>);

// SAFETY: `ObjectDesc` has no method that takes a `&ObjectDesc`. All that one can do with it is to
// hand it to the livepatch core, as part of a `Patch`, and that accesses it with its own lock held.
unsafe impl Sync for ObjectDesc {}

// SAFETY:
// - `ObjectDesc` is a transparent wrapper of an `Opaque<klp_object>`.
// - `klp_for_each_object_static()` ends where `funcs` and `name` are both null. By the type
//   invariants, `funcs` of an `ObjectDesc` is a list, so it is not null.
unsafe impl Descriptor for ObjectDesc {
    type Raw = bindings::klp_object;
}

impl ObjectDesc {
    /// Describes that `funcs` are functions of `vmlinux`, that is, of the kernel without modules.
    pub const fn vmlinux<const N: usize>(funcs: &'static List<Func, N>) -> Self {
        Self::new(core::ptr::null(), funcs)
    }

    /// Describes that `funcs` are functions of the module called `name`.
    ///
    /// That module does not need to be loaded. If it is loaded later, then it is patched before any
    /// of its code runs.
    pub const fn module<const N: usize>(
        name: &'static CStr,
        funcs: &'static List<Func, N>,
    ) -> Self {
        Self::new(as_char_ptr_in_const_context(name), funcs)
    }

    /// `name` must be either null or what is left of a `&'static CStr`.
    const fn new<const N: usize>(name: *const c_char, funcs: &'static List<Func, N>) -> Self {
        // INVARIANT: `name` is as required by the callers above. By its type invariants, `funcs`
        // is a list with an end. Both are `'static`. `zeroed()` is for the rest.
        Self(Opaque::new(bindings::klp_object {
            name,
            funcs: funcs.as_ptr(),
            ..pin_init::zeroed()
        }))
    }

    /// Adds that `C` is to be called before and after this object is patched and unpatched.
    pub const fn with_callbacks<C: Callbacks>(self) -> Self {
        // SAFETY: The pointer is to the `klp_object` in `self`, which is initialised, as `new()`
        // has made it. `self` was passed by value, so nobody else accesses it.
        unsafe { (*self.0.get()).callbacks = callbacks::table::<C>() };
        self
    }
}

/// A livepatch: everything that is patched, and unpatched, together.
///
/// The [`livepatch!`](macro@livepatch) macro defines it and enables it; this type is what that
/// macro is made of.
///
/// # Invariants
///
/// The part of the wrapped `struct klp_patch` that belongs to the author of the livepatch is set:
/// `objs` is a list with an end, and so is `states` if it is not null, valid for as long as the
/// module that defines them is loaded. The rest is zero until the livepatch core takes over.
///
/// # Examples
///
/// ```
/// use kernel::{
///     livepatch::{
///         replacement,
///         Func,
///         List,
///         ObjectDesc,
///         Patch, //
///     },
///     prelude::*, //
/// };
///
/// # // SAFETY: This is built into the kernel, and the right `THIS_MODULE` of that is null.
/// # const THIS_MODULE: ThisModule = unsafe { ThisModule::from_ptr(core::ptr::null_mut()) };
/// #[replacement]
/// fn no_errors(_code: c_int) -> Result {
///     Ok(())
/// }
///
/// static FUNCS: List<Func, 2> = List::new([
///     // SAFETY:
///     // - `no_errors` has the prototype of `int some_function(int code)`.
///     // - Any value meets the requirements of a `c_int`.
///     // - `some_function()` checks a code and has no other effect. Its callers do not rely on
///     //   getting errors.
///     unsafe { Func::new::<no_errors>(c"some_function", 0) },
///     // SAFETY: The second function of that name is `int other_function(int code)`. All that is
///     // said of `some_function()` above is true of it.
///     unsafe { Func::new::<no_errors>(c"other_function", 2) },
/// ]);
///
/// static OBJECTS: List<ObjectDesc, 1> = List::new([ObjectDesc::module(c"some_module", &FUNCS)]);
///
/// static PATCH: Patch = Patch::new(&THIS_MODULE, &OBJECTS);
/// # let _ = &PATCH;
/// ```
#[repr(transparent)]
pub struct Patch(Opaque<bindings::klp_patch>);

// SAFETY: The methods that take a `&Patch` are `enable()` and `register()`. They hand it to the
// livepatch core, which accesses it with its own lock held. That this happens once is a safety
// requirement of both.
unsafe impl Sync for Patch {}

impl Patch {
    /// Describes a livepatch of `objects`, of which there must be at least one, by `module`, which
    /// is the module that all of this is defined in.
    pub const fn new<const N: usize>(
        module: &'static ThisModule,
        objects: &'static List<ObjectDesc, N>,
    ) -> Self {
        const { assert!(N > 0, "a livepatch needs at least one object") };

        // INVARIANT: By its type invariants, `objects` is a list with an end. It is `'static`.
        // `zeroed()` is for the rest.
        Self(Opaque::new(bindings::klp_patch {
            mod_: module.as_ptr(),
            objs: objects.as_ptr(),
            ..pin_init::zeroed()
        }))
    }

    /// Makes this one that replaces all others: it is enabled, and in the same transition all
    /// livepatches that were there before are disabled.
    pub const fn replace(self) -> Self {
        // SAFETY: The pointer is to the `klp_patch` in `self`, which is initialised, as `new()` has
        // made it. `self` was passed by value, so nobody else accesses it.
        unsafe { (*self.0.get()).replace = true };
        self
    }

    /// Adds the states that this livepatch has.
    pub const fn with_states<const N: usize>(self, states: &'static List<StateDesc, N>) -> Self {
        // INVARIANT: By its type invariants, `states` is a list with an end. It is `'static`.
        // SAFETY: The pointer is to the `klp_patch` in `self`, which is initialised, as `new()` has
        // made it. `self` was passed by value, so nobody else accesses it.
        unsafe { (*self.0.get()).states = states.as_ptr() };
        self
    }

    /// Starts to redirect the functions.
    ///
    /// When this returns, all functions are in place and every task of the system is on its way to
    /// use them. Writing `0` to `/sys/kernel/livepatch/<module>/enabled` takes it all back;
    /// thereafter the module can be unloaded.
    ///
    /// On an error, nothing has changed.
    ///
    /// # Safety
    ///
    /// - This must be called from the init function of the module that was given to
    ///   [`Patch::new()`]. That function must succeed if this does, and fail if this fails.
    /// - `self` and all lists that belong to it must be `static`s of that module.
    /// - No list may be part of this patch more than once, or part of another patch.
    /// - This must not be called again for the same patch, even if the first call has failed.
    pub unsafe fn enable(&'static self) -> Result {
        // SAFETY: `klp_enable_patch()` demands a valid description that stays in place, and that
        // nobody else changes, for as long as the livepatch core uses it.
        // - It is valid by the type invariants: its lists have ends. The rest is zero, because by
        //   the last two requirements of this function neither the patch nor a list of it has been
        //   handed over before.
        // - By the first two requirements, it is in `static`s of the module that it names. The
        //   livepatch core holds a reference to that module while it uses the description. If the
        //   call fails, then it is done with the description when it returns.
        // - Nothing of this file changes a `klp_patch` behind a `&Patch`.
        to_result(unsafe { bindings::klp_enable_patch(self.0.get()) })
    }

    /// Makes the livepatch core know this livepatch, without using it yet.
    ///
    /// Thereafter it can be enabled and disabled as often as wanted, by what this returns or
    /// through `/sys/kernel/livepatch/<module>/enabled`.
    ///
    /// On an error, nothing has changed.
    ///
    /// # Safety
    ///
    /// - `self` and all lists that belong to it must be `static`s of the module that was given to
    ///   [`Patch::new()`], and no list may be part of this patch more than once, or part of another
    ///   patch.
    /// - This must be called from the init function of that module. What this returns must be
    ///   dropped before the module is gone, while the livepatch is disabled, and not in a livepatch
    ///   callback. If the init function fails, then it must not have enabled the livepatch.
    /// - Neither this nor [`enable()`](Self::enable) may be called again for the same patch.
    #[cfg(CONFIG_LIVEPATCH_RUST)]
    #[inline]
    pub unsafe fn register(&'static self) -> Result<Registered> {
        // SAFETY: `klp_register_patch()` demands a valid description that stays in place, and that
        // nobody else changes, until `klp_unregister_patch()`.
        // - It is valid by the type invariants: its lists have ends. The rest is zero, because by
        //   the first and the last requirement of this function neither a list of it nor the patch
        //   has been handed over before.
        // - By the first requirement, it is in `static`s of a module. By the second, the result is
        //   dropped before that module is gone, and dropping it calls `klp_unregister_patch()`.
        // - Nothing of this file changes a `klp_patch` behind a `&Patch`.
        to_result(unsafe { bindings::klp_register_patch(self.0.get()) })?;

        // INVARIANT: This was just registered.
        Ok(Registered { patch: self })
    }
}

/// A livepatch that the livepatch core knows, enabled or not.
///
/// Dropping it makes the livepatch core forget the livepatch. It must be disabled then, as it is
/// when its module is unloaded: an enabled livepatch keeps its module loaded. It must not be
/// dropped in a livepatch callback.
///
/// Only the livepatch core in Rust has this, `CONFIG_LIVEPATCH_RUST`.
///
/// # Invariants
///
/// `patch` is registered.
///
/// # Examples
///
/// ```
/// # #[cfg(CONFIG_LIVEPATCH_RUST)]
/// # {
/// use kernel::{
///     livepatch::Registered,
///     prelude::*, //
/// };
///
/// /// For a system that must not be patched during office hours.
/// fn switch(patch: &Registered, closed: bool) -> Result {
///     if closed {
///         patch.enable()
///     } else {
///         patch.disable()
///     }
/// }
/// # let _ = switch;
/// # }
/// ```
#[cfg(CONFIG_LIVEPATCH_RUST)]
pub struct Registered {
    patch: &'static Patch,
}

#[cfg(CONFIG_LIVEPATCH_RUST)]
impl Registered {
    /// Starts to redirect the functions.
    ///
    /// May sleep. Must not be called from a livepatch callback, and fails with `EBUSY` then. Fails
    /// with `EINVAL` if the livepatch is enabled.
    #[inline]
    pub fn enable(&self) -> Result {
        // SAFETY: `klp_enable_patch()` demands a valid description that stays in place. By the type
        // invariants, `patch` is registered, as which it has been found valid, and it stays
        // registered during this call, because only dropping `self` ends that.
        to_result(unsafe { bindings::klp_enable_patch(self.patch.0.get()) })
    }

    /// Starts to take back what [`enable()`](Self::enable) does.
    ///
    /// When this returns, the transition has begun; the livepatch can be enabled again at any time.
    ///
    /// May sleep. Must not be called from a livepatch callback, and fails with `EBUSY` then. Fails
    /// with `EBUSY` if another livepatch was enabled after this one, and with `EINVAL` if this one
    /// is not enabled.
    #[inline]
    pub fn disable(&self) -> Result {
        // SAFETY: `klp_disable_patch()` demands a description that the livepatch core knows. By the
        // type invariants, `patch` is registered, and it stays so during this call, because only
        // dropping `self` ends that.
        to_result(unsafe { bindings::klp_disable_patch(self.patch.0.get()) })
    }
}

#[cfg(CONFIG_LIVEPATCH_RUST)]
impl Drop for Registered {
    #[inline]
    fn drop(&mut self) {
        let patch = self.patch.0.get();

        // SAFETY: `klp_unregister_patch()` demands a description that the livepatch core knows. By
        // the type invariants, `patch` is registered. That this ends here breaks no invariant,
        // because `self` is not used again.
        let ret = unsafe { bindings::klp_unregister_patch(patch) };

        // Against the contract of `register()`, this was dropped while the livepatch was enabled,
        // or in a callback. The livepatch core goes on using the `static`s of the module.
        if crate::warn_on!(ret != 0) {
            // What can be done is to keep a module that nobody removes yet: from now on, `rmmod`
            // finds it in use, for ever. If it is on its way out, or its init function is about to
            // fail, then nothing stops that.
            // SAFETY: `patch` points to a `static`, and nobody writes its `mod`. That is the module
            // which the `static` is part of, by the first requirement of `register()`. By the
            // second, this runs before that module is gone: so it is valid, as `__module_get()`
            // demands.
            unsafe { bindings::__module_get((*patch).mod_) };
            crate::pr_err!("a livepatch that is in use was dropped\n");
        }
    }
}
