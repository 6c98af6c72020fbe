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
            err.contains("only install and uninstall"),
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

#[test]
fn a_name_is_no_path_into_sysfs() {
    let tree = Tree::new();
    tree.file("sys/kernel/other/enabled", "1")
        .file("sys/kernel/other/transition", "0");
    let (code, _, _) = klp(&tree, &["verify", "../other"]);
    assert_eq!(code, 3);
}
