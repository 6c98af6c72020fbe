// SPDX-License-Identifier: GPL-2.0

//! Directories in sysfs with attributes that are numbers. Knows nothing of livepatching.
//!
//! A [`Directory`] is counted by C, and carries data that its attributes read. That has no pointer
//! to anything else, so it may outlive what it is about: sysfs keeps it while a file is open.

use core::{
    marker::PhantomData,
    mem,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    str::as_char_ptr_in_const_context,
    types::Opaque, //
};

/// What a [`Directory`] carries.
pub(crate) trait KobjectData: Send + Sync + Sized + 'static {
    /// The attributes of the directory.
    const ATTRIBUTES: Attributes<Self>;
}

/// A file in a [`Directory`].
///
/// The mode says which of the two functions are called. Both may sleep. While one of them runs,
/// [`Directory::remove`] waits for it.
pub(crate) trait Attribute {
    /// What the directory carries.
    type Data: KobjectData;

    const NAME: &'static CStr;
    const MODE: bindings::umode_t;

    /// The number to be read from the file.
    fn show(_data: &Self::Data) -> Result<c_int> {
        Err(EIO)
    }

    /// Acts on a text that was written to the file.
    fn store(_data: &Self::Data, _text: &CStr) -> Result {
        Err(EIO)
    }
}

/// A pointer to an attribute for directories with data of type `T`, or the end of a list of them.
#[repr(transparent)]
pub(crate) struct AttributePtr<T>(*const bindings::attribute, PhantomData<fn(&T)>);

impl<T: KobjectData> AttributePtr<T> {
    pub(crate) const END: Self = AttributePtr(ptr::null(), PhantomData);

    pub(crate) const fn of<A: Attribute<Data = T>>() -> Self {
        const {
            assert!(mem::offset_of!(bindings::kobj_attribute, attr) == 0);
        }
        AttributePtr((&raw const *Callbacks::<A>::ATTRIBUTE).cast(), PhantomData)
    }
}

/// The list of the attributes for directories with data of type `T`; made by [`attributes`].
///
/// # Invariants
///
/// The last pointer, and no other, is the end of the list.
pub(crate) struct Attributes<T: 'static>(&'static [AttributePtr<T>]);

impl<T> Attributes<T> {
    /// Refuses, at compile time, a list without an end.
    pub(crate) const fn new(list: &'static [AttributePtr<T>]) -> Self {
        let mut at = 0;

        while at < list.len() {
            assert!(list[at].0.is_null() == (at + 1 == list.len()));
            at += 1;
        }
        assert!(at > 0);
        // INVARIANT: This was just checked.
        Attributes(list)
    }

    /// How many attributes there are.
    pub(crate) const fn len(&self) -> usize {
        self.0.len() - 1
    }
}

/// Makes [`Attributes`] of types that implement [`Attribute`].
macro_rules! attributes {
    ($($attribute:ty),* $(,)?) => {
        $crate::kobject::Attributes::new(&[
            $($crate::kobject::AttributePtr::of::<$attribute>(),)*
            $crate::kobject::AttributePtr::END,
        ])
    };
}
pub(crate) use attributes;

/// What C calls for the attribute `A`.
struct Callbacks<A>(PhantomData<A>);

