// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/livepatch`.
//!
//! ```text
//! <patch>/enabled                    read, write
//! <patch>/transition                 read
//! <patch>/force                      write
//! <patch>/replace                    read
//! <patch>/stack_order                read
//! <patch>/<object>/patched           read
//! <patch>/<object>/<function,sympos>/
//! ```
//!
//! A directory carries what its attributes show, as atomics, and the number of its patch. It holds
//! no pointer to the patch: a write looks the patch up in the registry, and finds nothing if it is
//! gone. Reading takes no lock, except for `stack_order`.

use crate::{
    model::{
        names,
        phase::Phase, //
    },
    patch::PatchId,
    registry, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    mem,
    ptr::{
        self,
        NonNull, //
    },
};
use kernel::{
    bindings,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    str::kstrtobool,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        atomic::{
            Atomic,
            Relaxed, //
        },
    },
    types::Opaque,
};

/// What a directory stands for.
///
/// # Safety
///
/// The attributes of `kind` must have been made for directories of this very type.
pub(crate) unsafe trait View: Send + Sync + Sized + 'static {
    fn kind() -> &'static Kind<Self>;
}

/// A directory in sysfs, counted by its kobject.
///
/// # Invariants
///
/// `kobj` is initialized with the `kobj_type` of `V`, and the whole was allocated by `KBox`.
#[repr(C)]
pub(crate) struct Directory<V> {
    kobj: Opaque<bindings::kobject>,
    view: V,
}

// SAFETY: kobjects may be used from any thread.
unsafe impl<V: Send + Sync> Send for Directory<V> {}

// SAFETY: As above.
unsafe impl<V: Send + Sync> Sync for Directory<V> {}

// SAFETY: The kobject's reference count keeps the directory: `release` is called for its end only.
unsafe impl<V: View> AlwaysRefCounted for Directory<V> {
    fn inc_ref(&self) {
        // SAFETY: There is a reference, so the count is not 0.
        unsafe { bindings::kobject_get(self.kobject()) };
    }

    unsafe fn dec_ref(obj: NonNull<Self>) {
        // SAFETY: The caller gives up a reference. The kobject is the first field.
        unsafe { bindings::kobject_put(obj.as_ptr().cast()) };
    }
}

impl<V: View> Directory<V> {
    /// Makes a directory that is not visible yet.
    pub(crate) fn new(view: V) -> Result<ARef<Self>> {
        let directory = KBox::into_raw(KBox::new(
            Directory {
                kobj: Opaque::zeroed(),
                view,
            },
            GFP_KERNEL,
        )?);

        // INVARIANT: The kobject is initialized here.
        // SAFETY: The kobject is zeroed and at its final address, and the type is static. The one
        // reference that it is born with goes to the `ARef`.
        unsafe {
            bindings::kobject_init(directory.cast(), V::kind().ktype.get());
            Ok(ARef::from_raw(NonNull::new_unchecked(directory)))
        }
    }

    pub(crate) fn view(&self) -> &V {
        &self.view
    }

    pub(crate) fn kobject(&self) -> *mut bindings::kobject {
        self.kobj.get()
    }

    /// Makes the directory visible as `name`, or as `name,number`, if it is not visible yet.
    ///
    /// # Safety
    ///
    /// `parent` must be a kobject that is visible, and stay so until [`Directory::remove`].
    pub(crate) unsafe fn add(
        &self,
        parent: *mut bindings::kobject,
        name: &CStr,
        number: Option<usize>,
    ) -> Result {
        let kobj = self.kobject();
        let name = name.as_char_ptr();

        if self.is_visible() {
            return Ok(());
        }
        // SAFETY: The kobject is initialized by the type invariant; the arguments are what the
        // formats ask for.
        to_result(unsafe {
            match number {
                None => bindings::kobject_add(kobj, parent, c"%s".as_char_ptr(), name),
                Some(number) => {
                    bindings::kobject_add(kobj, parent, c"%s,%lu".as_char_ptr(), name, number)
                }
            }
        })
    }

