// SPDX-License-Identifier: GPL-2.0

//! States: what livepatches have done to the system, for those that come after them.
//!
//! See
//! [Documentation/livepatch/system-state.rst](srctree/Documentation/livepatch/system-state.rst).

use super::{
    Descriptor,
    Object, //
};
use crate::{
    alloc::{
        Flags,
        KBox, //
    },
    bindings,
    error::{
        code::*,
        Result, //
    },
    ffi::c_uint,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    types::Opaque,
};
use core::{
    marker::PhantomData,
    ptr::{
        self,
        NonNull, //
    },
};

/// One state in the description of a livepatch: a number and a version.
///
/// # Invariants
///
/// `id` of the wrapped `struct klp_state` is not 0. `data` is null, or what a [`State`] has stored
/// there.
///
/// # Examples
///
/// See [`State`].
#[repr(transparent)]
pub struct StateDesc(Opaque<bindings::klp_state>);

// SAFETY: `StateDesc` has no method that takes a `&StateDesc`. All that one can do with it is to
// hand it to the livepatch core, which only reads it, or to a `State`. That accesses `data` under
// the lock of the livepatch core, and only reads the rest.
unsafe impl Sync for StateDesc {}

// SAFETY:
// - `StateDesc` is a transparent wrapper of an `Opaque<klp_state>`.
// - The livepatch core ends a list of states where `id` is 0. By the type invariants, that of a
//   `StateDesc` is not.
unsafe impl Descriptor for StateDesc {
    type Raw = bindings::klp_state;
}

impl StateDesc {
    /// Describes the state with the number `id`, which must not be 0.
    pub const fn new(id: usize, version: c_uint) -> Self {
        assert!(id != 0, "0 cannot be the number of a state");

        // INVARIANT: `id` was just checked, and `data` is null.
        Self(Opaque::new(bindings::klp_state {
            id,
            version,
            data: ptr::null_mut(),
        }))
    }
}

/// A state of the system that a livepatch changes, with data of type `T`.
///
/// [`livepatch!`](macro@super::livepatch) declares one for each entry of its `states`. A livepatch
/// can only replace another one if it has all of its states, in the same version or a later one.
///
/// The data is for the [`Callbacks`](super::Callbacks), whose argument is the proof that the lock
/// of the livepatch core is held. It is a copy in memory of its own, which the successor of a
/// livepatch [`inherit`](Self::inherit)s. The modules come from different builds, and the first one
/// may be gone. Therefore `T` must be plain data: any bytes must be valid, and there must be no
/// padding. A `repr(C)` structure can be, and an integer is.
///
/// The version says what the state means, not which type the data has: that belongs to the number
/// and never changes. Data of another layout needs a state with another number. If a livepatch gets
/// that wrong, and the memory of the data that it finds is too small for a `T`, then nothing is
/// read, see [`previous()`](Self::previous). Other differences cannot be found.
///
/// # Invariants
///
/// - This is the only value for `desc`.
/// - The data of all states with this number is null, or a pointer to a `T` in memory from
///   `kmalloc()` which belongs to that state.
///
/// # Examples
///
/// ```
/// use kernel::{
///     livepatch::{
///         Callbacks,
///         List,
///         Object,
///         State,
///         StateDesc, //
///     },
///     prelude::*, //
/// };
///
/// // `livepatch!` writes this for `states: { LIMIT: u32 = 0x7e57 version 2 }`.
/// static STATES: List<StateDesc, 1> = List::new([StateDesc::new(0x7e57, 2)]);
/// // SAFETY:
/// // - This is the only value for the first element of the list.
/// // - No other livepatch has this state, so there is nobody to agree with.
/// static LIMIT: State<u32> = unsafe { State::new(STATES.get(0)) };
///
/// struct KeepLimit;
///
/// # struct Module;
/// # impl kernel::ModuleMetadata for Module {
/// #     const NAME: &'static CStr = c"livepatch_doctest";
/// #     // SAFETY: This is built into the kernel, and the right `THIS_MODULE` of that is null.
/// #     const THIS_MODULE: ThisModule =
/// #         unsafe { ThisModule::from_ptr(core::ptr::null_mut()) };
/// # }
/// #[vtable]
/// impl Callbacks for KeepLimit {
/// #   type OwnerModule = Module;
///     fn pre_patch(object: &Object<'_>) -> Result {
///         // Memory is allocated while one can still fail.
///         if LIMIT.previous(object)?.is_none() {
///             LIMIT.set(object, 4096, GFP_KERNEL)?;
///         }
///         Ok(())
///     }
///
///     fn post_patch(object: &Object<'_>) {
///         // From here on, the predecessor is not used any more.
///         if let Ok(true) = LIMIT.inherit(object) {
///             pr_info!("the limit stays {:?}\n", LIMIT.get(object));
///         }
///     }
///
///     fn post_unpatch(object: &Object<'_>) {
///         let _ = LIMIT.take(object);
///     }
/// }
/// # assert_eq!(LIMIT.id(), 0x7e57);
/// # assert_eq!(LIMIT.version(), 2);
/// # let _ = <KeepLimit as Callbacks>::HAS_POST_PATCH;
/// ```
pub struct State<T> {
    desc: &'static StateDesc,
    _data: PhantomData<fn(T) -> T>,
}