impl<A: Attribute> Callbacks<A> {
    const ATTRIBUTE: &'static bindings::kobj_attribute = &{
        // SAFETY: All zeroes are a `kobj_attribute` without name and callbacks.
        let mut attribute: bindings::kobj_attribute = unsafe { mem::zeroed() };
        attribute.attr.name = as_char_ptr_in_const_context(A::NAME);
        attribute.attr.mode = A::MODE;
        if A::MODE & 0o444 != 0 {
            attribute.__bindgen_anon_1.show = Some(Self::show);
        }
        if A::MODE & 0o222 != 0 {
            attribute.__bindgen_anon_2.store = Some(Self::store);
        }
        attribute
    };

    /// # Safety
    ///
    /// For sysfs: `kobj` must belong to a `Kobject<A::Data>` that stays during the call, `buf` must
    /// be a page.
    unsafe extern "C" fn show(
        kobj: *mut bindings::kobject,
        _attr: *mut bindings::kobj_attribute,
        buf: *mut c_char,
    ) -> isize {
        // SAFETY: `kobj` is the first field of a `Kobject<A::Data>`: an `AttributePtr<A::Data>` is
        // only in the list of attributes of these. It stays during the call, for which kernfs keeps
        // it.
        let this = unsafe { &*kobj.cast::<Kobject<A::Data>>() };

        match A::show(&this.data) {
            // SAFETY: `buf` is a page, which is what sysfs_emit() writes to; the number is what the
            // format asks for.
            Ok(number) => unsafe {
                bindings::sysfs_emit(buf, c"%d\n".as_char_ptr(), number) as isize
            },
            Err(error) => error.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// For sysfs: `kobj` must belong to a `Kobject<A::Data>` that stays during the call, `buf` must
    /// be a string.
    unsafe extern "C" fn store(
        kobj: *mut bindings::kobject,
        _attr: *mut bindings::kobj_attribute,
        buf: *const c_char,
        count: usize,
    ) -> isize {
        // SAFETY: `kobj` is the first field of a `Kobject<A::Data>`: an `AttributePtr<A::Data>` is
        // only in the list of attributes of these. It stays during the call, for which kernfs keeps
        // it.
        let this = unsafe { &*kobj.cast::<Kobject<A::Data>>() };
        // SAFETY: `buf` is a string: kernfs puts a NUL behind what was written.
        let text = unsafe { CStr::from_char_ptr(buf) };

        from_result(|| A::store(&this.data, text).map(|()| count as isize))
    }
}

/// A kobject with data.
#[repr(C)]
struct Kobject<T> {
    /// Comes first, so that a pointer to it is one to the whole.
    kobj: Opaque<bindings::kobject>,
    data: T,
}

impl<T: KobjectData> Kobject<T> {
    const GROUP: &'static bindings::attribute_group = &{
        // SAFETY: All zeroes are an `attribute_group` without attributes.
        let mut group: bindings::attribute_group = unsafe { mem::zeroed() };
        // C reads the list to its end, which is there by the type invariants of `Attributes`.
        group.__bindgen_anon_2.attrs_const = T::ATTRIBUTES.0.as_ptr().cast();
        group
    };
    const GROUPS: &'static [*const bindings::attribute_group; 2] = &[Self::GROUP, ptr::null()];
    const TYPE: &'static bindings::kobj_type = &{
        // SAFETY: All zeroes are a `kobj_type` without any callback and without attributes.
        let mut ktype: bindings::kobj_type = unsafe { mem::zeroed() };
        ktype.release = Some(Self::release);
        ktype.sysfs_ops = &raw const bindings::kobj_sysfs_ops;
        if T::ATTRIBUTES.len() > 0 {
            ktype.default_groups = Self::GROUPS.as_ptr().cast_mut().cast();
        }
        ktype
    };

    /// # Safety
    ///
    /// For the `kobj_type`: `kobj` must belong to a `Kobject<T>` whose reference count is 0.
    unsafe extern "C" fn release(kobj: *mut bindings::kobject) {
        // SAFETY: The whole came from a `KBox`, in `Directory::new`, and as the count is 0 nobody
        // refers to it.
        drop(unsafe { KBox::<Self>::from_raw(kobj.cast()) });
    }
}

/// A directory in sysfs, and the only one who adds and removes it.
///
/// # Invariants
///
/// Points to a [`Kobject`] that is initialized with its `kobj_type`, and owns a reference to it.
pub(crate) struct Directory<T: KobjectData>(NonNull<Kobject<T>>);

