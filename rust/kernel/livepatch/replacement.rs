// SPDX-License-Identifier: GPL-2.0

//! Rust functions that take the place of C functions.
//!
//! C code calls the function that it has always called, with the arguments and the calling
//! convention of C. The [`#[replacement]`](macro@super::replacement) attribute defines a function
//! that can be called like that, and that calls the author's function. This module has what that
//! needs: the translation of types.

use crate::{
    alloc::KBox,
    bindings,
    error::Result,
    ffi::{
        c_int,
        c_void, //
    },
    seq_file::SeqFile,
    sync::barrier::barrier,
    task::Task, //
};

/// A function that the livepatch core can redirect calls of C functions to.
///
/// Implemented by [`#[replacement]`](macro@super::replacement), on a type that has the name of the
/// function that the attribute is on.
///
/// # Safety
///
/// `FUNCTION` must be the address of a function of type `Prototype`, which has the C calling
/// convention. That function must stay on the stack while the code that it calls is running: no
/// tail calls.
///
/// # Examples
///
/// ```
/// use kernel::{
///     livepatch::{
///         replacement,
///         Replacement, //
///     },
///     prelude::*, //
/// };
///
/// #[replacement]
/// fn always_three() -> c_int {
///     3
/// }
///
/// // The function is an ordinary one for Rust code.
/// assert_eq!(always_three(), 3);
///
/// // What C code would be redirected to is a function of its own.
/// assert!(!<always_three as Replacement>::FUNCTION.is_null());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a replacement function",
    label = "this is not a function with the `#[replacement]` attribute"
)]
pub unsafe trait Replacement {
    /// The type of the function, as C code sees it: an `unsafe extern "C" fn`.
    type Prototype;

    /// The address of the function.
    const FUNCTION: *mut c_void;
}

/// A replacement function whose type, as C code sees it, is `Prototype`.
///
/// Implemented by [`#[replacement]`](macro@super::replacement). If the author of a livepatch writes
/// down the type of the function that is replaced, then [`livepatch!`](macro@super::livepatch)
/// compares the two.
///
/// # Examples
///
/// ```
/// use kernel::{
///     livepatch::{
///         replacement,
///         HasPrototype, //
///     },
///     prelude::*, //
/// };
///
/// // `int check(unsigned long address)`
/// #[replacement]
/// fn my_check(_address: usize) -> Result {
///     Ok(())
/// }
///
/// fn replaces_check<F: HasPrototype<unsafe extern "C" fn(usize) -> c_int>>() {}
///
/// replaces_check::<my_check>();
/// # assert!(my_check(0).is_ok());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has another prototype than the function that it replaces",
    label = "wrong prototype",
    note = "the function that is replaced was declared as `{Prototype}`"
)]
pub trait HasPrototype<Prototype> {}

/// Compiles if `F` has the prototype `P`.
#[doc(hidden)]
pub const fn has_prototype<F: HasPrototype<P>, P>() {}

/// The time of one call of a replacement function.
///
/// What a reference among its arguments points to is there for that long.
// It must be a local variable of the function that C calls. A temporary one would be promoted to a
// constant, and so would last forever.
#[doc(hidden)]
pub struct Scope;

/// A type that a replacement function can have as a parameter.
///
/// | in Rust | in C |
/// |---|---|
/// | `i8` ... `i64`, `u8` ... `u64`, [`c_int`] etc. | the integer type of the same size and sign |
/// | `isize`, `usize` | `long`, `unsigned long`, `ssize_t`, `size_t` |
/// | `bool` | `bool` |
/// | `*mut T`, `*const T` | a pointer |
/// | <code>&[SeqFile]</code> | `struct seq_file *`, not null, that this call is to print to |
/// | <code>&[Task]</code> | `struct task_struct *`, not null, that the caller has a reference to |
/// | <code>[KBox]\<T></code> | a pointer from `kmalloc()`, not null, that is given away |
/// | <code>[Option]<[KBox]\<T>></code> | the same, or null |
///
/// # Safety
///
/// - `Raw` must be passed by the C calling convention as the type of C is that this stands for.
/// - `Borrowed<'a>` must be `Self` with the lifetime `'a` in place of a lifetime that `Self` has.
///
/// # Examples
///
/// ```
/// use kernel::{
///     livepatch::replacement,
///     prelude::*,
///     seq_file::SeqFile,
///     seq_print, //
/// };
///
/// // `int show(struct seq_file *m, void *v)`
/// #[replacement]
/// fn my_show(m: &SeqFile, _v: *mut c_void) -> Result {
///     seq_print!(m, "this has been live patched\n");
///     Ok(())
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a replacement function",
    label = "C code cannot pass this type",
    note = "use an integer, `bool`, a raw pointer, or a type that implements `livepatch::Arg`"
)]
pub unsafe trait Arg {
    /// What C code passes.
    type Raw;

