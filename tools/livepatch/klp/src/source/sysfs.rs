// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/livepatch`, as Documentation/ABI/testing/sysfs-kernel-livepatch has it.

use std::io;
use std::path::PathBuf;

use crate::root::Root;

/// The folder that a kernel with `CONFIG_LIVEPATCH` has.
pub const DIR: &str = "/sys/kernel/livepatch";

/// Where a transition leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Patched,
    Unpatched,
}

impl Target {
    /// Where its reversal leads.
    pub fn opposite(self) -> Self {
        match self {
            Self::Patched => Self::Unpatched,
            Self::Unpatched => Self::Patched,
        }
    }

    /// The word for it that the kernel uses, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Patched => "patched",
            Self::Unpatched => "unpatched",
        }
    }
}

/// What the kernel says of one livepatch. [`None`] is what it does not say: older kernels have no
/// `replace` and no `stack_order`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    pub name: String,
    pub enabled: bool,
    pub transition: bool,
    pub replace: Option<bool>,
    pub stack_order: Option<u32>,
    pub objects: Vec<Object>,
}

/// The kernel, `vmlinux`, or a module that a livepatch has functions for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    pub name: String,
    /// Is the object there, and patched?
    pub patched: Option<bool>,
    pub functions: Vec<Function>,
}

/// A function that is replaced.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Function {
    pub name: String,
    /// Which one, of several with this name; 1 if there is but one.
    pub sympos: u32,
}

impl Patch {
    /// The file of this livepatch whose name is `file`.
    pub fn file(name: &str, file: &str) -> PathBuf {
        PathBuf::from(DIR).join(name).join(file)
    }

    /// Where it is, or is being moved to.
    pub fn target(&self) -> Target {
        if self.enabled {
            Target::Patched
        } else {
            Target::Unpatched
        }
    }
}

/// Is there a livepatch of this name?
pub fn is_there(root: &Root, name: &str) -> bool {
    root.exists(Patch::file(name, "enabled"))
}

/// Can the kernel livepatch? Where sysfs is not mounted that cannot be told.
pub fn can_livepatch(root: &Root) -> io::Result<bool> {
    if root.exists(DIR) {
        return Ok(true);
    }
    if root.exists("/sys/kernel") {
        return Ok(false);
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        "there is no /sys/kernel here: sysfs is not mounted",
    ))
}

/// All livepatches, the oldest first. [`None`]: this kernel cannot livepatch.
pub fn patches(root: &Root) -> io::Result<Option<Vec<Patch>>> {
    if !can_livepatch(root)? {
        return Ok(None);
    }
    let mut patches = Vec::new();
    let folders = root.folders(DIR)?;
    for name in folders.ok_or(io::ErrorKind::PermissionDenied)? {
        patches.extend(patch(root, &name)?);
    }
    // Where the kernel does not tell the order, names have to do.
    patches.sort_by_key(|patch| patch.stack_order);
    Ok(Some(patches))
}

/// The livepatch whose transition runs: there is one at a time.
pub fn in_transition(root: &Root) -> io::Result<Option<Patch>> {
    let patches = patches(root)?.unwrap_or_default();
    Ok(patches.into_iter().find(|patch| patch.transition))
}

/// One livepatch. [`None`]: it is not there, or went while it was read.
pub fn patch(root: &Root, name: &str) -> io::Result<Option<Patch>> {
    let file = |file| Patch::file(name, file);
    let objects = objects(root, name)?;
    let (Some(enabled), Some(transition)) =
        (root.flag(file("enabled"))?, root.flag(file("transition"))?)
    else {
        return Ok(None);
    };
    Ok(Some(Patch {
        name: name.to_owned(),
        enabled,
        transition,
        replace: root.flag(file("replace"))?,
        stack_order: root.number(file("stack_order"))?,
        objects,
    }))
}

fn objects(root: &Root, patch: &str) -> io::Result<Vec<Object>> {
    let dir = PathBuf::from(DIR).join(patch);
    let mut objects = Vec::new();
    for name in root.folders(&dir)?.unwrap_or_default() {
        let object = dir.join(&name);
        objects.push(Object {
            patched: root.flag(object.join("patched"))?,
            functions: root
                .folders(&object)?
                .unwrap_or_default()
                .iter()
                .map(|name| Function::parse(name))
                .collect(),
            name,
        });
    }
    Ok(objects)
}

impl Function {
    /// A folder's name: the function, a comma, and which one of that name it is.
    fn parse(folder: &str) -> Self {
        match folder
            .rsplit_once(',')
            .map(|(name, sympos)| (name, sympos.parse()))
        {
            Some((name, Ok(sympos))) => Self {
                name: name.to_owned(),
                sympos,
            },
            _ => Self {
                name: folder.to_owned(),
                sympos: 1,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_folder_says_function_and_position(name in "[a-z_.][a-z0-9_.,]{0,60}", sympos: u32) {
            let function = Function::parse(&format!("{name},{sympos}"));
            prop_assert_eq!(function, Function { name, sympos });
        }

        #[test]
        fn any_folder_is_a_function(folder: String) {
            prop_assert!(folder.starts_with(&Function::parse(&folder).name));
        }
    }
}
