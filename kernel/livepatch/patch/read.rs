// SPDX-License-Identifier: GPL-2.0

//! Makes the core's own copy of a descriptor, and refuses one that is malformed.

use super::{
    func::Func,
    object::Object,
    NewPatch,
    Patch, //
};
use crate::{
    descriptor::{
        FuncDescriptor,
        ObjectDescriptor,
        PatchDescriptor, //
    },
    model::names, //
};
use kernel::{
    bindings,
    prelude::*, //
};

impl Patch {
    /// Makes the core's own copy of what `descriptor` says. Errors are reported.
    pub(crate) fn read(descriptor: PatchDescriptor, new: NewPatch) -> Result<Self> {
        let mut objects: KVec<Object> = KVec::new();

        for object in descriptor.objects() {
            let object = read_object(object, descriptor.name())?;
            if objects.iter().any(|other| other.label() == object.label()) {
                pr_err!(
                    "patch '{}' has the object '{}' twice\n",
                    descriptor.name(),
                    object.label()
                );
                return Err(EEXIST);
            }
            objects.push(object, GFP_KERNEL)?;
        }
        descriptor.link_objects();

        Patch::new(descriptor, new, objects)
    }
}

fn read_object(descriptor: ObjectDescriptor, patch: &CStr) -> Result<Object> {
    let label = descriptor.label();

    check_label(label, patch)?;
    let mut object = Object::new(descriptor)?;
    for func in descriptor.funcs() {
        let func = read_func(func, patch, label)?;
        if object.has(&func.name, func.sympos) {
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

fn check_label(label: &CStr, patch: &CStr) -> Result {
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
    Ok(())
}

fn read_func(descriptor: FuncDescriptor, patch: &CStr, object: &CStr) -> Result<Func> {
    let name = descriptor.name().ok_or(EINVAL)?;

    if name.count_bytes() >= bindings::KSYM_NAME_LEN as usize {
        pr_err!(
            "patch '{}': object '{}' has a function with a name that is too long\n",
            patch,
            object
        );
        return Err(EINVAL);
    }
    if descriptor.new_func() == 0 {
        pr_err!(
            "patch '{}': function '{}' of object '{}' has no replacement\n",
            patch,
            name,
            object
        );
        return Err(EINVAL);
    }
    Func::new(name, descriptor)
}