    /// Removes the directory and waits for attributes that are being read or written.
    ///
    /// Does nothing if the directory is not visible. May sleep.
    pub(crate) fn remove(&self) {
        if self.is_visible() {
            // SAFETY: The kobject is initialized by the type invariant. Nobody else removes it.
            unsafe { bindings::kobject_del(self.kobject()) };
        }
    }

    fn is_visible(&self) -> bool {
        // SAFETY: The kobject is initialized by the type invariant. Nobody else adds or removes it.
        unsafe { (*self.kobject()).state_in_sysfs() != 0 }
    }

    /// # Safety
    ///
    /// `kobj` must belong to a `Directory<V>` that stays for `'a`.
    unsafe fn from_kobject<'a>(kobj: *mut bindings::kobject) -> &'a Self {
        // SAFETY: By the contract of this function; the kobject is the first field.
        unsafe { &*kobj.cast() }
    }

    /// # Safety
    ///
    /// `kobj` must belong to a `Directory<V>` whose reference count is 0.
    unsafe extern "C" fn release(kobj: *mut bindings::kobject) {
        // SAFETY: By the type invariant, the directory came from a `KBox`, and there is no
        // reference to it any more.
        drop(unsafe { KBox::<Self>::from_raw(kobj.cast()) });
    }
}

/// A static that C reads and never writes, or writes under its own locks.
#[repr(transparent)]
struct Static<T>(UnsafeCell<T>);

// SAFETY: Rust code does not touch the value; C code follows the rules of its type.
unsafe impl<T> Sync for Static<T> {}

impl<T> Static<T> {
    const fn new(value: T) -> Self {
        Static(UnsafeCell::new(value))
    }

    const fn get(&self) -> *mut T {
        self.0.get()
    }
}

/// The `kobj_type` for directories of type `V`.
pub(crate) struct Kind<V> {
    ktype: Static<bindings::kobj_type>,
    _view: PhantomData<fn(V)>,
}

impl<V: View> Kind<V> {
    const fn new(groups: *const [*const bindings::attribute_group; 2]) -> Self {
        // SAFETY: All zeroes are a `kobj_type` without any callback.
        let mut ktype: bindings::kobj_type = unsafe { mem::zeroed() };
        ktype.release = Some(Directory::<V>::release);
        ktype.sysfs_ops = &raw const bindings::kobj_sysfs_ops;
        ktype.default_groups = groups.cast_mut().cast();

        Kind {
            ktype: Static::new(ktype),
            _view: PhantomData,
        }
    }
}

type Show = unsafe extern "C" fn(
    *mut bindings::kobject,
    *mut bindings::kobj_attribute,
    *mut c_char,
) -> isize;

type Store = unsafe extern "C" fn(
    *mut bindings::kobject,
    *mut bindings::kobj_attribute,
    *const c_char,
    usize,
) -> isize;

const fn attribute(
    name: &'static CStr,
    mode: bindings::umode_t,
    show: Option<Show>,
    store: Option<Store>,
) -> Static<bindings::kobj_attribute> {
    // SAFETY: All zeroes are a `kobj_attribute` without name and callbacks.
    let mut attribute: bindings::kobj_attribute = unsafe { mem::zeroed() };
    attribute.attr.name = kernel::str::as_char_ptr_in_const_context(name);
    attribute.attr.mode = mode;
    attribute.__bindgen_anon_1.show = show;
    attribute.__bindgen_anon_2.store = store;
    Static::new(attribute)
}

const fn group(attributes: *const *const bindings::attribute) -> Static<bindings::attribute_group> {
    // SAFETY: All zeroes are an `attribute_group` without attributes.
    let mut group: bindings::attribute_group = unsafe { mem::zeroed() };
    group.__bindgen_anon_2.attrs_const = attributes;
    Static::new(group)
}

static ENABLED: Static<bindings::kobj_attribute> =
    attribute(c"enabled", 0o644, Some(enabled_show), Some(enabled_store));
static TRANSITION: Static<bindings::kobj_attribute> =
    attribute(c"transition", 0o444, Some(transition_show), None);
