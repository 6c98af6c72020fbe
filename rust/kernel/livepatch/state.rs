// SPDX-License-Identifier: GPL-2.0

//! States: what livepatches have done to the system, for those that come after them.
//!
//! See
//! [Documentation/livepatch/system-state.rst](srctree/Documentation/livepatch/system-state.rst).

use super::Object;
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

// SAFETY: All that one can do with a `&StateDesc` is to hand it to the livepatch core, which only
// reads it, or to a `State`, which accesses it under the lock of the livepatch core.
unsafe impl Sync for StateDesc {}

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

/// The states that a livepatch has.
///
/// # Invariants
///
/// In memory, this is an array of `N + 1` `struct klp_state` of which the last one, and no other,
/// marks the end.
///
/// # Examples
///
/// See [`State`].
#[repr(C)]
pub struct StateList<const N: usize> {
    states: [StateDesc; N],
    end: StateDesc,
}

impl<const N: usize> StateList<N> {
    /// Makes a list of `states`.
    pub const fn new(states: [StateDesc; N]) -> Self {
        // INVARIANT: Because of `repr(C)` and because both fields have the same alignment, `end`
        // immediately follows `states`. By the type invariants, no element of `states` has the
        // number 0, and that is what `end` has.
        Self {
            states,
            end: StateDesc(Opaque::zeroed()),
        }
    }

    /// Returns a state of the list.
    pub const fn get(&'static self, index: usize) -> &'static StateDesc {
        &self.states[index]
    }

    /// Returns the list as C sees it.
    pub(super) const fn as_ptr(&'static self) -> *mut bindings::klp_state {
        // CAST: `StateDesc` is a transparent wrapper of `struct klp_state`, inside an `UnsafeCell`
        // that allows it to be written through a shared reference, and by the type invariants
        // `self` is an array of it. A pointer to the whole of `self` may be used for every element.
        ptr::from_ref(self).cast_mut().cast::<bindings::klp_state>()
    }
}

// The C side walks the list in steps of its own type.
const _: () = assert!(size_of::<StateList<3>>() == 4 * size_of::<bindings::klp_state>());

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
///         Object,
///         State,
///         StateDesc,
///         StateList, //
///     },
///     prelude::*, //
/// };
///
/// // `livepatch!` writes this for `states: { LIMIT: u32 = 0x7e57 version 2 }`.
/// static STATES: StateList<1> = StateList::new([StateDesc::new(0x7e57, 2)]);
/// // SAFETY: No other livepatch has this state, and this is the only value for it.
/// static LIMIT: State<u32> = unsafe { State::new(STATES.get(0)) };
///
/// struct KeepLimit;
///
/// # struct Module;
/// # impl kernel::ModuleMetadata for Module {
/// #     const NAME: &'static CStr = c"livepatch_doctest";
/// #     // SAFETY: This is built into the kernel: its `THIS_MODULE` is null.
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

        // INVARIANT: By the safety requirements.
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
        // SAFETY: The state is valid, and its number never changes.
        unsafe { (*self.raw().as_ptr()).id }
    }

    /// The version in which this livepatch has this state.
    pub fn version(&self) -> c_uint {
        // SAFETY: The state is valid, and its version never changes.
        unsafe { (*self.raw().as_ptr()).version }
    }

    /// Returns the data, if there is any.
    pub fn get(&self, object: &Object<'_>) -> Option<T> {
        // SAFETY: This is a state with this number.
        unsafe { read(self.raw(), object) }
    }

    /// Stores the data.
    ///
    /// `flags` are for its memory, which this allocates if there was no data before. Fails only
    /// then.
    pub fn set(&self, _object: &Object<'_>, value: T, flags: Flags) -> Result {
        // SAFETY: The state is valid. `_object` proves that the lock of the livepatch core is held,
        // under which alone the data is accessed.
        let data = unsafe { &mut (*self.raw().as_ptr()).data };

        if data.is_null() {
            *data = KBox::into_raw(KBox::new(value, flags)?).cast();
        } else {
            // SAFETY: By the type invariants, this is a pointer to a `T`.
            unsafe { data.cast::<T>().write(value) };
        }
        Ok(())
    }

    /// Takes the data away and frees its memory.
    pub fn take(&self, _object: &Object<'_>) -> Option<T> {
        // SAFETY: As in `set()`.
        let data = unsafe { &mut (*self.raw().as_ptr()).data };
        let data = core::mem::replace(data, ptr::null_mut()).cast::<T>();

        if data.is_null() {
            return None;
        }
        // SAFETY: By the type invariants, this is a pointer to a `T` in memory from `kmalloc()`,
        // which belongs to this state: so now to this function.
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
        // SAFETY: `object` proves that this is called from a callback, and callbacks of `vmlinux`
        // run during a transition.
        let previous = NonNull::new(unsafe { bindings::klp_get_prev_state(self.id()) });
        let Some(state) = previous else {
            return Ok(None);
        };

        // SAFETY: The livepatch core found this state, and it stays until the callback returns, for
        // no livepatch can go while the lock of the livepatch core is held. Under that lock alone
        // the data is accessed.
        let data = unsafe { (*state.as_ptr()).data };

        // SAFETY: By the requirements of `new()`, data that is there is memory from `kmalloc()`,
        // for which this says how much there is.
        if !data.is_null() && unsafe { bindings::ksize(data) } < size_of::<T>() {
            return Err(EOVERFLOW);
        }

        // INVARIANT: The state is valid, see above, and its data is a `T` by the type invariants.
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
        // SAFETY: As in `set()`.
        let own = unsafe { &raw mut (*self.raw().as_ptr()).data };
        // SAFETY: The same goes for the other state, which is valid by the invariants of its type.
        let other = unsafe { &raw mut (*previous.state.as_ptr()).data };

        // SAFETY: Both pointers are valid, see above.
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
        // SAFETY: The state is valid, and its version never changes.
        unsafe { (*self.state.as_ptr()).version }
    }

    /// Returns the data, if there is any.
    pub fn get(&self) -> Option<T> {
        // SAFETY: By the type invariants.
        unsafe { read(self.state, self.object) }
    }
}

/// # Safety
///
/// `state` must be valid, and its number must be that of a `State<T>`.
unsafe fn read<T: Copy>(state: NonNull<bindings::klp_state>, _object: &Object<'_>) -> Option<T> {
    // SAFETY: By the safety requirements. `_object` proves that the lock of the livepatch core is
    // held, under which alone the data is accessed.
    let data = unsafe { (*state.as_ptr()).data }.cast::<T>();

    // SAFETY: By the invariants of `State`, this is a pointer to a `T` if it is not null.
    (!data.is_null()).then(|| unsafe { data.read() })
}
