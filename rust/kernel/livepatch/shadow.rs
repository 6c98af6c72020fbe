// SPDX-License-Identifier: GPL-2.0

//! Shadow variables: data of livepatches that belong to objects of the kernel.
//!
//! A livepatch cannot add a field to a structure that exists already. Instead, it attaches a
//! variable to the address of the structure, under a number that says which variable this is. See
//! [Documentation/livepatch/shadow-vars.rst](srctree/Documentation/livepatch/shadow-vars.rst).

use super::{
    Callbacks,
    Object, //
};
use crate::{
    alloc::{
        flags::GFP_NOWAIT,
        Flags,
        KBox, //
    },
    bindings,
    error::{
        code::*,
        Error,
        Result, //
    },
    ffi::{
        c_int,
        c_void, //
    },
    macros::vtable,
    sync::{
        atomic::{
            Atomic,
            AtomicType,
            Relaxed, //
        },
        rcu,
        SpinLock, //
    },
};
use core::{
    marker::PhantomData,
    mem::needs_drop,
    ptr::NonNull, //
};
use pin_init::PinInit;

/// The data of a shadow variable.
///
/// # Examples
///
/// ```
/// use kernel::{
///     livepatch::ShadowData,
///     prelude::*, //
/// };
///
/// /// Memory that the kernel would lose.
/// struct Leak(KBox<c_int>);
///
/// impl ShadowData for Leak {
///     fn detached(&self, object: *const c_void) {
///         pr_info!("object @ {:p}: prevented the leak of {}\n", object, *self.0);
///     }
/// }
///
/// /// Nothing to do but to drop it.
/// struct Tag(u32);
///
/// impl ShadowData for Tag {}
/// # let _ = (Leak(KBox::new(1, GFP_KERNEL)?).0, Tag(2).0);
/// # Ok::<(), Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the data of a shadow variable",
    label = "this type does not implement `ShadowData`",
    note = "for a type of your own: `impl ShadowData for {Self} {{}}`; data that changes needs an \
        `Atomic` or a `SpinLock`"
)]
pub trait ShadowData: Send + Sync + 'static {
    /// Called when the variable has been detached from `object`, before it is dropped.
    ///
    /// Like the destructor, this runs with interrupts disabled and with the lock of all shadow
    /// variables held: it must not sleep, and it must not use shadow variables. `object` may be
    /// gone.
    fn detached(&self, _object: *const c_void) {}
}

/// Shadow variable data without a destructor, which can be accessed while others may free it.
///
/// # Examples
///
/// ```
/// use kernel::{
///     livepatch::{
///         ReadableShadowData,
///         ShadowData, //
///     },
///     prelude::*,
///     sync::atomic::Atomic, //
/// };
///
/// struct Statistics {
///     calls: Atomic<u64>,
///     errors: Atomic<u64>,
/// }
///
/// impl ShadowData for Statistics {}
/// impl ReadableShadowData for Statistics {}
/// # let _ = |s: &Statistics| (s.calls.load(kernel::sync::atomic::Relaxed), &s.errors as *const _);
/// ```
#[diagnostic::on_unimplemented(
    message = "a shadow variable of type `{Self}` can be attached and freed, but not accessed",
    label = "this may be dropped at any time",
    note = "for a type of your own without a destructor: `impl ReadableShadowData for {Self} {{}}`"
)]
pub trait ReadableShadowData: ShadowData {}

macro_rules! impl_shadow_data {
    ($($type:ty),* $(,)?) => {$(
        impl ShadowData for $type {}
        impl ReadableShadowData for $type {}
    )*};
}

impl_shadow_data! {
    (), bool,
    i8, i16, i32, i64, isize,
    u8, u16, u32, u64, usize,
}

impl<T: AtomicType + 'static> ShadowData for Atomic<T> {}
impl<T: AtomicType + 'static> ReadableShadowData for Atomic<T> {}

impl<T: Send + 'static> ShadowData for SpinLock<T> {}
// What is `Copy` has no destructor.
impl<T: Copy + Send + 'static> ReadableShadowData for SpinLock<T> {}

impl<T: ShadowData, const N: usize> ShadowData for [T; N] {}
impl<T: ReadableShadowData, const N: usize> ReadableShadowData for [T; N] {}

