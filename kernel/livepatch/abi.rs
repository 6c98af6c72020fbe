// SPDX-License-Identifier: GPL-2.0

//! What other C code calls: the functions of include/linux/livepatch.h, and those of the shim's
//! work items and initcalls. No decisions are taken here.
//!
//! Shadow variables are independent of the rest, see `shadow.rs`; what the loader calls when
//! modules come and go is in `module.rs`, and what tasks call is in `transition/hooks.rs`.

use crate::{
    debugfs,
    descriptor,
    operations,
    reaper,
    registry,
    reloc::{
        self,
        Elf,
        RelocationSection, //
    },
    shadow,
    state, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    bindings,
    error::from_result,
    ffi::c_void,
    prelude::*, //
};

/// Called before any module is loaded.
///
/// # Safety
///
/// For `klp_init_early()`, once.
#[export]
pub(crate) unsafe extern "C" fn klp_rust_init_early() {
    // SAFETY: Each of them has to be called once and before all else, and klp_init_early() is a
    // core initcall, which runs before there are modules.
    unsafe {
        registry::init_lock();
        state::init();
        shadow::init();
    }
}

/// Called when sysfs is there. Returns 0 or a negative errno.
///
/// # Safety
///
/// Nothing is asked of the caller: `unsafe` is for `#[export]`, as C's functions all are.
#[export]
pub(crate) unsafe extern "C" fn klp_rust_init() -> c_int {
    debugfs::init();
    to_c_int(operations::init_sysfs())
}

/// Called by the delayed work of a transition. May sleep.
///
/// # Safety
///
/// Nothing is asked of the caller: `unsafe` is for `#[export]`, as C's functions all are.
#[export]
pub(crate) unsafe extern "C" fn klp_rust_retry() {
    operations::retry();
}

/// Called by a work item when a patch is to be freed. May sleep.
///
/// # Safety
///
/// Nothing is asked of the caller: `unsafe` is for `#[export]`, as C's functions all are.
#[export]
pub(crate) unsafe extern "C" fn klp_rust_reap() {
    reaper::reap();
}

/// Called by a work item when something was replaced that may be in use. May sleep.
///
/// # Safety
///
/// Nothing is asked of the caller: `unsafe` is for `#[export]`, as C's functions all are.
#[export]
pub(crate) unsafe extern "C" fn klp_rust_collect() {
    operations::collect();
}

/// Called by a work item when `livepatch.jump` was set. May sleep.
///
/// # Safety
///
/// Nothing is asked of the caller: `unsafe` is for `#[export]`, as C's functions all are.
#[export]
pub(crate) unsafe extern "C" fn klp_rust_jump() {
    operations::apply_jumps_allowed();
}

/// Makes the patch that `patch` describes known, without using it.
///
/// May sleep; not from a callback. Returns 0, or a negative errno and nothing of the patch remains.
///
/// # Safety
///
/// As for [`klp_enable_patch`].
#[export]
pub(crate) unsafe extern "C" fn klp_register_patch(patch: *mut bindings::klp_patch) -> c_int {
    // SAFETY: The descriptor is as the caller promises.
    to_c_int(unsafe { operations::register(patch) })
}

/// Enables the patch that `patch` describes. If it is not registered, its module goes when it is
/// disabled again.
///
/// May sleep; not from a callback. Returns 0 or a negative errno; then a registered patch is as it
/// was before, and nothing remains of another.
///
/// # Safety
///
/// `patch` must be null or a valid descriptor, which stays in place while the module is loaded and
/// is not changed meanwhile.
#[export]
pub(crate) unsafe extern "C" fn klp_enable_patch(patch: *mut bindings::klp_patch) -> c_int {
    // SAFETY: The descriptor is as the caller promises.
    to_c_int(unsafe { operations::enable(patch) })
}

