// SPDX-License-Identifier: GPL-2.0

//! Livepatches that are loaded at boot: into the folder, and out of it.

use std::fs;
use std::path::Path;

use super::boot;
use super::switch::Done;
use crate::failure::{Exit, Failure};
use crate::files::write_whole;
use crate::module::Opened;
use crate::root::Root;
use crate::source::kernel;
use crate::source::store::{self, Installed};
use crate::system::installed_here;

/// Installs the livepatch in `file` for the kernel `release`, or for the one that it was built for.
/// To install the same file once more changes nothing.
pub fn install(root: &Root, file: &Path, release: Option<&str>) -> Done {
    let Opened { module, bytes, .. } = Opened::open(file)?;
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
    let dir = root.path(Path::new(store::DIR).join(built_for));
    let name = &module.name;
    // Tools that read this folder take plain modules only, and find them by their names.
    let before = installed(root, built_for, name)?;
    let to = match before.as_slice() {
        [old] if fs::read(root.path(&old.file))? == bytes => {
            return Ok(format!("{name} is installed for {built_for} already"));
        }
        [old, ..] => root.path(&old.file),
        [] => dir.join(format!("{name}.ko")),
    };
    fs::create_dir_all(&dir)
        .and_then(|()| write_whole(&to, &bytes))
        .map_err(|error| Failure::of_io(&format!("cannot write {}", to.display()), error))?;
    // Those that had other spellings.
    for other in before.iter().skip(1) {
        remove_file(&root.path(&other.file))?;
    }
    // Whatever the one before has done, this is another one.
    boot::remove(root, name)?;
    let mut done = format!("{name} is installed for {built_for}");
    let all = installed_here(root)?.unwrap_or_default();
    let this = all
        .iter()
        .find(|it| it.name == *name && it.release == built_for);
    if let Some(by) = this.and_then(|it| it.replaced_by.as_ref()) {
        done += &format!("\n{by}, which is in use and is loaded after it, would replace it");
    }
    Ok(done)
}

/// Takes a livepatch out of the folder. What is loaded stays as it is.
pub fn uninstall(root: &Root, name: &str, release: Option<&str>) -> Done {
    let running = kernel::release(root)?.unwrap_or_default();
    let release = release.unwrap_or(&running);
    let name = store::module_name(name);
    let found = installed(root, release, &name)?;
    if found.is_empty() {
        return Err(Failure::new(
            Exit::NoSuchPatch,
            format!("{name} is not installed for {release}"),
        )
        .with_remedy("klp list --installed shows what is"));
    }
    for file in found.iter().map(|it| root.path(&it.file)) {
        remove_file(&file)?;
        // Folders that hold nothing for anybody go, too.
        if let Some(dir) = file.parent() {
            let _ = fs::remove_dir(dir);
        }
    }
    Ok(format!("{name} is not installed for {release} any more"))
}

fn remove_file(file: &Path) -> Result<(), Failure> {
    fs::remove_file(file)
        .map_err(|error| Failure::of_io(&format!("cannot remove {}", file.display()), error))
}

/// Its files. There is more than one if it was installed under two spellings.
fn installed(root: &Root, release: &str, name: &str) -> Result<Vec<Installed>, Failure> {
    let mut found = store::installed(root)?.ok_or_else(Failure::store_hidden)?;
    found.retain(|it| it.is(release, name));
    Ok(found)
}