impl<T: Send + Sync + 'static> ShadowData for KBox<T> {}

/// A shadow variable: data of type `T` that can be attached to any object, under one number.
///
/// [`livepatch!`](macro@super::livepatch) declares such a variable for each entry of its `shadows`.
/// That an object has the variable is not known before it is asked for: most objects are older than
/// the livepatch.
///
/// # Access
///
/// A variable can be freed at any time, by whoever knows the address of its object. What C code
/// must take care of is checked here:
///
/// - [`get()`](Self::get) gives access for as long as an RCU read-side critical section lasts,
///   because that long the memory stays. It is for [`ReadableShadowData`], types without a
///   destructor, as the destructor runs at once. Data that changes needs atomics or a lock in it.
/// - Data with a destructor, a [`KBox`] for instance, is kept for the one who frees the variable:
///   [`ShadowData::detached()`] sees it, and the destructor.
///
/// # Invariants
///
/// All variables with the number `id` have data of type `T`, for as long as the module with this
/// value is loaded.
///
/// # Examples
///
/// ```
/// use kernel::{
///     livepatch::Shadow,
///     prelude::*,
///     sync::{
///         atomic::{
///             Atomic,
///             Relaxed, //
///         },
///         rcu, //
///     }, //
/// };
///
/// // `livepatch!` writes this for `shadows: { COUNTER: Atomic<i32> = 0x7e570101 }`.
/// // SAFETY:
/// // - No other code uses variables with this number.
/// // - All of them are freed below, so none is there when what it refers to goes away.
/// static COUNTER: Shadow<Atomic<i32>> = unsafe { Shadow::new(0x7e570101) };
///
/// let object = KBox::new(0u8, GFP_KERNEL)?;
/// let object = &raw const *object;
///
/// assert!(COUNTER.get(object, &rcu::read_lock()).is_none());
///
/// COUNTER.alloc(object, GFP_KERNEL, Atomic::new(3))?;
/// {
///     let guard = rcu::read_lock();
///     let counter = COUNTER.get(object, &guard).ok_or(EINVAL)?;
///     counter.fetch_add(1, Relaxed);
///
///     // The variable is there, so this one is not used.
///     let counter = COUNTER.get_or_alloc(object, Atomic::new(100), &guard)?;
///     assert_eq!(counter.load(Relaxed), 4);
/// }
/// assert!(COUNTER.contains(object));
///
/// COUNTER.free(object);
/// assert!(!COUNTER.contains(object));
/// # Ok::<(), Error>(())
/// ```
///
/// A variable with a destructor:
///
/// ```
/// use kernel::{
///     livepatch::Shadow,
///     prelude::*,
///     sync::Arc, //
/// };
/// # use kernel::livepatch::ShadowData;
///
/// struct Owner(#[expect(dead_code)] Arc<u32>);
///
/// impl ShadowData for Owner {}
///
/// // SAFETY:
/// // - No other code uses variables with this number.
/// // - All of them are freed below, so none is there when what it refers to goes away.
/// static OWNER: Shadow<Owner> = unsafe { Shadow::new(0x7e570102) };
///
/// let owner = Arc::new(7, GFP_KERNEL)?;
/// let objects = [1u8, 2, 3];
///
/// for object in &objects {
///     OWNER.alloc(object, GFP_KERNEL, Owner(owner.clone()))?;
/// }
/// OWNER.free(&objects[0]);
/// OWNER.free_all();
/// assert!(!objects.iter().any(|object| OWNER.contains(object)));
///
/// // All others are gone.
/// assert!(Arc::into_unique_or_drop(owner).is_some());
/// # Ok::<(), Error>(())
/// ```
pub struct Shadow<T> {
    id: usize,
    _data: PhantomData<fn(T) -> T>,
}

impl<T: ShadowData> Shadow<T> {
    /// The data of a variable is aligned as `kmalloc()` aligns on all architectures.
    const LAYOUT: () = assert!(
        align_of::<T>() <= align_of::<u64>(),
        "the type of a shadow variable has too big an alignment"
    );