impl<T: Copy + FromBytes + AsBytes> State<T> {
    /// Gives the state `desc` a type for its data.
    ///
    /// # Safety
    ///
    /// - There must be no other value of this type for the same `desc`.
    /// - All livepatches that have a state with that number, in any version and in any language,
    ///   must agree that its data is either null or a pointer to a `T` in memory from `kmalloc()`.
    ///   Each of them must leave the data of another one alone, or take it away from it.
    pub const unsafe fn new(desc: &'static StateDesc) -> Self {
        // There would be no memory, and a pointer that C code does not know what to do with.
        const {
            assert!(
                size_of::<T>() != 0,
                "the data of a state cannot be of size 0"
            )
        };

        // INVARIANT: By the first safety requirement, this is the only value for `desc`. By the
        // second, the data of all states with its number is as the invariants say.
        Self {
            desc,
            _data: PhantomData,
        }
    }

    fn raw(&self) -> NonNull<bindings::klp_state> {
        NonNull::from(self.desc).cast()
    }

    /// The number of this state.
    pub fn id(&self) -> usize {
        // SAFETY: `raw()` points to the `klp_state` in `desc`, a `&'static`, which is valid and
        // initialised. Nobody writes its `id`.
        unsafe { (*self.raw().as_ptr()).id }
    }

    /// The version in which this livepatch has this state.
    pub fn version(&self) -> c_uint {
        // SAFETY: `raw()` points to the `klp_state` in `desc`, a `&'static`, which is valid and
        // initialised. Nobody writes its `version`.
        unsafe { (*self.raw().as_ptr()).version }
    }

    /// Returns the data, if there is any.
    pub fn get(&self, object: &Object<'_>) -> Option<T> {
        // SAFETY: `raw()` points to the `klp_state` in `desc`, a `&'static`, which is valid. Its
        // number is that of a `State<T>`, namely of this one.
        unsafe { read(self.raw(), object) }
    }

    /// Stores the data.
    ///
    /// `flags` are for its memory, which this allocates if there was no data before. Fails only
    /// then.
    pub fn set(&self, _object: &Object<'_>, value: T, flags: Flags) -> Result {
        // SAFETY: `raw()` points to the `klp_state` in `desc`, which is valid. `_object` proves
        // that this thread holds the lock of the livepatch core, under which alone `data` is
        // accessed. By the type invariants, this is the only value for `desc`, and in this
        // function, there is no other reference to the field.
        let data = unsafe { &mut (*self.raw().as_ptr()).data };

        if data.is_null() {
            *data = KBox::into_raw(KBox::new(value, flags)?).cast();
        } else {
            // SAFETY: By the type invariants, `data` points to a `T` in memory which belongs to
            // this state, as it is not null. The lock that `_object` stands for keeps others from
            // it.
            unsafe { data.cast::<T>().write(value) };
        }
        Ok(())
    }

    /// Takes the data away and frees its memory.
    pub fn take(&self, _object: &Object<'_>) -> Option<T> {
        // SAFETY: `raw()` points to the `klp_state` in `desc`, which is valid. `_object` proves
        // that this thread holds the lock of the livepatch core, under which alone `data` is
        // accessed. In this function, there is no other reference to the field.
        let data = unsafe { &mut (*self.raw().as_ptr()).data };
        let data = core::mem::replace(data, ptr::null_mut()).cast::<T>();

        if data.is_null() {
            return None;
        }
        // SAFETY: By the type invariants, `data` points to a `T` in memory from `kmalloc()`, as it
        // is not null, and that belongs to this state. Since the state has been told that it has
        // none, it belongs to this function, which passes it on. `T` is not of size 0, see `new()`.
        Some(*unsafe { KBox::from_raw(data) })
    }

