// SPDX-License-Identifier: GPL-2.0

//! The C side of registration: descriptors into core types, errors into errno.

use crate::{
    fault::{
        self,
        Point, //
    },
    model::{
        names,
        operation::{
            Registration,
            Operation, //
        }, //
    },
    patch::{
        Func,
        ModuleRef,
        Object,
        Patch,
        PatchId,
        PatchModule, //
    },
    registry::{
        self,
        Registry, //
    },
    shadow,
    state::{
        self,
        Declared, //
    },
    transition, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings,
    error::from_result,
    ffi::c_void,
    prelude::*,
    sync::lock::GlobalGuard, //
};

/// Called before any module is loaded.
///
/// # Safety
///
/// For `klp_init_early()`, once.
#[export]
pub(crate) unsafe extern "C" fn klp_rust_init_early() {
    // SAFETY: By the contract of this function.
    unsafe {
        registry::init_lock();
        state::init();
        shadow::init();
    }
}

/// Called when sysfs is there. Returns 0 or a negative errno.
#[export]
pub(crate) extern "C" fn klp_rust_init() -> c_int {
    from_result(|| registry::init_sysfs().map(|()| 0))
}

/// Called by the delayed work of a transition. May sleep.
#[export]
pub(crate) extern "C" fn klp_rust_retry() {
    registry::retry();
}

/// Makes the patch that `patch` describes known, without using it.
///
/// May sleep; not from a callback. Returns 0, or a negative errno and nothing of the patch remains.
///
/// # Safety
///
/// `patch` must be null or a valid descriptor, which stays in place while the module is loaded and
/// is not changed meanwhile.
#[export]
pub(crate) unsafe extern "C" fn klp_register_patch(patch: *mut bindings::klp_patch) -> c_int {
    // SAFETY: By the contract of this function.
    to_errno(
        registry::outside_of_callbacks(c"klp_register_patch()").and_then(|()| unsafe {
            let descriptor = Descriptor::check(patch)?;

            descriptor.admit(registry::lock(), Registration::Registered)
        }),
    )
}

/// Enables the patch that `patch` describes. If it is not registered, its module goes when it is
/// disabled again.
///
/// May sleep; not from a callback. Returns 0 or a negative errno; then a registered patch is as it
/// was before, and nothing remains of another.
///
/// # Safety
///
/// As for [`klp_register_patch`].
#[export]
pub(crate) unsafe extern "C" fn klp_enable_patch(patch: *mut bindings::klp_patch) -> c_int {
    // SAFETY: By the contract of this function.
    to_errno(
        registry::outside_of_callbacks(c"klp_enable_patch()").and_then(|()| unsafe {
            let descriptor = Descriptor::check(patch)?;
            let mut registry = registry::lock();

            // One that is enabled already is no news for a registered patch, and otherwise a second
            // patch of the same name.
            let known = registry
                .all()
                .find(|known| known.is(patch))
                .filter(|known| {
                    known.registration == Registration::Registered || !known.phase().is_enabled()
                });
            match known {
                Some(known) => {
                    let id = known.id;
                    registry.operate(id, Operation::Enable)
                }
                None => descriptor.admit(registry, Registration::OneShot),
            }
        }),
    )
}

/// Disables the patch that `patch` describes.
///
/// May sleep; not from a callback. Returns 0 or a negative errno.
#[export]
pub(crate) extern "C" fn klp_disable_patch(patch: *mut bindings::klp_patch) -> c_int {
    to_errno(
        registry::outside_of_callbacks(c"klp_disable_patch()").and_then(|()| {
            let mut registry = registry::lock();

            let id = find(&registry, patch)?;
            registry.operate(id, Operation::Disable)
        }),
    )
}

/// Forgets the patch that `patch` describes, which must be registered and not in use.
///
/// May sleep; not from a callback. Returns 0 or a negative errno.
#[export]
pub(crate) extern "C" fn klp_unregister_patch(patch: *mut bindings::klp_patch) -> c_int {
    to_errno(
        registry::outside_of_callbacks(c"klp_unregister_patch()").and_then(|()| {
            let mut registry = registry::lock();

            let id = find(&registry, patch)?;
            let patch = registry.unregister(id)?;
            drop(registry);
            patch.release();
            Ok(())
        }),
    )
}

fn to_errno(result: Result) -> c_int {
    result.map_or_else(|error| error.to_errno(), |()| 0)
}

fn find(registry: &Registry, descriptor: *mut bindings::klp_patch) -> Result<PatchId> {
    let patch = registry.all().find(|patch| patch.is(descriptor));

    Ok(patch.ok_or(EINVAL)?.id)
}

/// A descriptor whose required fields are there.
///
/// # Invariants
///
/// The descriptor, its module and its lists are valid.
struct Descriptor {
    patch: NonNull<bindings::klp_patch>,
    module: NonNull<bindings::module>,
}