    /// `Self`, for the time of a call.
    type Borrowed<'a>;

    /// Turns what C code has passed into what Rust code gets, for as long as `scope` lasts.
    ///
    /// # Safety
    ///
    /// `raw` must meet the requirements of the type, for as long as `scope` lasts. See the table
    /// above.
    unsafe fn from_raw(raw: Self::Raw, scope: &Scope) -> Self::Borrowed<'_>;
}

/// A type that a replacement function can return.
///
/// | in Rust | in C |
/// |---|---|
/// | `i8` ... `i64`, `u8` ... `u64`, [`c_int`] etc. | the integer type of the same size and sign |
/// | `isize`, `usize` | `long`, `unsigned long`, `ssize_t`, `size_t` |
/// | `bool` | `bool` |
/// | `*mut T`, `*const T` | a pointer |
/// | <code>[KBox]\<T></code> | a pointer from `kmalloc()` that the caller has to free |
/// | <code>[Option]<[KBox]\<T>></code> | the same, or null |
/// | nothing, `()` | `void` |
/// | [`Result`] | `int`: 0 for `Ok`, a negative error number for `Err` |
///
/// # Safety
///
/// `Raw` must be returned by the C calling convention as the type of C is that this stands for.
///
/// # Examples
///
/// ```
/// use kernel::{
///     livepatch::replacement,
///     prelude::*, //
/// };
///
/// // `int check(unsigned long address)`
/// #[replacement]
/// fn my_check(address: usize) -> Result {
///     if address % 8 == 0 {
///         Ok(())
///     } else {
///         Err(EINVAL)
///     }
/// }
/// # assert!(my_check(16).is_ok());
/// # assert_eq!(my_check(17), Err(EINVAL));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the return type of a replacement function",
    label = "C code cannot get this type",
    note = "use an integer, `bool`, a raw pointer, `Result`, or a type that implements \
        `livepatch::Ret`"
)]
pub unsafe trait Ret {
    /// What C code gets.
    type Raw;

    /// Turns what Rust code has returned into what C code gets.
    fn into_raw(self) -> Self::Raw;
}

/// Implements [`Arg`] and [`Ret`] for types that mean the same in C.
macro_rules! impl_same_in_c {
    ($($({ $generics:ident })? $type:ty),* $(,)?) => {$(
        // SAFETY:
        // - `Raw` is the type itself, which has the representation of its counterpart in C. So the
        //   calling convention passes both in the same way.
        // - `Borrowed` is the type itself, which has no lifetime. If it is a pointer to a type that
        //   has one, then safe code cannot get from the pointer to that type.
        unsafe impl $(<$generics>)? Arg for $type {
            type Raw = Self;
            type Borrowed<'a> = Self;

            #[inline(always)]
            unsafe fn from_raw(raw: Self::Raw, _scope: &Scope) -> Self::Borrowed<'_> {
                raw
            }
        }

        // SAFETY: `Raw` is the type itself, which has the representation of its counterpart in C.
        // So the calling convention returns both in the same way.
        unsafe impl $(<$generics>)? Ret for $type {
            type Raw = Self;

            #[inline(always)]
            fn into_raw(self) -> Self::Raw {
                self
            }
        }
    )*}
}

impl_same_in_c! {
    i8, i16, i32, i64, isize,
    u8, u16, u32, u64, usize,
    bool,
    {T} *mut T,
    {T} *const T,
}

// SAFETY:
// - This stands for a `struct seq_file *`, and `Raw` is that.
// - `Borrowed<'a>` is `&'a SeqFile`: the only lifetime of `Self` is that of the reference.
unsafe impl Arg for &SeqFile {
    type Raw = *mut bindings::seq_file;
    type Borrowed<'a> = &'a SeqFile;

    #[inline(always)]
    unsafe fn from_raw(raw: Self::Raw, _scope: &Scope) -> Self::Borrowed<'_> {
        // SAFETY: By the safety requirements, `raw` meets those of the table in `Arg` for as long
        // as `_scope` is there, and so for as long as the result.
        // - It is not null and points to a valid `struct seq_file`.
        // - This call is to print to that: the caller holds its lock, so no other thread accesses
        //   it.
        unsafe { SeqFile::from_raw(raw) }
    }
}

// SAFETY:
// - This stands for a `struct task_struct *`, and `Raw` is that.
// - `Borrowed<'a>` is `&'a Task`: the only lifetime of `Self` is that of the reference.
unsafe impl Arg for &Task {
    type Raw = *mut bindings::task_struct;
    type Borrowed<'a> = &'a Task;