static FORCE: Static<bindings::kobj_attribute> =
    attribute(c"force", 0o200, None, Some(force_store));
static REPLACE: Static<bindings::kobj_attribute> =
    attribute(c"replace", 0o444, Some(replace_show), None);
static STACK_ORDER: Static<bindings::kobj_attribute> =
    attribute(c"stack_order", 0o444, Some(stack_order_show), None);

static PATCH_ATTRIBUTES: Static<[*const bindings::attribute; names::PATCH_ATTRIBUTES.len() + 1]> =
    Static::new([
        ENABLED.get().cast(),
        TRANSITION.get().cast(),
        FORCE.get().cast(),
        REPLACE.get().cast(),
        STACK_ORDER.get().cast(),
        ptr::null(),
    ]);
static PATCH_GROUP: Static<bindings::attribute_group> = group(PATCH_ATTRIBUTES.get().cast());
static PATCH_GROUPS: Static<[*const bindings::attribute_group; 2]> =
    Static::new([PATCH_GROUP.get(), ptr::null()]);
static PATCH_KIND: Kind<PatchView> = Kind::new(PATCH_GROUPS.get());

static PATCHED: Static<bindings::kobj_attribute> =
    attribute(c"patched", 0o444, Some(patched_show), None);
static OBJECT_ATTRIBUTES: Static<[*const bindings::attribute; 2]> =
    Static::new([PATCHED.get().cast(), ptr::null()]);
static OBJECT_GROUP: Static<bindings::attribute_group> = group(OBJECT_ATTRIBUTES.get().cast());
static OBJECT_GROUPS: Static<[*const bindings::attribute_group; 2]> =
    Static::new([OBJECT_GROUP.get(), ptr::null()]);
static OBJECT_KIND: Kind<ObjectView> = Kind::new(OBJECT_GROUPS.get());

static FUNC_KIND: Kind<FuncView> = Kind::new(ptr::null());

/// The directory of a patch.
pub(crate) struct PatchView {
    id: PatchId,
    replace: bool,
    phase: Atomic<i32>,
    /// Follows `phase` as soon as tasks can move, which is after some callbacks have run.
    enabled: Atomic<bool>,
}

impl PatchView {
    pub(crate) const fn new(id: PatchId, replace: bool) -> Self {
        PatchView {
            id,
            replace,
            phase: Atomic::new(Phase::Disabled.encode()),
            enabled: Atomic::new(false),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::decode(self.phase.load(Relaxed))
    }

    /// Under `klp_mutex`.
    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase.encode(), Relaxed);
    }

    fn is_enabled(&self) -> bool {
        self.enabled.load(Relaxed)
    }

    /// Under `klp_mutex`.
    pub(crate) fn set_enabled(&self, enabled: bool) {
        self.enabled.store(enabled, Relaxed);
    }
}

// SAFETY: `PATCH_KIND` has the attributes that are written for `PatchView`.
unsafe impl View for PatchView {
    fn kind() -> &'static Kind<Self> {
        &PATCH_KIND
    }
}

/// The directory of an object.
pub(crate) struct ObjectView {
    patched: Atomic<bool>,
}

impl ObjectView {
    pub(crate) const fn new() -> Self {
        ObjectView {
            patched: Atomic::new(false),
        }
    }

    pub(crate) fn is_patched(&self) -> bool {
        self.patched.load(Relaxed)
    }

    /// Under `klp_mutex`.
    pub(crate) fn set_patched(&self, patched: bool) {
        self.patched.store(patched, Relaxed);
    }
}

// SAFETY: `OBJECT_KIND` has the attribute that is written for `ObjectView`.
unsafe impl View for ObjectView {
    fn kind() -> &'static Kind<Self> {
        &OBJECT_KIND
    }
}

/// The directory of a function, which is empty.
pub(crate) struct FuncView;

// SAFETY: `FUNC_KIND` has no attributes.
unsafe impl View for FuncView {
    fn kind() -> &'static Kind<Self> {
        &FUNC_KIND
    }
}

