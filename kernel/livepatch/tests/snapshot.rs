// SPDX-License-Identifier: GPL-2.0

//! All that an operation which fails must leave as it was.

use super::{
    one,
    twins,
    two, //
};
use crate::{
    model::phase::Phase,
    patch::{
        Patch,
        PatchId, //
    },
    registry, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    ffi::c_void,
    prelude::*,
    str::CString, //
};

/// A mount of sysfs.
pub(super) struct Sysfs(NonNull<bindings::vfsmount>);

impl Sysfs {
    pub(super) fn mount() -> Result<Self> {
        // SAFETY: Takes no pointer. What it returns is an error or a mount that is this caller's.
        let mount = from_err_ptr(unsafe { bindings::klp_test_sysfs_mount() })?;

        Ok(Sysfs(NonNull::new(mount).ok_or(ENODEV)?))
    }

    /// Calls `f` for each entry of a directory, with its name and whether it is a directory.
    pub(super) fn list<F>(&self, path: &CStr, mut f: F) -> Result
    where
        F: FnMut(&[u8], bool) -> Result,
    {
        struct Call<'a, F> {
            f: &'a mut F,
            result: Result,
        }
        /// # Safety
        ///
        /// `data` must point to a `Call<F>` that nobody else uses, `name` to `len` bytes.
        unsafe extern "C" fn entry<F: FnMut(&[u8], bool) -> Result>(
            data: *mut c_void,
            name: *const c_char,
            len: usize,
            is_directory: bool,
        ) {
            // SAFETY: `data` points to a `Call<F>` that nobody else uses, and `name` to `len`
            // bytes, as promised.
            let (call, name) = unsafe {
                (
                    &mut *data.cast::<Call<'_, F>>(),
                    core::slice::from_raw_parts(name.cast::<u8>(), len),
                )
            };
            if call.result.is_ok() {
                call.result = (call.f)(name, is_directory);
            }
        }

        let mut call = Call {
            f: &mut f,
            result: Ok(()),
        };
        // SAFETY: The mount is there until this is dropped; `entry` gets its data for the time of
        // the call.
        to_result(unsafe {
            bindings::klp_test_sysfs_list(
                self.0.as_ptr(),
                path.as_char_ptr(),
                Some(entry::<F>),
                (&raw mut call).cast(),
            )
        })?;
        call.result
    }

    pub(super) fn read(&self, path: &CStr) -> Result<KVec<u8>> {
        let mut content = KVec::from_elem(0, 64, GFP_KERNEL)?;

        // SAFETY: The mount is there until this is dropped; the buffer is as long as is said.
        let read = unsafe {
            bindings::klp_test_sysfs_read(
                self.0.as_ptr(),
                path.as_char_ptr(),
                content.as_mut_ptr().cast(),
                content.len(),
            )
        };
        content.truncate(usize::try_from(read).map_err(|_| Error::from_errno(read as c_int))?);
        Ok(content)
    }

    pub(super) fn write(&self, path: &CStr, value: &[u8]) -> Result {
        // SAFETY: The mount is there until this is dropped; the buffer is as long as is said.
        let written = unsafe {
            bindings::klp_test_sysfs_write(
                self.0.as_ptr(),
                path.as_char_ptr(),
                value.as_ptr().cast(),
                value.len(),
            )
        };
        to_result(written.min(0) as c_int)
    }

    /// Adds the names of all that is below `path` to `names`, with what is in the files.
    fn read_all(&self, path: &CStr, names: &mut KVec<Entry>) -> Result {
        let mut entries: KVec<(CString, bool)> = KVec::new();
        self.list(path, |name, is_directory| {
            let mut entry = KVec::new();
            entry.extend_from_slice(path.to_bytes(), GFP_KERNEL)?;
            entry.push(b'/', GFP_KERNEL)?;
            entry.extend_from_slice(name, GFP_KERNEL)?;
            entry.push(0, GFP_KERNEL)?;
            let entry = CStr::from_bytes_with_nul(&entry).map_err(|_| EINVAL)?;
            entries.push((CString::try_from(entry)?, is_directory), GFP_KERNEL)?;
            Ok(())
        })?;

        for (path, is_directory) in entries {
            let mut content = KVec::new();
            if is_directory {
                match self.read_all(&path, names) {
                    // Of a patch that is just being removed.
                    Err(ENOENT) => continue,
                    other => other?,
                }
            } else if let Ok(read) = self.read(&path) {
                // Some can only be written.
                content = read;
            }
            names.push(Entry { path, content }, GFP_KERNEL)?;
        }
        Ok(())
    }
}

impl Drop for Sysfs {
    fn drop(&mut self) {
        // SAFETY: The mount is there, and no file of it is open.
        unsafe { bindings::klp_test_sysfs_unmount(self.0.as_ptr()) };
    }
}

