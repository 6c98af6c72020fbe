// SPDX-License-Identifier: GPL-2.0

//! Entry points of the livepatch API whose function is not there yet. They refuse.

use kernel::{
    bindings,
    ffi::c_void,
    prelude::*, //
};

fn no_shadow_variables() -> *mut c_void {
    pr_warn!("shadow variables are not supported yet\n");
    core::ptr::null_mut()
}

/// Always says that there is no shadow variable: none can be made.
///
/// # Safety
///
/// As in C; nothing is accessed.
#[export]
pub(crate) unsafe extern "C" fn klp_shadow_get(_obj: *mut c_void, _id: usize) -> *mut c_void {
    core::ptr::null_mut()
}

/// Refuses to make a shadow variable.
///
/// # Safety
///
/// As in C; nothing is accessed.
#[export]
pub(crate) unsafe extern "C" fn klp_shadow_alloc(
    _obj: *mut c_void,
    _id: usize,
    _size: usize,
    _gfp_flags: bindings::gfp_t,
    _ctor: bindings::klp_shadow_ctor_t,
    _ctor_data: *mut c_void,
) -> *mut c_void {
    no_shadow_variables()
}

/// Refuses to make a shadow variable.
///
/// # Safety
///
/// As in C; nothing is accessed.
#[export]
pub(crate) unsafe extern "C" fn klp_shadow_get_or_alloc(
    _obj: *mut c_void,
    _id: usize,
    _size: usize,
    _gfp_flags: bindings::gfp_t,
    _ctor: bindings::klp_shadow_ctor_t,
    _ctor_data: *mut c_void,
) -> *mut c_void {
    no_shadow_variables()
}

/// Has nothing to free.
///
/// # Safety
///
/// As in C; nothing is accessed.
#[export]
pub(crate) unsafe extern "C" fn klp_shadow_free(
    _obj: *mut c_void,
    _id: usize,
    _dtor: bindings::klp_shadow_dtor_t,
) {
}

/// Has nothing to free.
///
/// # Safety
///
/// As in C; nothing is accessed.
#[export]
pub(crate) unsafe extern "C" fn klp_shadow_free_all(
    _id: usize,
    _dtor: bindings::klp_shadow_dtor_t,
) {
}

/// Finds no state: a patch with states is refused.
///
/// # Safety
///
/// As in C; nothing is accessed.
#[export]
pub(crate) unsafe extern "C" fn klp_get_state(
    _patch: *mut bindings::klp_patch,
    _id: usize,
) -> *mut bindings::klp_state {
    core::ptr::null_mut()
}

/// Finds no state: a patch with states is refused.
///
/// # Safety
///
/// As in C; nothing is accessed.
#[export]
pub(crate) unsafe extern "C" fn klp_get_prev_state(_id: usize) -> *mut bindings::klp_state {
    core::ptr::null_mut()
}

/// Refuses a module with livepatch relocations.
///
/// # Safety
///
/// For the module loader: `pmod` must be valid.
#[export]
pub(crate) unsafe extern "C" fn klp_apply_section_relocs(
    _pmod: *mut bindings::module,
    _sechdrs: *mut bindings::Elf64_Shdr,
    _shstrtab: *const c_char,
    _strtab: *const c_char,
    _symindex: c_uint,
    _secindex: c_uint,
    _objname: *const c_char,
) -> c_int {
    pr_err!("livepatch relocations (.klp.rela sections) are not supported yet\n");
    EOPNOTSUPP.to_errno()
}