impl Descriptor {
    /// Checks that nothing required is null. What is wrong is said in the kernel log.
    ///
    /// # Safety
    ///
    /// As for [`klp_register_patch`].
    unsafe fn check(patch: *mut bindings::klp_patch) -> Result<Self> {
        let Some(patch) = NonNull::new(patch) else {
            pr_err!("the patch descriptor is null\n");
            return Err(EINVAL);
        };
        // SAFETY: By the contract of this function.
        let (module, objects) = unsafe { ((*patch.as_ptr()).mod_, (*patch.as_ptr()).objs) };
        let Some(module) = NonNull::new(module) else {
            pr_err!("the patch descriptor has no module\n");
            return Err(EINVAL);
        };

        // INVARIANT: By the contract of this function.
        let this = Descriptor { patch, module };
        if objects.is_null() {
            pr_err!("patch '{}' has no list of objects\n", this.name());
            return Err(EINVAL);
        }
        for object in this.objects() {
            let Some(funcs) = object.funcs() else {
                pr_err!(
                    "patch '{}': object '{}' has no list of functions\n",
                    this.name(),
                    object.label()
                );
                return Err(EINVAL);
            };
            if funcs.into_iter().any(|func| func.name().is_none()) {
                pr_err!(
                    "patch '{}': object '{}' has a function without a name\n",
                    this.name(),
                    object.label()
                );
                return Err(EINVAL);
            }
        }
        Ok(this)
    }

    /// The name of the patch, which is that of its module.
    fn name(&self) -> &CStr {
        // SAFETY: The module is valid by the type invariant, and its name is a string.
        unsafe { CStr::from_char_ptr(ptr::addr_of!((*self.module.as_ptr()).name).cast()) }
    }

    fn is_livepatch_module(&self) -> bool {
        // SAFETY: The module is valid by the type invariant.
        unsafe { (*self.module.as_ptr()).klp }
    }

    fn replaces(&self) -> bool {
        // SAFETY: The descriptor is valid by the type invariant.
        unsafe { (*self.patch.as_ptr()).replace }
    }

    fn objects(&self) -> impl Iterator<Item = ObjectDescriptor> {
        // SAFETY: The descriptor is valid by the type invariant.
        let mut next = unsafe { (*self.patch.as_ptr()).objs };

        core::iter::from_fn(move || {
            let object = ObjectDescriptor(NonNull::new(next)?);
            // SAFETY: The list is valid by the type invariant, and this is not its end.
            unsafe {
                if (*next).funcs.is_null() && (*next).name.is_null() {
                    return None;
                }
                next = next.add(1);
            }
            Some(object)
        })
    }

    /// Takes the patch; a one-shot patch is enabled.
    fn admit(&self, mut registry: GlobalGuard<registry::klp_mutex>, registration: Registration) -> Result {
        let name = self.name();

        if !self.is_livepatch_module() {
            pr_err!("module {} is not marked as a livepatch module\n", name);
            return Err(EINVAL);
        }
        if !registry.is_ready() {
            return Err(ENODEV);
        }
        if !transition::HAVE_RELIABLE_STACK {
            pr_warn!(
                "This architecture doesn't have support for the livepatch consistency model.\n"
            );
            pr_warn!("The livepatch transition may never complete.\n");
        }

        // SAFETY: The module is valid by the type invariant.
        if unsafe { (*self.module.as_ptr()).klp_info }.is_null() {
            pr_err!(
                "patch '{}' comes before the init function of its module\n",
                name
            );
            return Err(EINVAL);
        }

        // SAFETY: It was checked that this is a livepatch module. The caller is in it, so it is in
        // memory; what becomes a patch is removed before the memory goes, see `klp_module_going()`.
        let module = unsafe { PatchModule::new(self.module) };
        registry.check_name(module.id(), name)?;

        fault::check(Point::ReadStates)?;
        // SAFETY: The descriptor is valid by the type invariant.
        let states = unsafe { state::read(self.patch.as_ptr()) }?;
        if registration == Registration::OneShot {
            registry.check_states(name, &states, self.replaces())?;
        }

        fault::check(Point::HoldModule)?;
        let hold = module.hold().ok_or(ENODEV)?;
        registry.make_room()?;
        let patch = self.read(registry.next_id(), hold, states, registration)?;

        let Some(refused) = registry.admit(patch) else {
            return Ok(());
        };
        drop(registry);
        refused.patch.release();
        Err(refused.error)
    }

    /// Makes the core's own copy.
    fn read(
        &self,
        id: PatchId,
        hold: ModuleRef,
        states: KVec<Declared>,
        registration: Registration,
    ) -> Result<Patch> {
        let mut objects = KVec::new();

        for descriptor in self.objects() {
            fault::check(Point::ReadObject)?;
            let object = descriptor.read(self.name())?;
            if objects
                .iter()
                .any(|other: &Object| other.label() == object.label())
            {
                pr_err!(
                    "patch '{}' has the object '{}' twice\n",
                    self.name(),
                    object.label()
                );
                return Err(EEXIST);
            }
            objects.push(object, GFP_KERNEL)?;
        }

        fault::check(Point::NewPatch)?;
        let (name, patch) = (self.name(), self.patch);
        // SAFETY: `hold` is of the module of the descriptor and of all that it refers to.
        unsafe { Patch::new(id, name, patch, hold, objects, states, registration) }
    }
}

