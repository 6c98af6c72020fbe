// SPDX-License-Identifier: GPL-2.0

//! Names to addresses, and addresses to sizes.

use crate::{
    model::{
        extents::{
            self,
            Extent, //
        },
        names,
        sort::sort_by_key,
        sympos::{
            Search,
            Unresolved, //
        },
    },
    shim,
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    ffi::c_void,
    prelude::*, //
};

/// A symbol to be found in one object.
pub(crate) struct Wanted<'a> {
    /// `None` for vmlinux.
    object: Option<&'a CStr>,
    name: &'a CStr,
    sympos: usize,
    search: Search,
}

impl<'a> Wanted<'a> {
    /// `object` is `None` for vmlinux.
    pub(crate) const fn new(object: Option<&'a CStr>, name: &'a CStr, sympos: usize) -> Self {
        Wanted {
            object,
            name,
            sympos,
            search: Search::new(sympos),
        }
    }

    /// Is there no symbol of that name?
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.search.outcome(), Err(Unresolved::NotFound))
    }

    /// The address found; an error is reported and returned as -EINVAL.
    pub(crate) fn resolved(&self) -> Result<usize> {
        self.search.outcome().map_err(|why| {
            match why {
                Unresolved::NotFound => {
                    pr_err!("symbol '{}' not found in symbol table\n", self.name)
                }
                // "(null)" is what this message has always said for vmlinux.
                Unresolved::Ambiguous => pr_err!(
                    "unresolvable ambiguity for symbol '{}' in object '{}'\n",
                    self.name,
                    self.object.unwrap_or(c"(null)")
                ),
                Unresolved::NoSuchPosition => pr_err!(
                    "symbol position {} for symbol '{}' in object '{}' not found\n",
                    self.sympos,
                    self.name,
                    names::object_label(self.object)
                ),
            }
            EINVAL
        })
    }
}

