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
    model::{
        duplicates,
        names, //
    },
};
use kernel::{
    bindings,
    prelude::*, //
};

impl Patch {
    /// Makes the core's own copy of what `descriptor` says. Errors are reported.
    pub(crate) fn read(descriptor: PatchDescriptor, new: NewPatch) -> Result<Self> {
        let mut objects: KVec<Object> = KVec::new();
        let entries = collect(descriptor.objects())?;
        let duplicate = first_duplicate(&entries, ObjectDescriptor::label)?;

        for (at, &object) in entries.iter().enumerate() {
            let object = read_object(object, descriptor.name())?;
            if duplicate == Some(at) {
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
    let entries = collect(descriptor.funcs())?;
    let duplicate = first_duplicate(&entries, FuncDescriptor::key)?;
    for (at, func) in entries.iter().enumerate() {
        let func = read_func(*func, patch, label)?;
        if duplicate == Some(at) {
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

fn collect<T>(entries: impl Iterator<Item = T>) -> Result<KVVec<T>> {
    let mut list = KVVec::new();

    for entry in entries {
        list.push(entry, GFP_KERNEL)?;
    }
    Ok(list)
}

/// The position of the first entry that has the key of one before it.
///
/// Whatever else is wrong with an entry before that one is reported first.
fn first_duplicate<'a, T, K: Ord>(
    entries: &'a [T],
    key: impl Fn(&'a T) -> K,
) -> Result<Option<usize>> {
    let keys = entries.iter().map(key).zip(0..);

    Ok(duplicates::first_duplicate(&mut collect(keys)?))
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
