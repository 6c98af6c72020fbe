// SPDX-License-Identifier: GPL-2.0

//! What goes into an initramfs, by the hooks of those that make one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

const RELEASE: &str = "7.3.4-test";

/// A system with livepatches for two kernels, and a program klp.
fn system() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (release, name) in [(RELEASE, "a.ko"), (RELEASE, "b.ko"), ("6.1.0", "old.ko")] {
        let folder = dir.path().join("var/lib/kpatch").join(release);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), "").unwrap();
    }
    let klp = dir.path().join("bin/klp");
    fs::create_dir(klp.parent().unwrap()).unwrap();
    fs::write(&klp, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&klp, fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

fn hook(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Runs a script with functions that say what they were called with: exit code, and what was said.
fn run(shell: &str, system: &TempDir, script: &str) -> (i32, String) {
    let path = format!("{}/bin:/usr/bin:/bin", system.path().display());
    let output = Command::new(shell)
        .args(["-c", script])
        .env("PATH", path)
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let root = system.path().to_str().unwrap();
    (output.status.code().unwrap(), said.replace(root, "ROOT"))
}

fn initramfs_tools(system: &TempDir, wanted: &str) -> (i32, String) {
    let root = system.path().display();
    let functions = system.path().join("hook-functions");
    let stubs = "copy_exec() { echo copy_exec \"$@\"; }\ncopy_file() { echo copy_file \"$@\"; }\n";
    fs::write(&functions, stubs).unwrap();
    let script = hook("initramfs-tools/hooks/klp")
        .replace(
            "/usr/share/initramfs-tools/hook-functions",
            functions.to_str().unwrap(),
        )
        .replace("/var/lib/kpatch", &format!("{root}/var/lib/kpatch"));
    run(
        "sh",
        system,
        &format!("{wanted}\nversion={RELEASE}\n{script}"),
    )
}

#[test]
fn initramfs_tools_takes_what_is_for_its_kernel() {
    let system = system();
    let (code, said) = initramfs_tools(&system, "KLP=y");
    assert_eq!(
        said,
        "copy_exec ROOT/bin/klp /usr/sbin/klp\n\
         copy_file livepatch ROOT/var/lib/kpatch/7.3.4-test/a.ko\n\
         copy_file livepatch ROOT/var/lib/kpatch/7.3.4-test/b.ko\n"
    );
    assert_eq!(code, 0);
}

#[test]
fn initramfs_tools_takes_nothing_unless_that_is_wanted() {
    let system = system();
    assert_eq!(initramfs_tools(&system, ""), (0, String::new()));
    fs::remove_file(system.path().join("bin/klp")).unwrap();
    let (code, said) = initramfs_tools(&system, "KLP=y");
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("there is no program klp"), "{said}");
}

#[test]
fn dracut_takes_what_is_for_its_kernel() {
    let system = system();
    let script = format!(
        "inst_binary() {{ echo inst_binary \"$@\"; }}\n\
         inst_simple() {{ echo inst_simple \"$@\"; }}\n\
         inst_hook() {{ echo inst_hook \"$@\"; }}\n\
         require_binaries() {{ type -P \"$@\" > /dev/null; }}\n\
         moddir=MODULE dracutsysrootdir={} kernel={RELEASE}\n{}\ninstall\ncheck",
        system.path().display(),
        hook("dracut/95klp/module-setup.sh")
    );
    let (code, said) = run("bash", &system, &script);
    assert_eq!(
        said,
        "inst_binary klp\n\
         inst_simple /var/lib/kpatch/7.3.4-test/a.ko\n\
         inst_simple /var/lib/kpatch/7.3.4-test/b.ko\n\
         inst_hook pre-udev 05 MODULE/klp-load.sh\n"
    );
    // Only if it is asked for.
    assert_eq!(code, 255);
}

#[test]
fn the_boot_goes_on_whatever_becomes_of_it() {
    let system = system();
    let klp = system.path().join("bin/klp");
    fs::write(&klp, "#!/bin/sh\necho klp \"$@\"\nexit 1\n").unwrap();
    let (code, said) = run("sh", &system, &hook("dracut/95klp/klp-load.sh"));
    assert_eq!(code, 0);
    assert_eq!(said, "klp load --all --boot --initrd --no-progress\n");
    let script = hook("initramfs-tools/scripts/init-top/klp");
    let script = script.replace("/usr/sbin/klp", klp.to_str().unwrap());
    let (code, said) = run("sh", &system, &script);
    assert_eq!(code, 0);
    assert_eq!(said, "klp load --all --boot --initrd --no-progress\n");
    assert_eq!(
        run("sh", &system, &format!("set prereqs\n{script}")),
        (0, String::new())
    );
}
