// SPDX-License-Identifier: GPL-2.0

//! SUSE's verbs, and what the programs make of them that read their output.

mod common;

use common::{called, klp, Tree};
use snapbox::{assert_data_eq, str};

fn suse(tree: &Tree, args: &[&str]) -> (i32, String, String) {
    called(tree, "klp-suse", args)
}

/// openQA waits until this is all that is said.
fn is_ready(tree: &Tree) -> bool {
    let (code, out, _) = suse(tree, &["status"]);
    assert_eq!(code, 0);
    out.trim() == "ready"
}

#[test]
fn it_is_ready_or_in_progress() {
    let tree = Tree::new();
    assert!(is_ready(&tree));
    assert_eq!(suse(&tree, &["check"]).0, 0);
    assert_eq!(
        suse(&tree, &["blocking"]),
        (0, String::new(), String::new())
    );
    // Ours has files to look at.
    assert_eq!(klp(&tree, &["check"]).0, 2);

    let tree = Tree::in_transition();
    assert_eq!(suse(&tree, &["status"]).1, "in_progress\n");
    assert_eq!(suse(&tree, &["check"]).0, 1);
    assert_eq!(suse(&tree, &["blocking"]).1, "57\n70\n1235\n");
}

#[test]
fn who_blocks_has_a_command_and_a_stack() {
    let tree = Tree::in_transition();
    tree.bytes("proc/1234/cmdline", b"/usr/bin/srv\0-d\0\x1b[2J\0");
    assert_data_eq!(
        suse(&tree, &["-vv", "blocking"]).1,
        str![[r#"
57 [kworker/3:1]
70 [bad) R??[2J]
    do_epoll_wait+0x10/0x20
1235 /usr/bin/srv -d ?[2J
    wait_woken+0x1/0x2
    tcp_recvmsg+0x7a/0x150

"#]]
    );
    let (_, one, _) = klp(&tree, &["blocking", "-v"]);
    assert_eq!(one, suse(&tree, &["blocking", "-v"]).1);
}

#[test]
fn livepatches_have_what_uyuni_looks_for() {
    let tree = Tree::new();
    tree.patch("lp_1", true, false, 1, &[("vmlinux", true, &["f,1"])])
        .patch("lp_2", false, false, 2, &[])
        .patch("lp_3", true, false, 3, &[])
        .installed_and_loaded("lp_1", &["klp_fixes=CVE-2026-1,bsc#5"])
        .installed_and_loaded("lp_2", &[])
        // Installed meanwhile, and not what is loaded.
        .installed("lp_3", &["klp_fixes=CVE-2026-2"]);
    assert_data_eq!(
        suse(&tree, &["-v", "patches"]).1,
        str![[r#"
lp_1
    active: 1
    RPM: (unknown)
    CVE: CVE-2026-1
    bug fixes and enhancements: bsc#5
lp_2
    active: 0
    RPM: (unknown)
    CVE: (none)
    bug fixes and enhancements: (none)
lp_3
    active: 1
    RPM: (unknown)
    CVE: (unknown)
    bug fixes and enhancements: (unknown)

"#]]
    );
    assert_eq!(
        klp(&tree, &["patches"]).1,
        "lp_1\n    active: 1\nlp_2\n    active: 0\nlp_3\n    active: 1\n"
    );
}

#[test]
fn what_it_does_not_do_is_told() {
    let tree = Tree::new();
    let (code, out, err) = suse(&tree, &["-n", "downgrade"]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("package manager"), "{err}");
    for wrong in [&[][..], &["nothing"], &["status", "check"]] {
        let (code, out, err) = suse(&tree, wrong);
        assert_eq!((code, out.as_str()), (1, ""), "{wrong:?}");
        assert!(err.starts_with("usage: klp-suse"), "{err}");
    }
}