/// Disables the patch that `patch` describes.
///
/// May sleep; not from a callback. Returns 0 or a negative errno.
///
/// # Safety
///
/// Nothing is asked of the caller: `unsafe` is for `#[export]`, as C's functions all are.
#[export]
pub(crate) unsafe extern "C" fn klp_disable_patch(patch: *mut bindings::klp_patch) -> c_int {
    to_c_int(operations::disable(patch))
}

/// Forgets the patch that `patch` describes, which must be registered and not in use.
///
/// May sleep; not from a callback. Returns 0 or a negative errno.
///
/// # Safety
///
/// Nothing is asked of the caller: `unsafe` is for `#[export]`, as C's functions all are.
#[export]
pub(crate) unsafe extern "C" fn klp_unregister_patch(patch: *mut bindings::klp_patch) -> c_int {
    to_c_int(operations::unregister(patch))
}

fn to_c_int(result: Result) -> c_int {
    from_result(|| result.map(|()| 0))
}

/// Finds the state `id` in a patch; null if it has none. Any context.
///
/// # Safety
///
/// `patch` must be a valid descriptor.
#[export]
pub(crate) unsafe extern "C" fn klp_get_state(
    patch: *mut bindings::klp_patch,
    id: usize,
) -> *mut bindings::klp_state {
    // SAFETY: The descriptor is valid, as promised, and stays so during the call.
    let mut states = unsafe { descriptor::states(patch) };

    states
        .find(|state| state.state().id == id)
        .map_or(ptr::null_mut(), |state| state.as_ptr())
}

/// Finds the newest state `id` in the patches that were there before the one in transition; null if
/// they have none.
///
/// For callbacks only: the state belongs to a patch that may be gone after the transition. Warns
/// when there is no transition. Any context but NMI.
///
/// # Safety
///
/// Nothing is asked of the caller: `unsafe` is for `#[export]`, as C's functions all are.
#[export]
pub(crate) unsafe extern "C" fn klp_get_prev_state(id: usize) -> *mut bindings::klp_state {
    state::previous(id).map_or(ptr::null_mut(), |state| state.as_ptr())
}

/// Finds a section of a livepatch module by name: the address of its content, and its size in bytes
/// in `size`.
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
    // SAFETY: The module is a livepatch module, as promised, and so not null; it is in memory as it
    // is the caller.
    let elf = unsafe { Elf::of_loaded(NonNull::new_unchecked(module.cast_mut())) };
    // SAFETY: `name` is a string, as promised.
    let name = unsafe { CStr::from_char_ptr(name) };
    let (address, found) = elf.find_section(name).unwrap_or((ptr::null_mut(), 0));

    // SAFETY: `size` is a valid place, as promised.
    unsafe { size.write(found) };
    address
}

/// Applies the relocations in one section of a patch module that is being loaded, if it is for
/// `objname`, null for vmlinux.
///
/// Returns 0 or a negative errno. May sleep.
///
/// # Safety
///
/// For the module loader: the arguments are parts of the ELF file of `pmod`.
#[export]
pub(crate) unsafe extern "C" fn klp_apply_section_relocs(
    pmod: *mut bindings::module,
    sechdrs: *mut bindings::Elf64_Shdr,
    shstrtab: *const c_char,
    strtab: *const c_char,
    symindex: c_uint,
    secindex: c_uint,
    objname: *const c_char,
) -> c_int {
    // SAFETY: The loader calls this for sections with livepatch relocations only.
    let section = unsafe { RelocationSection::new(secindex) };
    // SAFETY: The arguments are what the loader hands over, which stays during the call.
    let elf = unsafe { Elf::of_loading(pmod, sechdrs, shstrtab, strtab, symindex, section) };
    let object = if objname.is_null() {
        c"vmlinux"
    } else {
        // SAFETY: Not null, so it is the name of a module.
        unsafe { CStr::from_char_ptr(objname) }
    };

    to_c_int(reloc::apply_section(elf, section, object))
}