/// A file or directory, and what is in it.
struct Entry {
    path: CString,
    content: KVec<u8>,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        *self.path == *other.path && *self.content == *other.content
    }
}

/// A call site: whether it is attached, and the replacements from top to bottom.
#[derive(PartialEq)]
struct Stack {
    ip: usize,
    attached: bool,
    versions: KVec<usize>,
}

/// The state of the core, of sysfs, of the modules, of the tasks and of the functions.
pub(super) struct Snapshot {
    enabled: KVec<(PatchId, Phase)>,
    registered: KVec<(PatchId, Phase)>,
    removing: usize,
    in_transition: bool,
    stacks: KVec<Stack>,
    shared: usize,
    sysfs: KVec<Entry>,
    references: [c_int; bindings::KLP_TEST_MODULES as usize],
    tasks_are_idle: bool,
    /// What is at the call sites of the functions.
    code: [usize; 5],
    answers: [c_int; 4],
}

impl Snapshot {
    pub(super) fn take(sysfs: &Sysfs) -> Result<Self> {
        fn list(patches: &[Patch]) -> Result<KVec<(PatchId, Phase)>> {
            let mut list = KVec::new();
            for patch in patches {
                list.push((patch.id, patch.phase()), GFP_KERNEL)?;
            }
            Ok(list)
        }

        let mut entries = KVec::new();
        // Before the lock is taken: attributes may take it.
        sysfs.read_all(c"kernel/livepatch", &mut entries)?;
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));

        let registry = registry::lock();
        let mut stacks = KVec::new();
        for (ip, attached, replacements) in registry.func_stacks.in_use() {
            let mut versions = KVec::new();
            for version in replacements {
                versions.push(version, GFP_KERNEL)?;
            }
            let stack = Stack {
                ip,
                attached,
                versions,
            };
            stacks.push(stack, GFP_KERNEL)?;
        }
        let [first, second] = twins();

        Ok(Snapshot {
            enabled: list(&registry.enabled)?,
            registered: list(&registry.registered)?,
            removing: registry.removing(),
            in_transition: registry.transition.is_some(),
            stacks,
            shared: registry.func_stacks.shared(),
            sysfs: entries,
            references: core::array::from_fn(|nr| {
                // SAFETY: There is a module of that number.
                unsafe { bindings::module_refcount(bindings::klp_test_module(nr as c_uint)) }
            }),
            // SAFETY: Takes no pointer, and walks the tasks under `tasklist_lock`.
            tasks_are_idle: unsafe { bindings::klp_test_tasks_are_idle() },
            code: call_sites(),
            answers: [one(), two(), first, second],
        })
    }

    /// Whether there are no patches.
    pub(super) fn is_unused(&self) -> bool {
        self.enabled.is_empty() && self.registered.is_empty() && self.is_settled()
    }

    /// Whether there is no transition.
    pub(super) fn is_settled(&self) -> bool {
        !self.in_transition && self.tasks_are_idle
    }

    fn differences(&self, other: &Self) -> [(&'static str, bool); 11] {
        [
            ("enabled patches", *self.enabled != *other.enabled),
            ("registered patches", *self.registered != *other.registered),
            ("patches on their way out", self.removing != other.removing),
            ("transition", self.in_transition != other.in_transition),
            ("stacks of versions", *self.stacks != *other.stacks),
            ("call sites in the filter", self.shared != other.shared),
            ("sysfs", *self.sysfs != *other.sysfs),
            ("module references", self.references != other.references),
            ("tasks", self.tasks_are_idle != other.tasks_are_idle),
            ("code at the call sites", self.code != other.code),
            ("answers", self.answers != other.answers),
        ]
    }

    /// Says what is not as in `expected`.
    pub(super) fn print_difference(&self, expected: &Self) {
        for (what, differs) in self.differences(expected) {
            if differs {
                pr_err!("not as it was: {}\n", what);
            }
        }
        if *self.sysfs != *expected.sysfs {
            for entry in &self.sysfs {
                pr_err!("sysfs: {}\n", &*entry.path);
            }
        }
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.differences(other).iter().all(|(_, differs)| !differs)
    }
}

/// What is at the call site of each function that is patched.
fn call_sites() -> [usize; 5] {
    // SAFETY: They take no pointer, and return those of functions.
    let (first, second) = unsafe {
        (
            bindings::klp_test_first_twin(),
            bindings::klp_test_second_twin(),
        )
    };

    [
        bindings::klp_test_one as *const () as usize,
        bindings::klp_test_two as *const () as usize,
        bindings::klp_test_sleep as *const () as usize,
        first.map_or(0, |twin| twin as *const () as usize),
        second.map_or(0, |twin| twin as *const () as usize),
    ]
    // SAFETY: Any address may be asked for, and tried to be read.
    .map(|func| unsafe { bindings::klp_test_code_at(bindings::ftrace_location(func)) })
}
