// SPDX-License-Identifier: GPL-2.0

//! A function that a patch replaces.

use super::{
    owner::PatchModule,
    status::FuncStatus, //
};
use crate::{
    descriptor::FuncDescriptor,
    fault::{
        self,
        Point, //
    },
    func_stacks::{
        Site,
        Version, //
    },
    kobject::Directory,
    model::names,
    shim,
    symbols::Wanted, //
};
use kernel::{
    bindings,
    prelude::*,
    str::CString, //
};

/// Start and size in bytes of the code of a function.
#[derive(Clone, Copy)]
pub(crate) struct Code {
    pub(crate) start: usize,
    pub(crate) size: usize,
}

impl Code {
    /// Asks ftrace for the call site; `None` if there is none.
    pub(super) fn call_site(self) -> Option<usize> {
        shim::call_site(self.start, self.size)
    }
}

/// How much is known about where a function is.
#[derive(Clone, Copy)]
enum Location {
    /// Nothing: its object is not loaded.
    Unknown,
    Located(Code),
    /// Also the call site, as ftrace knows it: the function was applied since it was located.
    Attachable(Code, usize),
    /// It was in the init section of its object, which has been freed after its last call.
    Gone,
}

/// A function that a patch replaces.
///
/// Or one that it gives back: a patch that replaces other patches has a nop for each function of
/// theirs that it does not touch itself. A nop's version runs the original function.
pub(crate) struct Func {
    pub(crate) name: CString,
    pub(crate) sympos: usize,
    /// `None` for a nop.
    descriptor: Option<FuncDescriptor>,
    version: Version,
    location: Location,
    directory: Directory<FuncStatus>,
}

impl Func {
    /// Makes a function that is not located yet, of the name in its descriptor.
    pub(super) fn new(name: &CStr, descriptor: FuncDescriptor) -> Result<Self> {
        let (sympos, new_func) = (descriptor.sympos(), descriptor.new_func());

        Self::with(name, sympos, new_func, Some(descriptor))
    }

    pub(super) fn nop(name: &CStr, sympos: usize) -> Result<Self> {
        Self::with(name, sympos, 0, None)
    }

    fn with(
        name: &CStr,
        sympos: usize,
        new_func: usize,
        descriptor: Option<FuncDescriptor>,
    ) -> Result<Self> {
        Ok(Func {
            name: CString::try_from(name)?,
            sympos,
            descriptor,
            version: Version::new(new_func),
            location: Location::Unknown,
            directory: Directory::new(FuncStatus)?,
        })
    }

    pub(crate) fn is_nop(&self) -> bool {
        self.version.new_func() == 0
    }

    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    /// The original function, if its object is loaded.
    pub(crate) fn old_func(&self) -> Option<Code> {
        match self.location {
            Location::Unknown | Location::Gone => None,
            Location::Located(code) | Location::Attachable(code, _) => Some(code),
        }
    }

    /// Where the version goes on a stack; `None` before the function was first applied.
    pub(crate) fn site(&self) -> Option<Site<'_>> {
        let Location::Attachable(_, ip) = self.location else {
            return None;
        };
        Some(Site {
            ip,
            version: &self.version,
        })
    }

    pub(super) fn is_located(&self) -> bool {
        !matches!(self.location, Location::Unknown)
    }

    /// What to look up for [`Func::locate`], in the object of the name `object`.
    pub(super) fn wanted<'a>(&'a self, object: Option<&'a CStr>) -> Wanted<'a> {
        Wanted::new(object, &self.name, self.sympos)
    }

    /// Learns where the function is, and its size if there is one. Errors are reported.
    ///
    /// After [`measure_replacements`].
    pub(super) fn locate(&mut self, old_func: usize, old_size: Option<usize>) -> Result {
        fault::check(Point::Measure)?;
        let old_size = old_size.ok_or_else(|| {
            pr_err!("kallsyms size lookup failed for '{}'\n", &*self.name);
            ENOENT
        })?;
        if self.is_nop() {
            self.version.set_new_size(old_size);
        } else if self.version.new_size() == 0 {
            pr_err!(
                "kallsyms size lookup failed for '{}' replacement\n",
                &*self.name
            );
            return Err(ENOENT);
        }
        if let Some(descriptor) = self.descriptor {
            descriptor.set_old_func(old_func);
            descriptor.set_sizes(old_size, self.version.new_size());
        }
        self.location = Location::Located(Code {
            start: old_func,
            size: old_size,
        });
        Ok(())
    }

    /// Forgets where the function was: its object goes.
    pub(super) fn forget(&mut self) {
        self.lose(Location::Unknown);
    }

    /// The init section of the object is about to go, and the function with it.
    pub(super) fn set_gone(&mut self) {
        self.set_patched(false);
        self.lose(Location::Gone);
    }

    fn lose(&mut self, location: Location) {
        self.location = location;
        if let Some(descriptor) = self.descriptor {
            descriptor.set_old_func(0);
        }
    }

    /// Tells users whether the version is on a stack, now that this is so of the object's functions
    /// that are there.
    pub(super) fn set_patched(&self, patched: bool) {
        if let Some(descriptor) = self.descriptor {
            descriptor.set_patched(patched && self.site().is_some());
        }
    }

    /// Marks the version as being applied or reverted, or ends that.
    pub(crate) fn set_transition(&self, on: bool) {
        self.version.set_transition(on);
        if let Some(descriptor) = self.descriptor {
            descriptor.set_transition(on);
        }
    }

    /// Asks ftrace for the call site of the located function, if it is not gone. Errors are
    /// reported.
    pub(super) fn find_call_site(&mut self) -> Result {
        if let Location::Gone = self.location {
            return Ok(());
        }
        fault::check(Point::FindCallSite)?;
        let code = self.old_func().ok_or(EINVAL)?;
        let ip = code.call_site().ok_or_else(|| {
            pr_err!("failed to find location for function '{}'\n", &*self.name);
            EINVAL
        })?;

        self.location = Location::Attachable(code, ip);
        Ok(())
    }

    /// Creates the directory of the function, if it is not there yet.
    ///
    /// # Safety
    ///
    /// `parent` must be a kobject that is visible until [`Func::remove_from_sysfs`].
    pub(super) unsafe fn add_to_sysfs(&mut self, parent: *mut bindings::kobject) -> Result {
        let sympos = names::shown_sympos(self.sympos);

        fault::check(Point::ShowFunc)?;
        // SAFETY: `parent` stays visible until the directory is removed, as the caller promises.
        unsafe { self.directory.add(parent, &self.name, Some(sympos)) }
    }

    pub(super) fn remove_from_sysfs(&mut self) {
        self.directory.remove();
    }
}

/// Asks for the sizes of the replacements of those of `funcs` that are not located yet, all of them
/// at once; `module` is the one of the patch. May sleep.
pub(super) fn measure_replacements<'a>(
    module: &PatchModule,
    funcs: impl Iterator<Item = &'a Func> + Clone,
) -> Result {
    let versions = funcs
        .filter(|func| !func.is_located() && !func.is_nop())
        .map(Func::version);
    let sizes = module.measure(versions.clone().map(Version::new_func))?;

    for version in versions {
        let size = sizes.get(version.new_func());
        version.set_new_size(size.unwrap_or(0));
    }
    Ok(())
}