    #[inline(always)]
    unsafe fn from_raw(raw: Self::Raw, _scope: &Scope) -> Self::Borrowed<'_> {
        // SAFETY: By the safety requirements, `raw` meets those of the table in `Arg`: it is not
        // null, and the caller has a reference to the `struct task_struct` that it points to for as
        // long as `_scope` is there, and so for as long as the result. `Task` is a transparent
        // wrapper of an `Opaque` of that structure, so it may change meanwhile.
        unsafe { &*raw.cast::<Task>() }
    }
}

/// Fails to compile if a `KBox<T>` is not a pointer from `kmalloc()`: for a type of size 0, it
/// points to nothing, and frees nothing.
const fn has_memory<T>() {
    assert!(
        size_of::<T>() != 0,
        "a `KBox` that C code passes or gets cannot have a type of size 0"
    );
}

// SAFETY:
// - This stands for a pointer in C, and `Raw` is one.
// - `Borrowed` is the type itself. A `KBox` has no lifetime of its own, because what it points to
//   belongs to it. A lifetime in `T` stays as it is: that the value lives up to it is one of the
//   requirements of the type, which `from_raw()` demands.
unsafe impl<T> Arg for KBox<T> {
    type Raw = *mut T;
    type Borrowed<'a> = KBox<T>;

    #[inline(always)]
    unsafe fn from_raw(raw: Self::Raw, _scope: &Scope) -> Self::Borrowed<'_> {
        const { has_memory::<T>() };

        // SAFETY: By the safety requirements, `raw` meets those of the table in `Arg`: it is not
        // null, it points to a `T` in memory from `kmalloc()`, and the caller gives that away. `T`
        // is not of size 0, as was just checked, so this is what `KBox::from_raw()` demands.
        unsafe { KBox::from_raw(raw) }
    }
}

// SAFETY:
// - This stands for a pointer in C, and `Raw` is one.
// - `Borrowed` is the type itself, which has the lifetimes of a `KBox<T>`, see above.
unsafe impl<T> Arg for Option<KBox<T>> {
    type Raw = *mut T;
    type Borrowed<'a> = Option<KBox<T>>;

    #[inline(always)]
    unsafe fn from_raw(raw: Self::Raw, _scope: &Scope) -> Self::Borrowed<'_> {
        const { has_memory::<T>() };

        // SAFETY: This is called if `raw` is not null. By the safety requirements, it then points
        // to a `T` in memory from `kmalloc()`, and the caller gives that away. `T` is not of size
        // 0, as was just checked, so this is what `KBox::from_raw()` demands.
        (!raw.is_null()).then(|| unsafe { KBox::from_raw(raw) })
    }
}

// SAFETY: This stands for a pointer in C, and `Raw` is one, so both are returned in the same way.
unsafe impl<T> Ret for KBox<T> {
    type Raw = *mut T;

    #[inline(always)]
    fn into_raw(self) -> Self::Raw {
        const { has_memory::<T>() };

        KBox::into_raw(self)
    }
}

// SAFETY: This stands for a pointer in C, and `Raw` is one, so both are returned in the same way.
unsafe impl<T> Ret for Option<KBox<T>> {
    type Raw = *mut T;

    #[inline(always)]
    fn into_raw(self) -> Self::Raw {
        const { has_memory::<T>() };

        self.map_or(core::ptr::null_mut(), KBox::into_raw)
    }
}

// SAFETY: This stands for `void`, and `Raw` is `()`. C code gets nothing for the one, and functions
// with the C calling convention return nothing for the other.
unsafe impl Ret for () {
    type Raw = ();

    #[inline(always)]
    fn into_raw(self) -> Self::Raw {}
}

// SAFETY: This stands for `int`, and `Raw` is `c_int`.
unsafe impl Ret for Result {
    type Raw = c_int;

    #[inline(always)]
    fn into_raw(self) -> Self::Raw {
        match self {
            Ok(()) => 0,
            Err(e) => e.to_errno(),
        }
    }
}

/// Keeps the function that this is called from on the stack.
///
/// A compiler may turn a call which is the last thing that a function does into a jump. The
/// livepatch core must not be cheated like that: a task which is sleeping in the code that was
/// jumped to has no trace of the replacement function on its stack, and so looks as if it could do
/// without the livepatch. In a function that calls this afterwards, no other call is the last thing
/// it does.
#[doc(hidden)]
#[inline(always)]
pub fn keep_frame() {
    // The compiler can neither omit this nor move it across a call, as it does not know which
    // memory either of them accesses.
    barrier();
}