/// # Safety
///
/// `buf` must be the page that sysfs passes to a show callback.
unsafe fn emit(buf: *mut c_char, value: c_int) -> isize {
    // SAFETY: By the contract of this function; the argument is what the format asks for.
    unsafe { bindings::sysfs_emit(buf, c"%d\n".as_char_ptr(), value) as isize }
}

/// # Safety
///
/// For sysfs only: `kobj` is that of a patch and is kept during the call, `buf` is a page.
unsafe extern "C" fn enabled_show(
    kobj: *mut bindings::kobject,
    _attr: *mut bindings::kobj_attribute,
    buf: *mut c_char,
) -> isize {
    // SAFETY: By the contract of this function.
    unsafe {
        let view = &Directory::<PatchView>::from_kobject(kobj).view;
        emit(buf, view.is_enabled().into())
    }
}

/// # Safety
///
/// As for [`enabled_show`].
unsafe extern "C" fn transition_show(
    kobj: *mut bindings::kobject,
    _attr: *mut bindings::kobj_attribute,
    buf: *mut c_char,
) -> isize {
    // SAFETY: By the contract of this function.
    unsafe {
        let view = &Directory::<PatchView>::from_kobject(kobj).view;
        emit(buf, view.phase().in_transition().into())
    }
}

/// # Safety
///
/// As for [`enabled_show`].
unsafe extern "C" fn replace_show(
    kobj: *mut bindings::kobject,
    _attr: *mut bindings::kobj_attribute,
    buf: *mut c_char,
) -> isize {
    // SAFETY: By the contract of this function.
    unsafe {
        let view = &Directory::<PatchView>::from_kobject(kobj).view;
        emit(buf, view.replace.into())
    }
}

/// # Safety
///
/// As for [`enabled_show`].
unsafe extern "C" fn stack_order_show(
    kobj: *mut bindings::kobject,
    _attr: *mut bindings::kobj_attribute,
    buf: *mut c_char,
) -> isize {
    // SAFETY: By the contract of this function.
    unsafe {
        let view = &Directory::<PatchView>::from_kobject(kobj).view;
        emit(buf, registry::stack_order(view.id) as c_int)
    }
}

/// # Safety
///
/// As for [`enabled_show`], and `kobj` is that of an object.
unsafe extern "C" fn patched_show(
    kobj: *mut bindings::kobject,
    _attr: *mut bindings::kobj_attribute,
    buf: *mut c_char,
) -> isize {
    // SAFETY: By the contract of this function.
    unsafe {
        let view = &Directory::<ObjectView>::from_kobject(kobj).view;
        emit(buf, view.is_patched().into())
    }
}

/// Reads a boolean that was written to an attribute of a patch, and acts on it.
///
/// # Safety
///
/// For sysfs only: `kobj` is that of a patch and is kept during the call, `buf` is a string of
/// `count` bytes.
unsafe fn store(
    kobj: *mut bindings::kobject,
    buf: *const c_char,
    count: usize,
    act: fn(PatchId, bool) -> Result,
) -> isize {
    // SAFETY: By the contract of this function.
    let (view, text) = unsafe {
        (
            &Directory::<PatchView>::from_kobject(kobj).view,
            CStr::from_char_ptr(buf),
        )
    };

    from_result(|| {
        act(view.id, kstrtobool(text)?)?;
        Ok(count as isize)
    })
}

/// # Safety
///
/// As for [`store`].
unsafe extern "C" fn enabled_store(
    kobj: *mut bindings::kobject,
    _attr: *mut bindings::kobj_attribute,
    buf: *const c_char,
    count: usize,
) -> isize {
    // SAFETY: By the contract of this function.
    unsafe { store(kobj, buf, count, registry::set_enabled) }
}

/// # Safety
///
/// As for [`store`].
unsafe extern "C" fn force_store(
    kobj: *mut bindings::kobject,
    _attr: *mut bindings::kobj_attribute,
    buf: *const c_char,
    count: usize,
) -> isize {
    // SAFETY: By the contract of this function.
    unsafe {
        store(kobj, buf, count, |id, force| {
            if force {
                registry::force(id)
            } else {
                Ok(())
            }
        })
    }
}
