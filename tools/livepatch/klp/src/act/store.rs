// SPDX-License-Identifier: GPL-2.0

//! Livepatches that are loaded at boot: into the folder, and out of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::switch::Done;
use crate::failure::{Exit, Failure};
use crate::files::write_whole;
use crate::module::{self, ModuleFile};
use crate::root::Root;
use crate::source::kernel;
use crate::source::store::{self, Installed};

/// Installs the livepatch in `file` for the kernel `release`, or for the one that it was built for.
/// To install the same file once more changes nothing.
pub fn install(root: &Root, file: &Path, release: Option<&str>) -> Done {
    let bytes = module::unpacked(file)?;
    let module = ModuleFile::of(file.to_owned(), &bytes)?;
    let refuse = |why: String| Failure::new(Exit::Refused, format!("{}: {why}", file.display()));
    if !module.is_livepatch() {
        return Err(refuse("it is a module, but no livepatch".to_owned()));
    }
    let built_for = module
        .release()
        .ok_or_else(|| refuse("it does not say for which kernel".to_owned()))?;
    if release.is_some_and(|release| release != built_for) {
        return Err(refuse(format!("it was built for {built_for}")));
    }
    let dir = folder(root, built_for).map_err(|()| refuse(format!("{built_for} is no release")))?;
    let name = &module.name;
    // Tools that read this folder take plain modules only, and find them by their names.
    let to = match installed(root, built_for, name)? {
        Some(old) if fs::read(root.path(&old.file))? == bytes => {
            return Ok(format!("{name} is installed for {built_for} already"));
        }
        Some(old) => root.path(old.file),
        None => dir.join(format!("{name}.ko")),
    };
    fs::create_dir_all(&dir)
        .and_then(|()| write_whole(&to, &bytes))
        .map_err(|error| Failure::of_io(&format!("cannot write {}", to.display()), error))?;
    Ok(format!("{name} is installed for {built_for}"))
}

/// Takes a livepatch out of the folder. What is loaded stays as it is.
pub fn uninstall(root: &Root, name: &str, release: Option<&str>) -> Done {
    let running = kernel::release(root)?.unwrap_or_default();
    let release = release.unwrap_or(&running);
    let name = store::module_name(name);
    let Some(found) = installed(root, release, &name)? else {
        return Err(Failure::new(
            Exit::NoSuchPatch,
            format!("{name} is not installed for {release}"),
        )
        .with_remedy("klp list --installed shows what is"));
    };
    let file = root.path(&found.file);
    fs::remove_file(&file)?;
    // Folders that hold nothing for anybody go, too.
    if let Some(dir) = file.parent() {
        let _ = fs::remove_dir(dir);
    }
    Ok(format!("{name} is not installed for {release} any more"))
}

fn installed(root: &Root, release: &str, name: &str) -> io::Result<Option<Installed>> {
    let all = store::installed(root)?;
    Ok(all.into_iter().find(|it| it.is(release, name)))
}

/// The folder for a release, which is a name and no path.
fn folder(root: &Root, release: &str) -> Result<PathBuf, ()> {
    if release.is_empty() || release.starts_with('.') || release.contains('/') {
        return Err(());
    }
    Ok(root.path(Path::new(store::DIR).join(release)))
}
