// SPDX-License-Identifier: GPL-2.0

//! Lists as the livepatch core reads them: arrays whose last element is zero.

use core::{
    mem::MaybeUninit,
    ptr, //
};

/// A description that the livepatch core finds in a [`List`].
///
/// # Safety
///
/// - The type must be a transparent wrapper of an [`Opaque<Self::Raw>`](crate::types::Opaque).
/// - The livepatch core must take a `Raw` that is all zero for the end of a list, and must not take
///   any value of the type for that.
///
/// # Examples
///
/// [`Func`](super::Func), [`ObjectDesc`](super::ObjectDesc) and [`StateDesc`](super::StateDesc) are
/// such descriptions.
pub unsafe trait Descriptor {
    /// The structure in C.
    type Raw;
}

/// All functions of an object, all objects of a livepatch, or all of its states.
///
/// # Invariants
///
/// In memory, this is an array of `N + 1` `T::Raw` of which the last one, and no other, marks the
/// end.
///
/// # Examples
///
/// See [`Patch`](super::Patch) and [`State`](super::State).
#[repr(C)]
pub struct List<T: Descriptor, const N: usize> {
    elements: [T; N],
    end: MaybeUninit<T>,
}

impl<T: Descriptor, const N: usize> List<T, N> {
    /// The C side walks the list in steps of its own type.
    const LAYOUT: () = assert!(size_of::<Self>() == (N + 1) * size_of::<T::Raw>());

    /// Makes a list of `elements`.
    pub const fn new(elements: [T; N]) -> Self {
        const { Self::LAYOUT };

        // INVARIANT: Because of `repr(C)` and because both fields have the same alignment, `end`
        // immediately follows `elements`. By the contract of `Descriptor`, a `T` is a `T::Raw` in
        // memory, no element is taken for the end, and `end`, which is all zero, is.
        Self {
            elements,
            end: MaybeUninit::zeroed(),
        }
    }

    /// Returns an element of the list.
    ///
    /// # Panics
    ///
    /// If there is no such element. In a constant or a static, that is a compile error.
    pub const fn get(&'static self, index: usize) -> &'static T {
        &self.elements[index]
    }

    /// Returns the list as C sees it.
    pub(super) const fn as_ptr(&'static self) -> *mut T::Raw {
        // CAST: By the contract of `Descriptor`, a `T` is a transparent wrapper of a `T::Raw`,
        // inside an `UnsafeCell` that allows it to be written through a shared reference, and by
        // the type invariants `self` is an array of it. A pointer to the whole of `self` may be
        // used for every element.
        ptr::from_ref(self).cast_mut().cast::<T::Raw>()
    }
}
