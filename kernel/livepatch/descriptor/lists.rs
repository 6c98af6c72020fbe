// SPDX-License-Identifier: GPL-2.0

//! The lists that link descriptors, for `klp_for_each_object()` and `klp_for_each_func()` in
//! callbacks, and for debuggers. The core does not read them.

use super::PatchDescriptor;
use kernel::bindings;

impl PatchDescriptor {
    /// Links the objects of the patch, and the functions of each. Under `klp_mutex`.
    pub(crate) fn link_objects(self) {
        // SAFETY: The descriptor is valid by the type invariants, and so are the entries of its
        // lists, each of which is there once. Only the core changes what links them.
        unsafe {
            for object in self.objects() {
                let funcs = object.funcs().map(|func| &raw mut (*func.0.as_ptr()).node);
                link(&raw mut (*object.0.as_ptr()).func_list, funcs);
            }
            let objects = self
                .objects()
                .map(|object| &raw mut (*object.0.as_ptr()).node);
            link(&raw mut (*self.0.as_ptr()).obj_list, objects);
        }
    }

    /// Links the enabled patches, which are `patches`, in their order. Under `klp_mutex`.
    pub(crate) fn link_enabled(patches: impl Iterator<Item = PatchDescriptor>) {
        // SAFETY: The head is static. The descriptors are valid by the type invariants, and each is
        // there once, as a patch is enabled once. Only the core changes what links them.
        unsafe {
            let patches = patches.map(|patch| &raw mut (*patch.as_ptr()).list);
            link(&raw mut bindings::klp_patches, patches);
        }
    }
}

/// Makes `nodes`, in that order, the list at `head`, whatever was there before.
///
/// # Safety
///
/// All pointers must be valid, no two must be the same, and nobody else may access what they point
/// to during the call.
unsafe fn link(
    head: *mut bindings::list_head,
    nodes: impl Iterator<Item = *mut bindings::list_head>,
) {
    // SAFETY: `head` is valid, as the caller promises.
    unsafe { bindings::INIT_LIST_HEAD(head) };
    for node in nodes {
        // SAFETY: All are valid, as the caller promises, and nothing but earlier nodes is in the
        // list.
        unsafe { bindings::list_add_tail(node, head) };
    }
}