    /// Declares the shadow variable with the number `id`.
    ///
    /// [`livepatch!`](macro@super::livepatch) is the way to do this: it makes sure that `id` is
    /// declared once in a livepatch, and frees the variables when the livepatch is disabled.
    ///
    /// # Safety
    ///
    /// For as long as the module with this value is loaded, and that which has attached a variable
    /// with this `id`:
    ///
    /// - All other code of the kernel that uses variables with this `id`, in any language, must
    ///   agree that their data is a `T`, and must do with it only what can be done with a `&T`, or
    ///   free it as a `T` is dropped.
    /// - `T` must not refer to anything that goes away while such a variable exists. In particular,
    ///   variables that are still there when a module is unloaded must not refer to its code and
    ///   `static`s. They are, if they are declared with `keep` in `livepatch!`, and whenever
    ///   another livepatch has [replaced](super::Patch::replace) that of the module.
    pub const unsafe fn new(id: usize) -> Self {
        const { Self::LAYOUT };

        // INVARIANT: By the first safety requirement, all variables with this `id` have data of
        // type `T`, for as long as the module with this value is loaded.
        Self {
            id,
            _data: PhantomData,
        }
    }

    /// The number of this variable.
    pub const fn id(&self) -> usize {
        self.id
    }

    /// Attaches the variable to `object`, with the data that `init` makes.
    ///
    /// `flags` are for the allocation of the memory; this can sleep if they allow it. `init` runs
    /// with interrupts disabled and with the lock of all shadow variables held: it must not sleep,
    /// and it must not use shadow variables.
    ///
    /// Fails with `EEXIST`, and the kernel warns, if `object` has this variable; with the error of
    /// `init`; or with `ENOMEM`.
    pub fn alloc<O: ?Sized, E>(
        &self,
        object: *const O,
        flags: Flags,
        init: impl PinInit<T, E>,
    ) -> Result
    where
        Error: From<E>,
    {
        self.construct(object, flags, init, bindings::klp_shadow_alloc)?;
        Ok(())
    }

    /// Returns the variable of `object`, if it has one.
    ///
    /// # Safety
    ///
    /// The variable must not be freed during `'a`.
    pub unsafe fn get_unguarded<'a, O: ?Sized>(&self, object: *const O) -> Option<&'a T> {
        // SAFETY:
        // - By the type invariants, the data that was found is a `T`. Its constructor has run
        //   before it could be found.
        // - By the safety requirement, the variable is not freed during `'a`, so the data is there
        //   for that long. Meanwhile, by the first requirement of `new()`, others do with it only
        //   what can be done with a `&T`.
        self.find(object).map(|data| unsafe { data.as_ref() })
    }

    /// Whether `object` has this variable.
    pub fn contains<O: ?Sized>(&self, object: *const O) -> bool {
        self.find(object).is_some()
    }

    /// Detaches the variable from `object` and drops it. Does nothing if there is none.
    pub fn free<O: ?Sized>(&self, object: *const O) {
        // SAFETY: `klp_shadow_free()` demands a destructor for the variable with this `id`. By the
        // type invariants, the data is a `T`, and that is what `destroy::<T>()` drops. If `T` has
        // to be dropped, then nobody has a reference: `get()` does not compile for it, and who
        // calls `get_unguarded()` has promised that the variable is not freed meanwhile.
        unsafe { bindings::klp_shadow_free(address(object), self.id, Some(destroy::<T>)) };
    }

    /// Detaches this variable from all objects that have it, and drops each.
    pub fn free_all(&self) {
        // SAFETY: `klp_shadow_free_all()` demands a destructor for all variables with this `id`. By
        // the type invariants, the data of each is a `T`, and that is what `destroy::<T>()` drops.
        // As in `free()`, nobody has a reference to one that has to be dropped.
        unsafe { bindings::klp_shadow_free_all(self.id, Some(destroy::<T>)) };
    }

    fn find<O: ?Sized>(&self, object: *const O) -> Option<NonNull<T>> {
        // SAFETY: `klp_shadow_get()` demands nothing of the address of the object: it compares it
        // and does not access what is there.
        NonNull::new(unsafe { bindings::klp_shadow_get(address(object), self.id) })
            .map(NonNull::cast)
    }