    /// Finds this state in the livepatches that were there before the one in transition.
    ///
    /// The state belongs to the livepatch which has been enabled last, of those that have it: the
    /// one that is replaced, as a rule.
    ///
    /// States belong to whole livepatches, and the livepatch core knows a predecessor during a
    /// transition only. Callbacks for modules also run without one, when the module is loaded or
    /// unloaded. So this is for the callbacks of `vmlinux`; for others it fails with `EINVAL`.
    ///
    /// Fails with `EOVERFLOW` if the state has data and its memory is too small for a `T`: the
    /// other livepatch had another type for it. `pre_patch` should pass on that error, because
    /// nobody frees the data if its livepatch is replaced.
    pub fn previous<'a>(&self, object: &'a Object<'_>) -> Result<Option<PreviousState<'a, T>>> {
        if !object.is_vmlinux() {
            return Err(EINVAL);
        }
        // SAFETY: `klp_get_prev_state()` is for callbacks during a transition. `object` proves that
        // this is called from a callback, and those of `vmlinux` run during a transition only.
        let previous = NonNull::new(unsafe { bindings::klp_get_prev_state(self.id()) });
        let Some(state) = previous else {
            return Ok(None);
        };

        // SAFETY: `state` is what the livepatch core has found, in another livepatch: so it is
        // valid, and it stays until the callback returns, for no livepatch can go while the lock of
        // the livepatch core is held. `object` proves that this thread holds it. Under that lock
        // alone `data` is accessed.
        let data = unsafe { (*state.as_ptr()).data };

        // SAFETY: `ksize()` is for memory from `kmalloc()`. By the second requirement of `new()`,
        // that is what `data` of any state with this number points to, if it is not null.
        if !data.is_null() && unsafe { bindings::ksize(data) } < size_of::<T>() {
            return Err(EOVERFLOW);
        }

        // INVARIANT: The state is valid until the callback returns, see above, and so during `'a`.
        // It was found by the number of this `State<T>`.
        Ok(Some(PreviousState {
            state,
            object,
            _data: PhantomData,
        }))
    }

    /// Takes over the data of the [previous](Self::previous) state; without a copy, so that this
    /// needs no memory.
    ///
    /// This is for `post_patch` of a livepatch that [replaces](super::Patch::replace) the other
    /// one: from then on, that is not used any more. Before, the transition may be reversed, and
    /// the other one would have to go on without its data.
    ///
    /// Returns whether there was any. Fails with `EEXIST` if this state has data, or as
    /// [`previous()`](Self::previous) does.
    pub fn inherit(&self, object: &Object<'_>) -> Result<bool> {
        let Some(previous) = self.previous(object)? else {
            return Ok(false);
        };
        // SAFETY: `raw()` points to the `klp_state` in `desc`, a `&'static`, which is valid. Only
        // the address of the field is taken.
        let own = unsafe { &raw mut (*self.raw().as_ptr()).data };
        // SAFETY: By the invariants of `PreviousState`, its `state` is valid for as long as
        // `object` is borrowed. Only the address of the field is taken.
        let other = unsafe { &raw mut (*previous.state.as_ptr()).data };

        // SAFETY: `own` and `other` are fields of valid states, see above. `object` proves that
        // this thread holds the lock of the livepatch core, under which alone these fields are
        // accessed.
        unsafe {
            if !(*own).is_null() {
                return Err(EEXIST);
            }
            // Both states have the same number, so the data of both is a `T`. It belongs to one of
            // them.
            ptr::swap(own, other);
            Ok(!(*own).is_null())
        }
    }
}

/// A [`State`] as it is in a livepatch that was there before.
///
/// # Invariants
///
/// `state` is valid during `'a`, and its number is that of a `State<T>`.
///
/// # Examples
///
/// ```
/// use kernel::{
///     livepatch::{
///         Object,
///         State, //
///     },
///     prelude::*, //
/// };
///
/// fn old_limit(state: &State<u32>, object: &Object<'_>) -> Result<Option<u32>> {
///     match state.previous(object)? {
///         // The first version did not keep the limit.
///         Some(previous) if previous.version() >= 2 => Ok(previous.get()),
///         _ => Ok(None),
///     }
/// }
/// # let _ = old_limit;
/// ```
pub struct PreviousState<'a, T> {
    state: NonNull<bindings::klp_state>,
    object: &'a Object<'a>,
    _data: PhantomData<fn() -> T>,
}

impl<T: Copy + FromBytes + AsBytes> PreviousState<'_, T> {
    /// The version in which the other livepatch has this state.
    pub fn version(&self) -> c_uint {
        // SAFETY: By the type invariants, `state` is valid during `'a`. Nobody writes its
        // `version`.
        unsafe { (*self.state.as_ptr()).version }
    }

    /// Returns the data, if there is any.
    pub fn get(&self) -> Option<T> {
        // SAFETY: By the type invariants, `state` is valid during `'a`, and its number is that of a
        // `State<T>`.
        unsafe { read(self.state, self.object) }
    }
}

/// Returns a copy of the data of `state`, if there is any.
///
/// # Safety
///
/// `state` must be valid, and its number must be that of a `State<T>`.
unsafe fn read<T: Copy>(state: NonNull<bindings::klp_state>, _object: &Object<'_>) -> Option<T> {
    // SAFETY: By the safety requirements, `state` is valid. `_object` proves that this thread holds
    // the lock of the livepatch core, under which alone `data` is accessed.
    let data = unsafe { (*state.as_ptr()).data }.cast::<T>();

    // SAFETY: By the safety requirements, the number of `state` is that of a `State<T>`. By the
    // invariants of that, `data` points to a `T`, as it is not null when this is called. The same
    // lock keeps others from it.
    (!data.is_null()).then(|| unsafe { data.read() })
}
