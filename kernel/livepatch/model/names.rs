// SPDX-License-Identifier: GPL-2.0

//! Rules for the names in a patch descriptor.

use core::ffi::CStr;

/// The attribute of a patch that changes by itself.
pub(crate) const TRANSITION: &CStr = c"transition";

/// Attributes of a patch's sysfs directory, which are also the names that no object can have there.
pub(crate) const PATCH_ATTRIBUTES: [&[u8]; 5] = [
    b"enabled",
    TRANSITION.to_bytes(),
    b"force",
    b"replace",
    b"stack_order",
];

/// The name under which an object appears in sysfs and in messages; `None` is vmlinux.
pub(crate) fn object_label(name: Option<&CStr>) -> &CStr {
    name.unwrap_or(c"vmlinux")
}

/// Would the directory of an object collide with an attribute of the patch?
pub(crate) fn is_attribute(label: &[u8]) -> bool {
    PATCH_ATTRIBUTES.contains(&label)
}

/// The symbol position shown in sysfs: 0 asks for a unique symbol, which is the first one.
pub(crate) const fn shown_sympos(sympos: usize) -> usize {
    if sympos == 0 {
        1
    } else {
        sympos
    }
}

/// What a function is known by: descriptions with the same key name the same one. Positions 0 and 1
/// are the same.
pub(crate) fn func_key(name: &CStr, sympos: usize) -> (&CStr, usize) {
    (name, shown_sympos(sympos))
}
