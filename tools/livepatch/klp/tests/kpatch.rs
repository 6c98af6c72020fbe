// SPDX-License-Identifier: GPL-2.0

//! `klp` called as `kpatch`, and what the programs make of it that read its output.

mod common;

use common::{called, module, Task, Tree, ASLEEP, RELEASE};
use snapbox::{assert_data_eq, str};

fn kpatch(tree: &Tree, args: &[&str]) -> (i32, String, String) {
    called(tree, "kpatch", args)
}

/// Two livepatches that are there, and some that are installed for two kernels.
fn tree() -> Tree {
    let tree = Tree::new();
    tree.patch("kpatch_1_1", true, false, 1, &[("vmlinux", true, &["f,1"])])
        .patch("kpatch_1_2", false, false, 2, &[])
        .bytes(&format!("var/lib/kpatch/{RELEASE}/kpatch-1-1.ko"), b"")
        .bytes("var/lib/kpatch/6.1.0/kpatch_0_9.ko", b"")
        .bytes("var/lib/kpatch/6.1.0/README", b"");
    tree
}

fn list(tree: &Tree) -> String {
    let (code, out, err) = kpatch(tree, &["list"]);
    assert_eq!((code, err.as_str()), (0, ""));
    out
}

#[test]
fn list_of_what_is_loaded_and_installed() {
    assert_data_eq!(
        list(&tree()),
        str![[r#"
Loaded patch modules:
kpatch_1_1 [enabled]
kpatch_1_2 [disabled]

Installed patch modules:
kpatch_0_9 (6.1.0)
kpatch_1_1 (7.3.4-test)

"#]]
    );
    assert_data_eq!(
        list(&Tree::without_livepatch()),
        str![[r#"
Loaded patch modules:

Installed patch modules:

"#]]
    );
}

#[test]
fn list_during_a_transition() {
    let tree = Tree::new();
    tree.patch("kpatch_1_1", true, true, 1, &[])
        .task(&ASLEEP)
        .task(&Task {
            tid: 20,
            tgid: 20,
            comm: "a b",
            patch_state: "0",
            ..ASLEEP
        });
    assert_data_eq!(
        list(&tree),
        str![[r#"
Loaded patch modules:
kpatch_1_1 [enabling...]

Stalled processes:
20 a b
stack:
[<0>] do_epoll_wait+0x10/0x20

Installed patch modules:

"#]]
    );
}

/// Cockpit's page, pkg/kpatch: two sections.
#[test]
fn cockpit_finds_two_sections() {
    let out = list(&tree());
    assert_eq!(out.split("\n\n").count(), 2);
}

/// insights-core, kpatch_list.py: each line below a heading has two words.
#[test]
fn insights_finds_two_words_in_each_line() {
    for line in list(&tree())
        .lines()
        .filter(|line| !line.is_empty() && !line.ends_with(':'))
    {
        assert_eq!(line.split_whitespace().count(), 2, "{line}");
    }
}

/// xen-api: what is between the headings, without the state in brackets.
#[test]
fn xen_finds_names_between_the_headings() {
    let out = list(&tree());
    let loaded = out.split_once("Loaded patch modules:\n").unwrap().1;
    let loaded = loaded.split_once("\nInstalled patch modules:").unwrap().0;
    let names: Vec<_> = loaded
        .lines()
        .map(|line| line.split(" [").next().unwrap())
        .collect();
    assert_eq!(names, ["kpatch_1_1", "kpatch_1_2"]);
}

#[test]
fn install_and_uninstall() {
    let tree = Tree::new();
    let fields = ["livepatch=Y", &format!("vermagic={RELEASE} SMP")];
    tree.bytes("tmp/kpatch-2.ko", &module(&fields))
        .bytes("tmp/kpatch-2.txt", b"");
    let file = tree.path("tmp/kpatch-2.ko");
    let file = file.to_str().unwrap();
    let installed = tree.path(&format!("var/lib/kpatch/{RELEASE}/kpatch-2.ko"));

    assert_eq!(kpatch(&tree, &["install", file]).0, 0);
    assert!(installed.exists());
    let (code, _, err) = kpatch(&tree, &["install", file]);
    assert_eq!(
        (code, err),
        (1, format!("kpatch: {file} is already installed\n"))
    );
    let (code, _, err) = kpatch(&tree, &["install", "-k", "6.1.0", file]);
    assert_eq!(code, 1);
    assert_eq!(
        err,
        format!("kpatch: invalid module version {RELEASE} for kernel 6.1.0\n")
    );
    let text = tree.path("tmp/kpatch-2.txt");
    let (code, _, err) = kpatch(&tree, &["install", text.to_str().unwrap()]);
    assert_eq!(
        (code, err),
        (1, format!("kpatch: {} isn't a .ko file\n", text.display()))
    );

    let (code, out, _) = kpatch(&tree, &["uninstall", "kpatch_2"]);
    assert_eq!(
        (code, out),
        (0, format!("uninstalling kpatch_2 ({RELEASE})\n"))
    );
    assert!(!tree.path("var/lib/kpatch").exists());
    let (code, _, err) = kpatch(&tree, &["uninstall", "kpatch_2"]);
    assert_eq!(code, 1);
    assert_eq!(
        err,
        format!("kpatch: kpatch_2 is not installed for kernel {RELEASE}\n")
    );
}

#[test]
fn unload_of_what_is_not_there() {
    assert_eq!(
        kpatch(&Tree::new(), &["unload", "kpatch-9.ko"]),
        (
            1,
            String::new(),
            "kpatch: patch module kpatch_9 is not loaded\n\
             kpatch: failed to disable module kpatch_9\n"
                .to_owned()
        )
    );
}

#[test]
fn load_of_what_is_there() {
    let tree = tree();
    tree.bytes(
        "tmp/kpatch-1-1.ko",
        &module(&["livepatch=Y", "name=kpatch_1_1"]),
    );
    let file = tree.path("tmp/kpatch-1-1.ko");
    assert_eq!(
        kpatch(&tree, &["load", file.to_str().unwrap()]),
        (
            0,
            "module named kpatch_1_1 already loaded and enabled\n".to_owned(),
            String::new()
        )
    );
    let (code, _, err) = kpatch(&tree, &["load", "unknown"]);
    assert_eq!((code, err.as_str()), (1, "kpatch: can't find unknown\n"));
}

/// The environment may name a copy; what would be changed is the kernel that runs.
#[test]
fn a_copy_is_not_what_the_kernel_has() {
    let tree = tree();
    tree.bytes(
        "tmp/kpatch-3.ko",
        &module(&["livepatch=Y", "name=kpatch_3"]),
    )
    .bytes(
        "tmp/kpatch-1-2.ko",
        &module(&["livepatch=Y", "name=kpatch_1_2"]),
    );
    let path = |file| tree.path(file).to_str().unwrap().to_owned();
    for args in [
        &["load", &path("tmp/kpatch-3.ko")][..],
        &["load", &path("tmp/kpatch-1-2.ko")],
        &["unload", "kpatch_1_1"],
        &["unload", "--all"],
    ] {
        let (code, _, err) = kpatch(&tree, args);
        assert_eq!(code, 1, "{args:?}");
        assert!(
            err.contains("kpatch: KLP_ROOT names a copy of a system"),
            "{args:?}: {err}"
        );
    }
    let enabled = std::fs::read_to_string(tree.path("sys/kernel/livepatch/kpatch_1_1/enabled"));
    assert_eq!(enabled.unwrap(), "1\n");
}

#[test]
fn a_name_in_the_list_does_not_change_the_screen() {
    let tree = Tree::in_transition();
    let out = list(&tree);
    assert!(out.contains("70 bad) R??[2J\n"), "{out}");
}

#[test]
fn install_stays_in_its_folder() {
    let tree = Tree::new();
    tree.bytes(
        "tmp/a.ko",
        &module(&["livepatch=Y", "vermagic=../../../etc SMP"]),
    );
    let file = tree.path("tmp/a.ko");
    let (code, _, err) = kpatch(
        &tree,
        &["install", "-k", "../../../etc", file.to_str().unwrap()],
    );
    assert_eq!((code, err.as_str()), (1, "kpatch: modinfo failed\n"));
    assert!(!tree.path("etc").exists());
    tree.bytes("etc/a.ko", b"");
    assert_eq!(
        kpatch(&tree, &["uninstall", "-k", "../../../etc", "a"]).0,
        1
    );
    assert!(tree.path("etc/a.ko").exists());
}

/// Kernels before 5.1 have a file for it.
#[test]
fn nobody_is_signalled_in_a_copy() {
    let tree = Tree::in_transition();
    tree.file("sys/kernel/livepatch/livepatch_cve/signal", "0");
    let (code, _, err) = kpatch(&tree, &["signal"]);
    assert_eq!(code, 1);
    assert!(err.contains("KLP_ROOT"), "{err}");
}

#[test]
fn signal_leaves_it_to_the_kernel() {
    assert_eq!(
        kpatch(&tree(), &["signal"]),
        (0, String::new(), String::new())
    );
    let (code, out, err) = kpatch(&Tree::in_transition(), &["signal"]);
    assert_eq!((code, out.as_str()), (0, ""));
    assert_data_eq!(
        err,
        str![[r#"
kpatch: Livepatch process signaling is performed automatically on your system.
kpatch: Skipping manual process signaling.

"#]]
    );
}

#[test]
fn what_it_does_not_know() {
    let (code, out, err) = kpatch(&Tree::new(), &["bogus"]);
    assert_eq!(
        (code, out.as_str()),
        (1, "subcommand bogus not recognized\n")
    );
    assert!(err.starts_with("usage: kpatch <command> [<args>]\n\nValid commands:\n"));
    for args in [&[][..], &["list", "x"], &["load"], &["help"]] {
        let (code, out, err) = kpatch(&Tree::new(), args);
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}");
        assert!(err.starts_with("usage: "), "{args:?}");
    }
    assert_eq!(
        kpatch(&Tree::new(), &["version"]),
        (0, "0.9.11\n".to_owned(), String::new())
    );
}
