// SPDX-License-Identifier: GPL-2.0

//! What is changed, as far as a copy of a system's files can be, and what is not.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use common::{klp, module, said, Tree, RELEASE};

/// A file outside of the folder of livepatches; answers its path.
fn file(tree: &Tree, name: &str, fields: &[&str]) -> String {
    let path = format!("tmp/{name}");
    tree.bytes(&path, &module(fields));
    tree.path(&path).to_str().unwrap().to_owned()
}

fn store(tree: &Tree) -> Vec<String> {
    let Ok(entries) = fs::read_dir(tree.path(&format!("var/lib/kpatch/{RELEASE}"))) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn vermagic(release: &str) -> String {
    format!("vermagic={release} SMP preempt")
}

#[test]
fn install_and_uninstall() {
    let tree = Tree::new();
    let livepatch = file(
        &tree,
        "a-1.ko",
        &["livepatch=Y", "name=a_1", &vermagic(RELEASE)],
    );
    let (code, out, err) = klp(&tree, &["install", &livepatch]);
    assert_eq!(
        (code, out, err),
        (
            0,
            format!("a_1 is installed for {RELEASE}\n"),
            String::new()
        )
    );
    assert_eq!(store(&tree), ["a_1.ko"]);
    let (_, out, _) = klp(&tree, &["install", &livepatch]);
    assert_eq!(out, format!("a_1 is installed for {RELEASE} already\n"));

    // Somebody else has installed it under its other spelling.
    fs::copy(
        &livepatch,
        tree.path(&format!("var/lib/kpatch/{RELEASE}/a-1.ko")),
    )
    .unwrap();
    let (code, out, _) = klp(&tree, &["uninstall", "a-1"]);
    assert_eq!(
        (code, out),
        (0, format!("a_1 is not installed for {RELEASE} any more\n"))
    );
    assert_eq!(store(&tree), [""; 0]);
    assert_eq!(klp(&tree, &["uninstall", "a_1"]).0, 3);
}

/// What a module says of itself is no path, whoever made it.
#[test]
fn install_stays_in_its_folder() {
    let tree = Tree::new();
    let outside = tree.path("etc/x.ko");
    fs::create_dir_all(outside.parent().unwrap()).unwrap();
    for (name, release) in [
        ("../../../../etc/x", RELEASE),
        ("..", RELEASE),
        ("", RELEASE),
        ("x", "../../../etc"),
        ("x", ".."),
        ("x", ""),
    ] {
        let fields = ["livepatch=Y", &format!("name={name}"), &vermagic(release)];
        let livepatch = file(&tree, "x.ko", &fields);
        let (code, out, err) = klp(&tree, &["install", &livepatch]);
        assert_eq!((code, out.as_str()), (4, ""), "{name} {release}: {err}");
        assert!(!outside.exists(), "{name} {release}");
        assert_eq!(store(&tree), [""; 0], "{name} {release}");
    }
}

#[test]
fn install_refuses_what_is_no_livepatch_for_this_kernel() {
    let tree = Tree::new();
    let other = file(&tree, "a.ko", &[&vermagic(RELEASE)]);
    assert_eq!(klp(&tree, &["install", &other]).0, 4);
    let older = file(&tree, "b.ko", &["livepatch=Y", &vermagic("6.1.0")]);
    let (code, _, err) = klp(&tree, &["install", "-k", RELEASE, &older]);
    assert_eq!(code, 4);
    assert!(err.contains("it was built for 6.1.0"), "{err}");
    assert_eq!(store(&tree), [""; 0]);
}

/// Whoever may read the file could lock it.
#[test]
fn the_lock_is_for_root_only() {
    let tree = Tree::new();
    let livepatch = file(&tree, "a.ko", &["livepatch=Y", &vermagic(RELEASE)]);
    assert_eq!(klp(&tree, &["install", &livepatch]).0, 0);
    let mode = fs::metadata(tree.path("run/klp.lock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_copy_has_no_kernel_that_would_do_anything() {
    let tree = Tree::new();
    tree.patch("a", true, true, 1, &[]);
    let livepatch = file(&tree, "a.ko", &["livepatch=Y", &vermagic(RELEASE)]);
    for args in [
        &["load", &livepatch][..],
        &["load", "--all"],
        &["unload", "a"],
        &["disable", "a"],
        &["enable", "a"],
        &["reverse"],
        &["force", "a", "--i-accept-no-unload"],
        &["gc"],
    ] {
        let (code, out, err) = klp(&tree, args);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        assert!(
            err.contains("only install, uninstall and guard"),
            "{args:?}: {err}"
        );
    }
    let enabled = fs::read_to_string(tree.path("sys/kernel/livepatch/a/enabled")).unwrap();
    assert_eq!(enabled, "1\n");
    // To look whether it could be done needs no kernel, and no lock.
    assert_eq!(klp(&tree, &["load", "--dry-run", &livepatch]).0, 0);
    assert_eq!(klp(&tree, &["gc", "--dry-run"]).0, 0);
    assert!(!tree.path("run/klp.lock").exists());
}

/// An administrator who is in somebody's folder means what is installed.
#[test]
fn a_name_is_no_file_of_the_current_folder() {
    let tree = Tree::new();
    tree.installed("a", &["description=installed"]);
    let fields = ["livepatch=Y", "description=here", &vermagic(RELEASE)];
    file(&tree, "a", &fields);
    file(&tree, "b", &fields);
    let in_folder = |args: &[&str]| {
        let mut command = assert_cmd::Command::cargo_bin("klp").unwrap();
        command
            .arg("--root")
            .arg(tree.root())
            .args(args)
            .current_dir(tree.path("tmp"));
        said(&mut command)
    };
    let (_, out, _) = in_folder(&["info", "a"]);
    assert!(out.contains("installed"), "{out}");
    let (_, out, _) = in_folder(&["info", "./a"]);
    assert!(out.contains("here"), "{out}");
    let (code, _, err) = in_folder(&["load", "--dry-run", "b"]);
    assert_eq!(code, 3);
    assert!(err.contains("./b is the file of this folder"), "{err}");
    let (code, _, err) = in_folder(&["load", "--dry-run", "./c"]);
    assert_eq!(code, 3);
    assert!(err.starts_with("klp: there is no file ./c\n"), "{err}");
}

/// Those that come after one of its name in the order are loaded after it.
#[test]
fn install_says_what_will_not_be_loaded() {
    let tree = Tree::new();
    tree.patch("b", true, false, 1, &[]).installed("b", &[]);
    tree.file("sys/kernel/livepatch/b/replace", "1");
    let livepatch = file(&tree, "a.ko", &["livepatch=Y", &vermagic(RELEASE)]);
    let (_, out, _) = klp(&tree, &["install", &livepatch]);
    assert_eq!(
        out,
        format!(
            "a is installed for {RELEASE}\n\
             b, which is in use and is loaded after it, would replace it\n"
        )
    );
}

#[test]
fn install_leaves_no_other_spelling() {
    let tree = Tree::new();
    for spelling in ["a-1", "a_1"] {
        tree.bytes(&format!("var/lib/kpatch/{RELEASE}/{spelling}.ko"), b"old");
    }
    let livepatch = file(&tree, "a-1.ko", &["livepatch=Y", &vermagic(RELEASE)]);
    assert_eq!(klp(&tree, &["install", &livepatch]).0, 0);
    assert_eq!(store(&tree).len(), 1);
}

const BOOT_ID: &str = "11111111-2222-3333-4444-555555555555";
const OTHER_BOOT: &str = "99999999-2222-3333-4444-555555555555";

/// A livepatch that this boot has loaded, and one that an earlier boot had loaded.
fn guarded() -> Tree {
    let tree = Tree::new();
    tree.file("proc/sys/kernel/random/boot_id", BOOT_ID)
        .installed("a", &[])
        .installed("b", &[])
        .file("var/lib/klp/guard/a", BOOT_ID)
        .file("var/lib/klp/guard/b", OTHER_BOOT)
        .file("var/lib/klp/guard/b.new", "");
    tree
}

fn guards(tree: &Tree) -> Vec<&'static str> {
    let is_there = |name: &&str| tree.path(&format!("var/lib/klp/guard/{name}")).exists();
    ["a", "b"].into_iter().filter(is_there).collect()
}

#[test]
fn what_has_crashed_a_boot_is_not_loaded_by_the_next() {
    let tree = guarded();
    let (code, out, err) = klp(&tree, &["load", "--all", "--boot", "--dry-run"]);
    assert_eq!((code, out.as_str()), (12, ""));
    assert_eq!(
        err,
        "klp: a would be loaded\n\
         b is not loaded: a boot that had loaded it did not end well\n     \
         klp guard --clear b has it loaded again\n"
    );
    let (code, out, _) = klp(&tree, &["guard"]);
    assert_eq!(code, 0);
    assert_eq!(
        out,
        "PATCH  STATE\n\
         a      loaded by this boot, which has to go on for a while\n\
         b      locked out: a boot that had loaded it did not end well\n"
    );
    let (_, out, _) = klp(&tree, &["status"]);
    assert!(
        out.contains("VERDICT  a is installed, but not loaded\n"),
        "{out}"
    );
    tree.patch("a", true, false, 1, &[]);
    let (code, out, _) = klp(&tree, &["status", "--exit-code"]);
    assert_eq!(code, 12);
    assert!(
        out.contains("b is installed, but not loaded: a boot that had loaded it did not end well"),
        "{out}"
    );

    // An administrator who loads it by hand is there when it crashes.
    assert_eq!(klp(&tree, &["load", "--dry-run", "b"]).0, 0);
    assert_eq!(klp(&tree, &["guard", "--clear", "c"]).0, 3);
    assert_eq!(klp(&tree, &["guard", "--clear", "b"]).0, 0);
    assert_eq!(guards(&tree), ["a"]);
    assert_eq!(klp(&tree, &["load", "--all", "--boot", "--dry-run"]).0, 0);
}

#[test]
fn another_one_of_its_name_is_another_one() {
    let tree = guarded();
    let fields = ["livepatch=Y", "name=b", "version=2", &vermagic(RELEASE)];
    let livepatch = file(&tree, "b.ko", &fields);
    assert_eq!(klp(&tree, &["install", &livepatch]).0, 0);
    assert_eq!(guards(&tree), ["a"]);
}

#[test]
fn a_boot_that_ends_well_locks_nothing_out() {
    let tree = guarded();
    assert_eq!(klp(&tree, &["guard", "--end"]).0, 0);
    assert_eq!(guards(&tree), ["b"]);
    assert_eq!(klp(&tree, &["guard", "--clear"]).0, 0);
    assert_eq!(guards(&tree), [""; 0]);
}

#[test]
fn a_boot_that_goes_on_is_asked_for_complaints() {
    let tree = guarded();
    assert_eq!(klp(&tree, &["guard", "--settle"]).0, 8, "there is no log");
    let log = |lines: &[&str]| {
        let records = lines
            .iter()
            .enumerate()
            .map(|(at, line)| format!("6,{at},{at},-;{line}\n"));
        tree.bytes("dev/kmsg", records.collect::<String>().as_bytes());
    };
    log(&[
        "WARNING: CPU: 0 PID: 1 at x.c:1 f+0x1/0x2",
        " f+0x1/0x2 [a]",
    ]);
    let (code, _, err) = klp(&tree, &["guard", "--settle"]);
    assert_eq!(code, 12);
    assert!(
        err.contains("a stays guarded, the kernel has said: WARNING: CPU: 0"),
        "{err}"
    );
    assert_eq!(guards(&tree), ["a", "b"]);
    log(&[
        "WARNING: CPU: 0 PID: 1 at x.c:1 f+0x1/0x2",
        "Modules linked in: [a]",
    ]);
    let (code, out, _) = klp(&tree, &["guard", "--settle"]);
    assert_eq!((code, out.as_str()), (0, "a has not done any harm\n"));
    assert_eq!(guards(&tree), ["b"]);
    let (_, out, _) = klp(&tree, &["guard", "--settle"]);
    assert_eq!(out, "nothing is guarded\n");
}

#[test]
fn the_kernels_command_line_is_obeyed() {
    let tree = guarded();
    let boot = |line: &str, args: &[&str]| {
        tree.file("proc/cmdline", line);
        klp(&tree, &[&["load", "--all", "--boot"], args].concat())
    };
    let (code, out, _) = boot("quiet klp.enable=0", &["--dry-run"]);
    assert_eq!(
        (code, out.as_str()),
        (0, "nothing is loaded: the kernel's command line says so\n")
    );
    let (code, _, err) = boot("quiet klp.mode=check", &["--dry-run"]);
    assert_eq!(code, 12);
    assert!(err.contains("a would be loaded\n"), "{err}");
    assert_eq!(klp(&tree, &["load", "--boot", "a"]).0, 2);
}