// SAFETY: C code uses a kobject from any thread, under locks of its own; the data can be sent and
// shared, as `KobjectData` demands.
unsafe impl<T: KobjectData> Send for Directory<T> {}

// SAFETY: A shared reference only gives the address of the kobject, on any thread; `add` and
// `remove` take an exclusive one.
unsafe impl<T: KobjectData> Sync for Directory<T> {}

impl<T: KobjectData> Drop for Directory<T> {
    fn drop(&mut self) {
        // SAFETY: The reference is owned by the type invariants, and not used any more.
        unsafe { bindings::kobject_put(self.as_ptr()) };
    }
}

impl<T: KobjectData> Directory<T> {
    /// Makes a directory that is not visible yet.
    pub(crate) fn new(data: T) -> Result<Self> {
        let kobject = KBox::into_raw(KBox::new(
            Kobject {
                kobj: Opaque::zeroed(),
                data,
            },
            GFP_KERNEL,
        )?);

        // INVARIANT: The kobject is initialized with its type. The one reference that it is born
        // with goes to the result.
        // SAFETY: The kobject is zeroed, as kobject_init() needs it, and at its final address; the
        // type is static. A `KBox` is not null.
        unsafe {
            bindings::kobject_init(kobject.cast(), Kobject::<T>::TYPE);
            Ok(Directory(NonNull::new_unchecked(kobject)))
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::kobject {
        // The kobject is the first field.
        self.0.as_ptr().cast()
    }

    /// Makes the directory visible as `name`, or as `name,number`, if it is not visible yet. May
    /// sleep.
    ///
    /// # Safety
    ///
    /// `parent` must be a kobject that is visible, and stay so until [`Directory::remove`].
    pub(crate) unsafe fn add(
        &mut self,
        parent: *mut bindings::kobject,
        name: &CStr,
        number: Option<usize>,
    ) -> Result {
        let (kobj, name) = (self.as_ptr(), name.as_char_ptr());

        if self.is_visible() {
            return Ok(());
        }
        // SAFETY: The kobject is initialized by the type invariants and not visible, `parent` is as
        // the caller promises, and the arguments are what the formats ask for.
        to_result(unsafe {
            match number {
                None => bindings::kobject_add(kobj, parent, c"%s".as_char_ptr(), name),
                Some(number) => {
                    bindings::kobject_add(kobj, parent, c"%s,%lu".as_char_ptr(), name, number)
                }
            }
        })
    }

    /// Removes the directory, if it is visible, and waits for attributes that are being read or
    /// written. May sleep.
    pub(crate) fn remove(&mut self) {
        if self.is_visible() {
            // SAFETY: The kobject is initialized by the type invariants, and visible.
            unsafe { bindings::kobject_del(self.as_ptr()) };
        }
    }

    fn is_visible(&mut self) -> bool {
        // SAFETY: The kobject is initialized by the type invariants. The flag is only changed by
        // `add` and `remove`, which borrow exclusively as this does.
        unsafe { (*self.as_ptr()).state_in_sysfs() != 0 }
    }
}

/// A directory without attributes in /sys/kernel.
///
/// # Invariants
///
/// Points to a kobject that is visible and is never removed.
pub(crate) struct Root(NonNull<bindings::kobject>);

// SAFETY: C code uses a kobject from any thread, under locks of its own.
unsafe impl Send for Root {}

impl Root {
    /// Creates the directory. May sleep.
    pub(crate) fn new(name: &CStr) -> Result<Self> {
        let name = name.as_char_ptr();

        // SAFETY: `kernel_kobj` was made by a core initcall, before any user of this function;
        // `name` is a string, which is copied.
        let root = unsafe { bindings::kobject_create_and_add(name, bindings::kernel_kobj) };
        // INVARIANT: The reference to it is never put.
        NonNull::new(root).map(Root).ok_or(ENOMEM)
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::kobject {
        self.0.as_ptr()
    }
}