/// An entry of a list of objects.
///
/// # Invariants
///
/// The entry is valid and not the end of the list.
struct ObjectDescriptor(NonNull<bindings::klp_object>);

impl ObjectDescriptor {
    /// `None` for vmlinux.
    fn name(&self) -> Option<&CStr> {
        // SAFETY: The entry is valid by the type invariant; a name is a string.
        unsafe {
            let name = (*self.0.as_ptr()).name;
            (!name.is_null()).then(|| CStr::from_char_ptr(name))
        }
    }

    fn label(&self) -> &CStr {
        names::object_label(self.name())
    }

    /// The functions; `None` if there is no list.
    fn funcs(&self) -> Option<impl IntoIterator<Item = FuncDescriptor>> {
        // SAFETY: The entry is valid by the type invariant.
        let first = NonNull::new(unsafe { (*self.0.as_ptr()).funcs })?;
        let mut next = first.as_ptr();

        Some(core::iter::from_fn(move || {
            // SAFETY: The list is valid, and this is its end at the latest.
            let func = unsafe {
                FuncDescriptor {
                    name: (*next).old_name,
                    new_func: (*next).new_func,
                    sympos: (*next).old_sympos,
                }
            };
            if func.name.is_null() && func.new_func.is_null() && func.sympos == 0 {
                return None;
            }
            // SAFETY: This was not the end.
            next = unsafe { next.add(1) };
            // INVARIANT: The descriptor is valid.
            Some(func)
        }))
    }

    fn read(&self, patch: &CStr) -> Result<Object> {
        let label = self.label();

        if label.count_bytes() >= bindings::KLP_MODULE_NAME_LEN as usize {
            pr_err!(
                "patch '{}' has an object with a name that is too long\n",
                patch
            );
            return Err(EINVAL);
        }
        if label.is_empty() {
            pr_err!("patch '{}' has an object with an empty name\n", patch);
            return Err(EINVAL);
        }
        if names::is_attribute(label.to_bytes()) {
            pr_err!(
                "patch '{}': object '{}' has the name of a sysfs attribute\n",
                patch,
                label
            );
            return Err(EEXIST);
        }

        // SAFETY: The entry is in the patch module, which the patch will hold.
        let mut object = unsafe { Object::new(self.name(), self.0) }?;
        for func in self.funcs().into_iter().flatten() {
            fault::check(Point::ReadFunc)?;
            let func = func.read(patch, label)?;
            if object.has(&func.name, func.sympos()) {
                pr_err!(
                    "patch '{}': object '{}' has the function '{}' twice\n",
                    patch,
                    label,
                    &*func.name
                );
                return Err(EEXIST);
            }
            object.push(func)?;
        }
        Ok(object)
    }
}

/// An entry of a list of functions.
///
/// # Invariants
///
/// `name` is null or a string.
struct FuncDescriptor {
    name: *const c_char,
    new_func: *mut c_void,
    sympos: usize,
}

impl FuncDescriptor {
    fn name(&self) -> Option<&CStr> {
        // SAFETY: By the type invariant.
        (!self.name.is_null()).then(|| unsafe { CStr::from_char_ptr(self.name) })
    }

    fn read(&self, patch: &CStr, object: &CStr) -> Result<Func> {
        let name = self.name().ok_or(EINVAL)?;

        if name.count_bytes() >= bindings::KSYM_NAME_LEN as usize {
            pr_err!(
                "patch '{}': object '{}' has a function with a name that is too long\n",
                patch,
                object
            );
            return Err(EINVAL);
        }
        if self.new_func.is_null() {
            pr_err!(
                "patch '{}': function '{}' of object '{}' has no replacement\n",
                patch,
                name,
                object
            );
            return Err(EINVAL);
        }
        Func::new(name, self.sympos, self.new_func as usize)
    }
}

/// Finds a section of a livepatch module by name: its address, and its size in `size`.
///
/// Null, and a size of 0, if there is none.
///
/// # Safety
///
/// `module` must be a livepatch module, `name` a string and `size` a valid place.
#[export]
pub(crate) unsafe extern "C" fn klp_find_section_by_name(
    module: *const bindings::module,
    name: *const c_char,
    size: *mut usize,
) -> *mut c_void {
    // SAFETY: By the contract of this function; a livepatch module keeps its ELF headers.
    unsafe {
        let info = (*module).klp_info;
        let name = CStr::from_char_ptr(name);

        for at in 1..usize::from((*info).hdr.e_shnum) {
            let section = (*info).sechdrs.add(at);
            let its_name = (*info).secstrings.add((*section).sh_name as usize);

            if CStr::from_char_ptr(its_name) == name {
                *size = (*section).sh_size as usize;
                return (*section).sh_addr as *mut c_void;
            }
        }
        *size = 0;
        ptr::null_mut()
    }
}