    /// Attaches a variable by `attach`, one of the two functions that do that.
    fn construct<O: ?Sized, I: PinInit<T, E>, E>(
        &self,
        object: *const O,
        flags: Flags,
        init: I,
        attach: Attach,
    ) -> Result<NonNull<T>>
    where
        Error: From<E>,
    {
        let mut constructor = Constructor::<T, I, E> {
            init: Some(init),
            error: None,
            _data: PhantomData,
        };

        // SAFETY: `attach` is `klp_shadow_alloc()` or `klp_shadow_get_or_alloc()`. Both demand a
        // constructor for a variable of this size. `Constructor::run` is one: it makes a `T`, as
        // the type invariants demand of a variable with this `id`. Its last argument is a pointer
        // to `constructor`, which is there when it is called: that is before `attach` returns.
        let data = unsafe {
            attach(
                address(object),
                self.id,
                size_of::<T>(),
                flags.as_raw(),
                Some(Constructor::<T, I, E>::run),
                (&raw mut constructor).cast(),
            )
        };

        NonNull::new(data.cast()).ok_or_else(|| match constructor.error {
            Some(error) => error,
            None if self.contains(object) => EEXIST,
            None => ENOMEM,
        })
    }
}

impl<T: ShadowData> Shadow<T> {
    const READABLE: () = assert!(
        !needs_drop::<T>(),
        "`ReadableShadowData` is not for types with a destructor"
    );

    /// Returns the variable of `object`. If there is none, then attaches one, with the data that
    /// `init` makes.
    ///
    /// Never sleeps, so it can fail with `ENOMEM`, or else with the error of `init`. What holds for
    /// `init` in [`alloc()`](Self::alloc), and for `T` in [`get()`](Self::get), holds here.
    pub fn get_or_alloc<'g, O: ?Sized, E>(
        &self,
        object: *const O,
        init: impl PinInit<T, E>,
        _guard: &'g rcu::Guard,
    ) -> Result<&'g T>
    where
        T: ReadableShadowData,
        Error: From<E>,
    {
        const { Self::READABLE };

        // Sleeping is not allowed while there is `_guard`.
        let data = self.construct(
            object,
            GFP_NOWAIT,
            init,
            bindings::klp_shadow_get_or_alloc, //
        )?;

        // SAFETY:
        // - By the type invariants, the data is a `T`, whether the variable was found or attached.
        //   Its constructor has run in either case. Others do with it only what can be done with a
        //   `&T`.
        // - It was found or attached in an RCU read-side critical section which lasts for all of
        //   `'g`. If it is freed meanwhile, then the memory is freed after that, by `kfree_rcu()`,
        //   and nothing changes the data: `T` has no destructor, see `READABLE`.
        Ok(unsafe { data.as_ref() })
    }

    /// Returns the variable of `object`, if it has one.
    ///
    /// It may be freed while the reference is used: then the memory stays until the end of the RCU
    /// read-side critical section. So this is for types that do not need to be dropped: that is
    /// checked again when this is compiled, whatever `T` claims.
    pub fn get<'g, O: ?Sized>(&self, object: *const O, _guard: &'g rcu::Guard) -> Option<&'g T>
    where
        T: ReadableShadowData,
    {
        const { Self::READABLE };

        // SAFETY:
        // - By the type invariants, the data is a `T`. By the first requirement of `new()`, others
        //   do with it only what can be done with a `&T`. `T` is `Sync`. Its constructor has run
        //   before the variable could be found.
        // - The variable was found in an RCU read-side critical section which lasts for all of
        //   `'g`. If it is freed meanwhile, then the memory is freed after that, by `kfree_rcu()`,
        //   and nothing changes the data: `T` has no destructor, see `READABLE`.
        self.find(object).map(|data| unsafe { data.as_ref() })
    }
}

/// `klp_shadow_alloc()` or `klp_shadow_get_or_alloc()`.
type Attach = unsafe extern "C" fn(
    *mut c_void,
    usize,
    usize,
    bindings::gfp_t,
    bindings::klp_shadow_ctor_t,
    *mut c_void,
) -> *mut c_void;

/// What C code knows an object by.
fn address<O: ?Sized>(object: *const O) -> *mut c_void {
    object.cast_mut().cast()
}

/// How to make the data, and what went wrong.
struct Constructor<T, I, E> {
    init: Option<I>,
    error: Option<Error>,
    _data: PhantomData<fn() -> (T, E)>,
}

