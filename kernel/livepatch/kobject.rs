// SPDX-License-Identifier: GPL-2.0

//! Directories in sysfs with attributes that are numbers. Knows nothing of livepatching.
//!
//! A [`Directory`] is counted by C, and carries data that its attributes read. That has no pointer
//! to anything else, so it may outlive what it is about: sysfs keeps it while a file is open.

use core::{
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
    const ATTRIBUTES: &'static [Attribute<Self>];
}

/// The most attributes that a directory can have.
const MAX_ATTRIBUTES: usize = 7;

/// Returns the number that is to be read from a file.
pub(crate) type Show<T> = fn(&T) -> Result<c_int>;

/// Acts on a text that was written to a file.
pub(crate) type Store<T> = fn(&T, &CStr) -> Result;

/// A file in a [`Directory`] that carries a `T`.
///
/// Its functions may sleep. While one of them runs, [`Directory::remove`] waits for it.
#[repr(C)]
pub(crate) struct Attribute<T> {
    /// Comes first, so that a pointer to it is one to the whole.
    attr: bindings::kobj_attribute,
    show: Option<Show<T>>,
    store: Option<Store<T>>,
}

impl<T: KobjectData> Attribute<T> {
    /// A file that can be read if there is `show`, and written by root if there is `store`.
    pub(crate) const fn new(
        name: &'static CStr,
        show: Option<Show<T>>,
        store: Option<Store<T>>,
    ) -> Self {
        let mut attr: bindings::kobj_attribute = pin_init::zeroed();

        attr.attr.name = as_char_ptr_in_const_context(name);
        if show.is_some() {
            attr.attr.mode |= 0o444;
            attr.__bindgen_anon_1.show = Some(Kobject::<T>::show);
        }
        if store.is_some() {
            attr.attr.mode |= 0o200;
            attr.__bindgen_anon_2.store = Some(Kobject::<T>::store);
        }
        Attribute { attr, show, store }
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
    /// Pointers to the attributes. The last one is null, which is the end.
    const LIST: &'static [*const bindings::attribute; MAX_ATTRIBUTES + 1] = &{
        assert!(T::ATTRIBUTES.len() <= MAX_ATTRIBUTES);
        assert!(mem::offset_of!(bindings::kobj_attribute, attr) == 0);
        let mut list = [ptr::null(); MAX_ATTRIBUTES + 1];
        let mut at = 0;
        while at < T::ATTRIBUTES.len() {
            list[at] = (&raw const T::ATTRIBUTES[at]).cast();
            at += 1;
        }
        list
    };
    const GROUP: &'static bindings::attribute_group = &{
        let mut group: bindings::attribute_group = pin_init::zeroed();
        group.__bindgen_anon_2.attrs_const = Self::LIST.as_ptr();
        group
    };
    const GROUPS: &'static [*const bindings::attribute_group; 2] = &[Self::GROUP, ptr::null()];
    const TYPE: &'static bindings::kobj_type = &{
        let mut ktype: bindings::kobj_type = pin_init::zeroed();
        ktype.release = Some(Self::release);
        ktype.sysfs_ops = &raw const bindings::kobj_sysfs_ops;
        if !T::ATTRIBUTES.is_empty() {
            ktype.default_groups = Self::GROUPS.as_ptr().cast_mut();
        }
        ktype
    };

    /// # Safety
    ///
    /// For sysfs: `kobj` must belong to a `Kobject<T>` that stays during the call, `attr` to an
    /// attribute of it, and `buf` must be a page.
    unsafe extern "C" fn show(
        kobj: *mut bindings::kobject,
        attr: *mut bindings::kobj_attribute,
        buf: *mut c_char,
    ) -> isize {
        // SAFETY: `kobj` is the first field of a `Kobject<T>`, which kernfs keeps during the call;
        // `attr` is the first field of an `Attribute<T>`: only those are in `LIST`.
        let (this, attr) = unsafe { (&*kobj.cast::<Self>(), &*attr.cast::<Attribute<T>>()) };

        match attr.show.ok_or(EIO).and_then(|show| show(&this.data)) {
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
    /// For sysfs: as for [`Kobject::show`], but `buf` must be a string.
    unsafe extern "C" fn store(
        kobj: *mut bindings::kobject,
        attr: *mut bindings::kobj_attribute,
        buf: *const c_char,
        count: usize,
    ) -> isize {
        // SAFETY: `kobj` is the first field of a `Kobject<T>`, which kernfs keeps during the call;
        // `attr` is the first field of an `Attribute<T>`: only those are in `LIST`.
        let (this, attr) = unsafe { (&*kobj.cast::<Self>(), &*attr.cast::<Attribute<T>>()) };
        // SAFETY: `buf` is a string: kernfs puts a NUL behind what was written.
        let text = unsafe { CStr::from_char_ptr(buf) };

        from_result(|| {
            attr.store.ok_or(EIO)?(&this.data, text)?;
            Ok(count as isize)
        })
    }

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

    /// Tells those who poll the attribute `name` that it has changed, if the directory is visible.
    pub(crate) fn notify(&self, name: &CStr) {
        // SAFETY: The kobject is initialized by the type invariants. Its entry in sysfs, if it has
        // one, stays during the call: `remove` borrows exclusively. `name` is a string.
        unsafe { bindings::sysfs_notify(self.as_ptr(), ptr::null(), name.as_char_ptr()) };
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