/// Looks all of `wanted` up. May sleep.
///
/// vmlinux has an index by name. The symbols of a module do not, so they are walked once for all
/// names.
pub(crate) fn search(wanted: &mut [Wanted<'_>]) -> Result {
    let mut by_object = KVVec::with_capacity(wanted.len(), GFP_KERNEL)?;

    for symbol in wanted {
        if symbol.object.is_some() {
            by_object.push(symbol, GFP_KERNEL)?;
            continue;
        }
        // SAFETY: `offer` gets a pointer to a `Search`, borrowed exclusively for the time of the
        // call, and the name is a string.
        unsafe {
            bindings::kallsyms_on_each_match_symbol(
                Some(offer),
                symbol.name.as_char_ptr(),
                (&raw mut symbol.search).cast(),
            )
        };
    }

    sort_by_key(&mut by_object, |symbol| (symbol.object, symbol.name));
    for mut group in by_object.chunk_by_mut(|a, b| a.object == b.object) {
        let Some(object) = group.first().and_then(|symbol| symbol.object) else {
            continue;
        };
        // SAFETY: `offer_by_name` gets a pointer to a slice that is sorted by name, borrowed
        // exclusively for the time of the call, and the name of the object is a string.
        unsafe {
            bindings::module_kallsyms_on_each_symbol(
                object.as_char_ptr(),
                Some(offer_by_name),
                (&raw mut group).cast(),
            )
        };
    }
    Ok(())
}

/// # Safety
///
/// `data` must point to a [`Search`] that nobody else uses.
unsafe extern "C" fn offer(data: *mut c_void, addr: usize) -> c_int {
    // SAFETY: `data` points to a `Search` that nobody else uses, as promised.
    let search = unsafe { &mut *data.cast::<Search>() };

    search.offer(addr);
    search.is_over().into()
}

/// # Safety
///
/// `data` must point to a `&mut [&mut Wanted<'_>]`, sorted by name, that nobody else uses; `name`
/// must be a valid string.
unsafe extern "C" fn offer_by_name(data: *mut c_void, name: *const c_char, addr: usize) -> c_int {
    // SAFETY: `data` points to such a slice that nobody else uses, and `name` is a string, as
    // promised.
    let (wanted, name) = unsafe {
        (
            &mut *data.cast::<&mut [&mut Wanted<'_>]>(),
            CStr::from_char_ptr(name),
        )
    };

    let first = wanted.partition_point(|symbol| symbol.name < name);
    for symbol in wanted.iter_mut().skip(first) {
        if symbol.name != name {
            break;
        }
        symbol.search.offer(addr);
    }
    0
}

/// How many bytes there are from an address to the end of the function that it is in, padding
/// included.
pub(crate) struct Sizes {
    /// For the addresses in one module.
    extents: KVVec<Extent>,
}

impl Sizes {
    /// Measures the code at `addrs`. May sleep.
    ///
    /// kallsyms has an index of vmlinux. For an address in a module it goes through all symbols, so
    /// those of `module` are walked here once for all addresses in it.
    ///
    /// # Safety
    ///
    /// `module` must be in memory.
    pub(crate) unsafe fn measure(
        module: Option<NonNull<bindings::module>>,
        addrs: impl Iterator<Item = usize> + Clone,
    ) -> Result<Self> {
        let mut extents = KVVec::new();

        if let Some(module) = module {
            extents.reserve(addrs.clone().count(), GFP_KERNEL)?;
            for addr in addrs {
                // SAFETY: The module is in memory, as the caller promises.
                if let Some(memory) = unsafe { shim::module_memory(module, addr) } {
                    extents.push(Extent::new(addr, memory), GFP_KERNEL)?;
                }
            }
            // SAFETY: The module is in memory, as the caller promises.
            unsafe { Self::walk(module, &mut extents) };
        }
        Ok(Sizes { extents })
    }

    /// # Safety
    ///
    /// `module` must be in memory.
    unsafe fn walk(module: NonNull<bindings::module>, mut extents: &mut [Extent]) {
        if extents.is_empty() {
            return;
        }
        extents::sort(extents);
        // SAFETY: `offer_to_extents` gets a pointer to a slice that is sorted, borrowed exclusively
        // for the time of the call. The module is in memory, as the caller promises, and the loader
        // has made sure that its name ends within the array.
        unsafe {
            bindings::module_kallsyms_on_each_symbol(
                (&raw const (*module.as_ptr()).name).cast(),
                Some(offer_to_extents),
                (&raw mut extents).cast(),
            )
        };
        extents::finish(extents);
    }

    /// The size of the code at `addr`; `None` if kallsyms knows no function there.
    pub(crate) fn get(&self, addr: usize) -> Option<usize> {
        match extents::find(&self.extents, addr) {
            Some(extent) => extent.size(),
            None => look_up_size(addr),
        }
    }
}

/// # Safety
///
/// `data` must point to a `&mut [Extent]`, sorted, that nobody else uses; `name` must be a valid
/// string.
unsafe extern "C" fn offer_to_extents(
    data: *mut c_void,
    name: *const c_char,
    addr: usize,
) -> c_int {
    // SAFETY: `data` points to such a slice that nobody else uses, and `name` is a string, as
    // promised.
    let (extents, name) = unsafe {
        (
            &mut *data.cast::<&mut [Extent]>(),
            CStr::from_char_ptr(name),
        )
    };

    extents::offer(extents, name.to_bytes(), addr);
    0
}

/// As [`Sizes::get`], of kallsyms.
fn look_up_size(addr: usize) -> Option<usize> {
    let (mut size, mut offset) = (0, 0);

    // SAFETY: Both places are this function's own, and only written to during the call.
    let known =
        unsafe { bindings::kallsyms_lookup_size_offset(addr, &raw mut size, &raw mut offset) };
    (known != 0).then_some(size.saturating_sub(offset))
}