impl<T, I: PinInit<T, E>, E> Constructor<T, I, E>
where
    Error: From<E>,
{
    /// # Safety
    ///
    /// - To be called by the livepatch core, as the constructor of a shadow variable: `data` must
    ///   point to memory for a `T`, aligned as `kmalloc()` aligns, that nobody else accesses and
    ///   that stays where it is until the variable is freed.
    /// - `this` must point to a `Constructor` that nobody else accesses until this returns.
    unsafe extern "C" fn run(_object: *mut c_void, data: *mut c_void, this: *mut c_void) -> c_int {
        // SAFETY: By the second requirement of this function, `this` points to a `Constructor`, and
        // nobody else accesses it during this call, which the reference does not outlast.
        let this = unsafe { &mut *this.cast::<Self>() };

        let Some(init) = this.init.take() else {
            // Variables are constructed once.
            return EINVAL.to_errno();
        };

        // SAFETY:
        // - By the first requirement of this function, `data` points to memory for a `T` that
        //   nobody else accesses. Its alignment is enough, see `Shadow::LAYOUT`.
        // - If this fails, then the data is not touched: the livepatch core frees the memory of a
        //   variable whose constructor has failed, without a destructor.
        // - By the same requirement, the memory stays where it is until the variable is freed, and
        //   then `destroy()` drops the `T` first.
        match unsafe { pin_init::raw_try_init(data.cast::<T>(), init) } {
            Ok(()) => 0,
            Err(error) => {
                let error = Error::from(error);
                this.error = Some(error);
                error.to_errno()
            }
        }
    }
}

/// # Safety
///
/// - To be called by the livepatch core, as the destructor of a shadow variable: `data` must point
///   to a `T`, which is not used again afterwards.
/// - If `T` has to be dropped, then nobody else may have a reference to it.
unsafe extern "C" fn destroy<T: ShadowData>(object: *mut c_void, data: *mut c_void) {
    let data = data.cast::<T>();

    // SAFETY: By the first requirement of this function, `data` points to a `T`. It has not been
    // dropped yet.
    unsafe { (*data).detached(object) };

    // SAFETY: By the first requirement of this function, `data` points to a `T`, and that is not
    // used again. If dropping it does anything, then by the second one nobody has a reference to
    // it.
    unsafe { data.drop_in_place() };
}

/// The shadow variables of a livepatch that are freed when it is disabled.
#[doc(hidden)]
pub trait OwnShadows {
    /// Whether the livepatch replaces others.
    const REPLACES: bool;

    /// Whether it has been in place since it was last enabled.
    fn completed() -> &'static Atomic<bool>;

    /// Frees all variables.
    fn free_all();
}

/// The callbacks `C` of `vmlinux`, and frees the variables `S` when the livepatch is disabled.
///
/// A livepatch that is replaced has a successor, which takes over the variables with the numbers
/// that it knows. None of the callbacks is called then, so they stay. When `post_unpatch` is
/// called, no task uses the new functions any more; and the lock of the livepatch core is held,
/// so no other livepatch has begun to use the variables.
///
/// It is also called when a transition has been reversed, or enabling failed. If the livepatch was
/// to replace others, then these go on, and so do their variables.
#[doc(hidden)]
pub struct FreeShadows<C, S>(PhantomData<(C, S)>);

#[vtable]
impl<C: Callbacks, S: OwnShadows> Callbacks for FreeShadows<C, S> {
    type OwnerModule = C::OwnerModule;

    const HAS_PRE_UNPATCH: bool = C::HAS_PRE_UNPATCH;

    fn pre_patch(object: &Object<'_>) -> Result {
        // Callbacks run one at a time: there is nothing to order.
        S::completed().store(false, Relaxed);
        if C::HAS_PRE_PATCH {
            C::pre_patch(object)?;
        }
        Ok(())
    }

    fn post_patch(object: &Object<'_>) {
        S::completed().store(true, Relaxed);
        if C::HAS_POST_PATCH {
            C::post_patch(object);
        }
    }

    fn pre_unpatch(object: &Object<'_>) {
        // Only used if there is one.
        C::pre_unpatch(object);
    }

    fn post_unpatch(object: &Object<'_>) {
        if C::HAS_POST_UNPATCH {
            C::post_unpatch(object);
        }
        if !S::REPLACES || S::completed().load(Relaxed) {
            S::free_all();
        }
    }
}
