// SPDX-License-Identifier: GPL-2.0

//! What is shown of a system, and what programs get.

mod common;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use common::{klp, module, said, Task, Tree, ASLEEP, RELEASE};
use snapbox::{assert_data_eq, str};

fn shown(tree: &Tree, args: &[&str]) -> String {
    let (code, out, err) = klp(tree, args);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out
}

fn json(tree: &Tree, args: &[&str]) -> serde_json::Value {
    serde_json::from_str(&shown(tree, &[args, &["--json"]].concat())).unwrap()
}

fn verdict(tree: &Tree, args: &[&str]) -> (i32, String) {
    let (code, out, _) = klp(tree, &[&["status", "--exit-code"], args].concat());
    let verdict = out.lines().find_map(|line| line.strip_prefix("VERDICT  "));
    (code, verdict.unwrap_or_default().to_owned())
}

#[test]
fn status_of_a_system_in_transition() {
    let tree = Tree::in_transition();
    assert_data_eq!(
        shown(&tree, &["status"]),
        str![[r#"
Kernel 7.3.4-test, livepatch core: Rust
VERDICT  in transition, 3 tasks left

PATCH           STATE     FOR   OBJECTS  FUNCS  FIXES
livepatch_base  enabled   89 s  1/1      1      ?
livepatch_cve   enabling  18 s  1/2      2      ?

"#]]
    );
}

#[test]
fn why_names_who_and_where() {
    let tree = Tree::in_transition();
    assert_data_eq!(
        shown(&tree, &["why"]),
        str![[r#"
livepatch_cve is being enabled for 18 s, 3 of 4 tasks left

TASK  WHO            WHY (guess)
57    [kworker/3:1]  runs on CPU 3, or waits for it
70    bad) R??[2J    sleeps in do_epoll_wait+0x10/0x20, nothing patched on its stack
1235  epoll-srv      sleeps in tcp_recvmsg+0x7a/0x150 (old)

What helps:
  wait
  restart epoll-srv
  klp reverse livepatch_cve
  klp force livepatch_cve --i-accept-no-unload (what it replaces can never be removed then)

"#]]
    );
}

#[test]
fn why_says_what_the_kernel_knows() {
    let tree = Tree::in_transition();
    tree.file(
        "sys/kernel/debug/livepatch/transition",
        "version 1\npatch livepatch_cve\ntarget patched\nage_ms 18500\ntries 20\nsignals 1\n\
         reversals 0\nforced 0\ntasks 812\nleft 300\n\n\
         1234\t1234\t-\tuser\ton_old\tvmlinux:tcp_recvmsg+0x7a\tepoll-srv\n\
         57\t57\t3\tkthread\trunning\t-\tkworker/3:1\n\
         70\t70\t-\texiting\tuntried\t-\tgone\n\
         0\t0\t5\tidle\tunreliable\t-\tswapper/5\n\
         more 296",
    );
    assert_data_eq!(
        shown(&tree, &["why"]),
        str![[r#"
livepatch_cve is being enabled for 18 s, 300 of 812 tasks left

TASK  WHO            WHY
1234  epoll-srv      sleeps in vmlinux:tcp_recvmsg+0x7a (old)
57    [kworker/3:1]  runs on CPU 3, or waits for it
70    gone           will be moved at the next try
idle  swapper/5      sleeps, its stack cannot be relied upon
... and 296 more (klp why --json has 4)

What helps:
  wait
  restart epoll-srv
  klp reverse livepatch_cve
  klp force livepatch_cve --i-accept-no-unload (what it replaces can never be removed then)

"#]]
    );
    let why = json(&tree, &["why"]);
    let transition = &why["transition"];
    assert_eq!(transition["exact"], true);
    assert_eq!(transition["blockers"][0]["guess"], false);
    assert_eq!(transition["blockers"][3]["idle"], true);
}

#[test]
fn the_kernels_account_of_another_transition_is_not_taken() {
    let tree = Tree::in_transition();
    tree.file(
        "sys/kernel/debug/livepatch/transition",
        "version 1\npatch other\ntarget patched\nage_ms 1\ntasks 1\nleft 1",
    );
    assert!(shown(&tree, &["why"]).contains("WHY (guess)"));
}

#[test]
fn why_has_stacks() {
    let tree = Tree::in_transition();
    let out = shown(&tree, &["why", "--stacks"]);
    assert!(out.contains("1235 epoll-srv\n    wait_woken+0x1/0x2\n    tcp_recvmsg+0x7a/0x150\n"));
}

#[test]
fn why_says_when_nobody_can_be_seen() {
    let tree = Tree::new();
    tree.patch("a", false, true, 1, &[]).task(&Task {
        patch_state: "0",
        ..ASLEEP
    });
    assert_data_eq!(
        shown(&tree, &["why"]),
        str![[r#"
a is being disabled for ?, 0 of 1 tasks left
No task that can be seen is left. It may be an idle CPU or an exiting task, or the kernel has not looked again yet: it does not tell.

What helps:
  wait
  klp reverse a
  klp force a --i-accept-no-unload (it can never be removed then)

"#]]
    );
}

#[test]
fn why_without_a_transition() {
    assert_eq!(shown(&Tree::new(), &["why"]), "no transition\n");
}

#[test]
fn json_has_all_blockers() {
    let why = json(&Tree::in_transition(), &["why"]);
    assert_eq!(why["schema"], "klp/why/1");
    let transition = &why["transition"];
    assert_eq!(transition["patch"], "livepatch_cve");
    assert_eq!(
        (&transition["target"], &transition["age_ms"]),
        (&"patched".into(), &18500.into())
    );
    assert_eq!(
        (&transition["tasks"], &transition["left"]),
        (&4.into(), &3.into())
    );
    let [kworker, bad, server] = transition["blockers"].as_array().unwrap().as_slice() else {
        panic!("{why}");
    };
    assert_eq!(
        (&kworker["reason"], &kworker["cpu"]),
        (&"running".into(), &3.into())
    );
    assert_eq!(
        (&bad["comm"], &bad["reason"]),
        (&"bad) R\n\u{1b}[2J".into(), &"asleep".into())
    );
    assert_eq!(
        (&server["tid"], &server["tgid"]),
        (&1235.into(), &1234.into())
    );
    assert_eq!(server["reason"], "on_old");
    assert_eq!(server["function"], "tcp_recvmsg+0x7a/0x150");
    assert_eq!(server["guess"], true);
}

#[test]
fn json_says_which_version_is_in_use() {
    let status = json(&Tree::in_transition(), &["status"]);
    assert_eq!(status["schema"], "klp/status/1");
    assert_eq!(status["kernel"]["core"], "rust");
    let patches = status["patches"].as_array().unwrap();
    let functions =
        |patch: usize, object: usize| &patches[patch]["objects"][object]["functions"][0];
    assert_eq!(patches[0]["name"], "livepatch_base");
    assert_eq!(functions(0, 0)["effective"], false, "a later one has it");
    assert_eq!(functions(1, 1)["effective"], true);
    let ext4 = &patches[1]["objects"][0];
    assert_eq!(
        (&ext4["name"], &ext4["loaded"]),
        (&"ext4".into(), &false.into())
    );
    assert_eq!(
        patches[0]["module"]["file_matches"],
        serde_json::Value::Null
    );
}

#[test]
fn the_verdict_is_the_worst_of_all() {
    let stalled = Tree::in_transition();
    assert_eq!(
        verdict(&stalled, &["--stall", "1m"]),
        (10, "in transition, 3 tasks left".into())
    );
    assert_eq!(
        verdict(&stalled, &["--stall", "10s"]),
        (11, "transition stalled, 3 tasks left (klp why)".into())
    );

    let tree = Tree::new();
    assert_eq!(verdict(&tree, &[]), (0, "no livepatch".into()));
    tree.patch("a", true, false, 1, &[("ext4", false, &["f,1"])]);
    assert_eq!(
        verdict(&tree, &[]),
        (0, "a is in force".into()),
        "the module is not there"
    );
    tree.bytes(&format!("var/lib/kpatch/{RELEASE}/b.ko"), b"");
    assert_eq!(
        verdict(&tree, &[]),
        (12, "b is installed, but not loaded".into())
    );
    tree.patch("b", false, false, 2, &[]);
    assert_eq!(verdict(&tree, &[]), (13, "b is disabled".into()));
    tree.module("ext4", "", 0);
    assert_eq!(
        verdict(&tree, &[]),
        (14, "a is not in force: ext4 is not patched".into())
    );
}

#[test]
fn force_is_not_forgotten() {
    let tree = Tree::new();
    tree.patch("a", true, false, 1, &[]).log(&[
        (1, "'a': starting patching transition"),
        (2, "forcing remaining tasks to the patched state"),
        (2, "'a': patching complete"),
    ]);
    assert_eq!(
        verdict(&tree, &[]),
        (13, "tasks were moved to a by force".into())
    );
}

#[test]
fn a_kernel_that_cannot_livepatch() {
    let tree = Tree::without_livepatch();
    assert_eq!(
        verdict(&tree, &[]),
        (9, "this kernel cannot livepatch".into())
    );
    for args in [&["load", "--dry-run", "x.ko"][..], &["verify"]] {
        let (code, _, err) = klp(&tree, args);
        assert_eq!(code, 9);
        assert!(
            err.starts_with("klp: this kernel cannot livepatch\n"),
            "{err}"
        );
    }
}

#[test]
fn without_sysfs_nothing_is_known() {
    let tree = Tree::new();
    std::fs::remove_dir_all(tree.path("sys")).unwrap();
    for args in [&["status", "--exit-code"][..], &["verify"], &["list"]] {
        let (code, out, err) = klp(&tree, args);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains("sysfs is not mounted"), "{err}");
    }
}

#[test]
fn what_is_left_over_is_named() {
    let tree = Tree::new();
    tree.module("livepatch_old", "OK", 0)
        .module("ext4", "", 3)
        .module("other", "O", 0);
    assert!(shown(&tree, &["status"]).contains("loaded, patch nothing (klp gc): livepatch_old\n"));
    assert_eq!(shown(&tree, &["list"]), "livepatch_old\tleftover\n");
}

#[test]
fn history_has_each_direction() {
    let tree = Tree::new();
    tree.log(&[
        (1, "'a': starting patching transition"),
        (16, "signaling remaining tasks"),
        (20, "'a': reversing transition from patching to unpatching"),
        (20, "'a': starting unpatching transition"),
        (21, "'a': unpatching complete"),
    ]);
    assert_data_eq!(
        shown(&tree, &["history"]),
        str![[r#"
AT      PATCH  TO         TOOK   END       SIGNALS
1.000   a      patched    19 s   reversed  1
20.000  a      unpatched  1.0 s  complete  0

"#]]
    );
    let history = json(&tree, &["history"]);
    assert_eq!(history["operations"][0]["end"], "reversed");
    assert_eq!(history["operations"][1]["took_ms"], 1000);
}

#[test]
fn info_of_a_file_and_of_what_is_loaded() {
    let tree = Tree::in_transition();
    tree.bytes(
        "tmp/livepatch-cve.ko",
        &module(&[
            "livepatch=Y",
            "vermagic=7.3.4-test SMP",
            "klp_fixes=CVE-2026-1,CVE-2026-2",
        ]),
    );
    let file = tree.path("tmp/livepatch-cve.ko");
    let out = shown(&tree, &["info", file.to_str().unwrap()]);
    assert!(
        out.contains("fixes       CVE-2026-1, CVE-2026-2\n"),
        "{out}"
    );
    assert_data_eq!(
        shown(&tree, &["info", "livepatch_cve"]),
        str![[r#"
name                 livepatch_cve
state                enabling
for                  18 s
replaces all others  no
place in the stack   2
in force             no
fixes                ?
module's users       1
build id             ?
installed file       none

OBJECT   FUNCTION      VERSION IN USE
ext4     ext4_readdir  waits for the module
vmlinux  tcp_recvmsg   this one

"#]]
    );

    let (code, _, err) = klp(&tree, &["info", "unknown"]);
    assert_eq!(code, 3);
    assert!(
        err.starts_with("klp: there is no livepatch unknown\n"),
        "{err}"
    );
    tree.bytes("tmp/script.ko", b"#!/bin/sh\n");
    let (code, _, err) = klp(
        &tree,
        &["info", tree.path("tmp/script.ko").to_str().unwrap()],
    );
    assert_eq!(code, 4);
    assert!(err.contains("is no kernel module"), "{err}");
}

#[test]
fn fixes_are_those_of_what_is_loaded() {
    let tree = Tree::new();
    tree.patch("a", true, false, 1, &[])
        .installed_and_loaded("a", &["klp_fixes=CVE-2026-1 CVE-2026-1"])
        .patch("b", true, false, 2, &[])
        .installed("b", &["klp_fixes=CVE-2026-2"])
        .patch("c", true, false, 3, &[])
        .installed_and_loaded("c", &["klp_fixes=CVE-2026-3"])
        .bytes("sys/module/c/notes/.note.gnu.build-id", &common::note(8))
        .patch("d", true, false, 4, &[]);
    assert_data_eq!(
        shown(&tree, &["fixes"]),
        str![[r#"
FIX         PATCH  STATE
CVE-2026-1  a      in force
b: unknown, nobody knows whether the installed file is what is loaded
c: unknown, the installed file is not what is loaded
d: unknown, no file of this name is installed, or may be seen

"#]]
    );
    let fixes = json(&tree, &["fixes"]);
    assert_eq!(fixes["schema"], "klp/fixes/1");
    assert_eq!(fixes["patches"][0]["fixes"][0], "CVE-2026-1");
    assert_eq!(fixes["patches"][2]["fixes"], serde_json::Value::Null);
    let metrics = shown(&tree, &["prom"]);
    let series = |line: &&str| line.starts_with("klp_fix{");
    assert_eq!(metrics.lines().filter(series).count(), 1, "{metrics}");
}

#[test]
fn metrics_are_such_that_prometheus_reads_them() {
    let tree = Tree::in_transition();
    let out = shown(&tree, &["prom"]);
    for line in out.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(name.starts_with("klp_"), "{line}");
        let name = name.split('{').next().unwrap();
        assert!(out.contains(&format!("# TYPE {name} gauge\n")), "{line}");
    }
    assert!(out.contains("klp_transition{patch=\"livepatch_cve\",target=\"patched\"} 1\n"));
    assert!(out.contains("klp_transition_blockers{reason=\"on_old\"} 1\n"));
    assert!(out.contains("klp_transition_age_seconds 18.5\n"));
    assert!(out.contains("klp_patch_in_force{patch=\"livepatch_cve\"} 0\n"));
    // A later one has its function.
    assert!(!out.contains("klp_patch_in_force{patch=\"livepatch_base\"}"));

    let file = tree.path("klp.prom");
    assert_eq!(shown(&tree, &["prom", "--out", file.to_str().unwrap()]), "");
    assert!(std::fs::read_to_string(file)
        .unwrap()
        .starts_with("# HELP klp_info "));
}

#[test]
fn many_threads_are_shown_on_one_screen() {
    let tree = Tree::new();
    tree.patch("a", true, true, 1, &[]);
    for tid in 1..=2_000 {
        tree.task(&Task {
            tid,
            tgid: 1,
            comm: "worker",
            patch_state: "0",
            ..ASLEEP
        });
    }
    let out = shown(&tree, &["why"]);
    assert!(out.contains("2000 of 2000 tasks left\n"), "{out}");
    assert!(
        out.contains("... and 1960 more (klp why --json has all)\n"),
        "{out}"
    );
    assert_eq!(shown(&tree, &["status"]).lines().count(), 5);
}

#[test]
fn verify_asks_each_question() {
    let tree = Tree::in_transition();
    tree.file(
        "sys/kernel/tracing/enabled_functions",
        "tcp_recvmsg (2) R I D   M \ttramp: x",
    );
    let (code, out, err) = klp(&tree, &["verify"]);
    assert_eq!((code, err.as_str()), (14, ""));
    assert_data_eq!(
        out,
        str![[r#"
livepatch_base may be in force
  ok    tasks     enabled, all tasks have been moved
  ok    force     no task was moved by force
  ok    objects   all patched
  ??    versions  a later livepatch (livepatch_cve is the last) has tcp_recvmsg: has it this fix, too?
  ok    ftrace    calls of all its functions are redirected
  ??    programs  a BPF program is at tcp_recvmsg: of type modify_return, it can suppress the fix
  ok    file      none is installed, so there is none to compare
livepatch_cve is NOT in force
  FAIL  tasks     being enabled: there are tasks that run the old functions
  ok    force     no task was moved by force
  ok    objects   1 patched, 1 not loaded
  ok    versions  no later livepatch has one of its functions
  ok    ftrace    calls of all its functions are redirected
  ??    programs  a BPF program is at tcp_recvmsg: of type modify_return, it can suppress the fix
  ok    file      none is installed, so there is none to compare

"#]]
    );
    let (code, _, _) = klp(&tree, &["verify", "nothing"]);
    assert_eq!(code, 3);
}

#[test]
fn verify_is_content_with_what_is_in_force() {
    let tree = Tree::new();
    tree.patch("a", true, false, 1, &[("vmlinux", true, &["f,1"])])
        .log(&[
            (1, "'a': starting patching transition"),
            (2, "'a': patching complete"),
        ])
        .file(
            "sys/kernel/tracing/enabled_functions",
            "f (1) R I    \ttramp: x",
        )
        .installed_and_loaded("a", &[]);
    let out = shown(&tree, &["verify", "a"]);
    assert!(out.starts_with("a is in force\n"), "{out}");
    tree.file("sys/kernel/livepatch/a/vmlinux/patched", "0");
    let (code, out, _) = klp(&tree, &["verify", "a"]);
    assert!(
        out.contains("FAIL  objects   not patched: vmlinux\n"),
        "{out}"
    );
    assert_eq!(code, 14);
}

#[test]
fn a_device_is_no_module() {
    let (code, _, err) = klp(&Tree::new(), &["info", "/dev/zero"]);
    assert_eq!(code, 1);
    assert!(err.contains("it is no regular file"), "{err}");
}

#[test]
fn what_a_file_says_cannot_change_the_screen() {
    let tree = Tree::new();
    tree.bytes(
        "tmp/a.ko",
        &module(&["livepatch=Y", "klp_fixes=\x1b[2J", "description=\x07\n"]),
    );
    let out = shown(&tree, &["info", tree.path("tmp/a.ko").to_str().unwrap()]);
    assert!(out.contains("?[2J"), "{out}");
    assert!(!out.contains(['\x1b', '\x07']), "{out}");
}

#[test]
fn verify_misses_what_is_installed() {
    let tree = Tree::new();
    assert_eq!(klp(&tree, &["verify"]).0, 0);
    tree.installed("a", &[]);
    let (code, out, _) = klp(&tree, &["verify"]);
    assert_eq!(code, 14);
    assert_eq!(
        out,
        "a is NOT in force\n  FAIL  loaded    installed, but not loaded\n"
    );
    assert_eq!(klp(&tree, &["verify", "a"]).0, 14);
    assert_eq!(klp(&tree, &["verify", "b"]).0, 3);
}

/// One that replaces all others has been loaded after `a_9`: what was to be is so.
#[test]
fn what_was_replaced_is_not_missing() {
    let tree = Tree::new();
    tree.installed("a_9", &[])
        .installed("a_10", &[])
        .patch("a_10", true, false, 1, &[]);
    assert_eq!(
        verdict(&tree, &[]),
        (12, "a_9 is installed, but not loaded".into())
    );
    tree.file("sys/kernel/livepatch/a_10/replace", "1");
    assert_eq!(verdict(&tree, &[]), (0, "a_10 is in force".into()));
    assert!(shown(&tree, &["prom"]).contains("klp_installed_not_loaded 0\n"));
    tree.installed("a_11", &[]);
    assert_eq!(
        verdict(&tree, &[]),
        (12, "a_11 is installed, but not loaded".into())
    );
    let out = shown(&tree, &["load", "--all", "--dry-run"]);
    assert_eq!(
        out,
        "a_9 is not loaded: a_10 would replace it\n\
         a_10 is loaded already (nobody knows whether it is this build)\n\
         a_11 would be loaded\n"
    );
    assert!(shown(&tree, &["status"])
        .contains("installed, and not loaded as a_10 would replace it: a_9\n"));
    // Kernels before 6.11 do not tell: to load the older one might take fixes back.
    std::fs::remove_file(tree.path("sys/kernel/livepatch/a_10/replace")).unwrap();
    let out = shown(&tree, &["load", "--all", "--dry-run"]);
    assert!(
        out.starts_with("a_9 is not loaded: a_10 would replace it\n"),
        "{out}"
    );
    // What somebody has disabled is left alone, but for who names it.
    tree.file("sys/kernel/livepatch/a_10/enabled", "0");
    let out = shown(&tree, &["load", "--all", "--dry-run"]);
    assert!(out.contains("a_10 is disabled, and stays so\n"), "{out}");
    let out = shown(&tree, &["load", "a_10", "--dry-run"]);
    assert_eq!(out, "a_10 would be enabled again\n");
}

#[test]
fn force_counts_from_the_last_time_on() {
    let tree = Tree::new();
    tree.patch("a", true, false, 1, &[("vmlinux", true, &["f,1"])])
        .log(&[
            (1, "'a': starting patching transition"),
            (2, "forcing remaining tasks to the patched state"),
            (2, "'a': patching complete"),
        ]);
    let (code, out, _) = klp(&tree, &["verify"]);
    assert_eq!(code, 14);
    assert!(
        out.contains("??    force     tasks were moved by force: one may still be in an old"),
        "{out}"
    );
    tree.log(&[
        (1, "'a': starting patching transition"),
        (2, "forcing remaining tasks to the patched state"),
        (2, "'a': patching complete"),
        (3, "'a': starting unpatching transition"),
        (4, "'a': unpatching complete"),
        (5, "'a': starting patching transition"),
        (6, "'a': patching complete"),
    ]);
    let (_, out, _) = klp(&tree, &["verify"]);
    assert!(
        out.contains("ok    force     no task was moved by force"),
        "{out}"
    );
}

/// The log has lost the start: it has been running for as long as the log goes back, at least.
#[test]
fn a_transition_of_unknown_age_may_be_stalled() {
    let tree = Tree::new();
    tree.patch("a", true, true, 1, &[]).task(&Task {
        patch_state: "0",
        ..ASLEEP
    });
    assert_eq!(
        verdict(&tree, &[]),
        (
            10,
            "in transition, nobody knows since when, 1 task left".into()
        )
    );
    tree.log(&[(90, "signaling remaining tasks")]);
    assert_eq!(
        verdict(&tree, &["--stall", "10s"]),
        (11, "transition stalled, 1 task left (klp why)".into())
    );
    assert_eq!(
        verdict(&tree, &["--stall", "11s"]),
        (10, "in transition, 1 task left".into())
    );
    assert!(shown(&tree, &["why"]).starts_with("a is being enabled for at least 10 s, 1 of 1"));
    assert!(shown(&tree, &["prom"]).contains("klp_transition_age_seconds 10.5\n"));
    // Two clocks: it seems to have begun later than now.
    tree.log(&[(101, "'a': starting patching transition")]);
    assert!(shown(&tree, &["why"]).starts_with("a is being enabled for 0 ms, 1 of 1"));
}

#[test]
fn a_task_that_cannot_be_seen_is_not_a_task_that_is_not_there() {
    let transition = |hide: &dyn Fn(&Tree)| {
        let tree = Tree::new();
        tree.patch("a", true, true, 1, &[]).task(&ASLEEP);
        hide(&tree);
        let out = shown(&tree, &["why"]);
        out.contains("? of ") && out.contains("Not all tasks can be seen from here")
    };
    assert!(!transition(&|_| ()));
    // hidepid=2
    assert!(transition(&|tree| std::fs::remove_dir_all(
        tree.path("proc/1")
    )
    .unwrap()));
    let namespace = |tree: &Tree, text: &str| {
        std::fs::create_dir_all(tree.path("proc/self/ns")).unwrap();
        std::os::unix::fs::symlink(text, tree.path("proc/self/ns/pid")).unwrap();
    };
    assert!(!transition(&|tree| namespace(tree, "pid:[4026531836]")));
    assert!(transition(&|tree| namespace(tree, "pid:[4026532196]")));
}

#[test]
fn list_as_a_document_has_what_the_text_has() {
    let tree = Tree::in_transition();
    tree.installed("a", &[]);
    let list = json(&tree, &["list"]);
    assert_eq!(list["schema"], "klp/list/1");
    assert_eq!(list["loaded"][1]["name"], "livepatch_cve");
    assert_eq!(list["loaded"][1]["state"], "enabling");
    assert_eq!(list["installed"][0]["name"], "a");
    let installed = json(&tree, &["list", "--installed"]);
    assert_eq!(installed["loaded"], serde_json::Value::Null);
    assert_eq!(installed["installed"][0]["release"], RELEASE);
}

/// As kernels before 6.1 do, which have no file `patched`.
#[test]
fn what_an_old_kernel_does_not_tell_is_unknown() {
    let tree = Tree::new();
    tree.patch("a", true, false, 1, &[("vmlinux", true, &["f,1"])]);
    std::fs::remove_file(tree.path("sys/kernel/livepatch/a/vmlinux/patched")).unwrap();
    let out = shown(&tree, &["status"]);
    assert!(out.contains("?/1"), "{out}");
}

#[test]
fn info_prefers_the_kernel_that_runs() {
    let tree = Tree::new();
    tree.bytes(
        "var/lib/kpatch/1.0.0/a.ko",
        &module(&["livepatch=Y", "vermagic=1.0.0 SMP"]),
    );
    let kernel = |tree: &Tree| json(tree, &["info", "a"])["release"].clone();
    assert_eq!(kernel(&tree), "1.0.0");
    tree.installed("a", &[]);
    assert_eq!(kernel(&tree), RELEASE);
}

/// A terminal would do what they say.
#[test]
fn errors_do_not_change_the_screen() {
    let tree = Tree::new();
    tree.bytes("tmp/a.ko", &module(&["livepatch=Y", "name=\x1b[2J"]));
    let file = tree.path("tmp/a.ko");
    let (code, _, err) = klp(&tree, &["info", file.to_str().unwrap()]);
    assert_eq!(code, 4);
    assert!(err.contains("no module can be called"), "{err}");
    tree.bytes("tmp/\x1b[2J.ko", b"");
    let file = tree.path("tmp/\x1b[2J.ko");
    let (_, _, err) = klp(&tree, &["info", file.to_str().unwrap()]);
    assert!(!err.contains('\x1b'), "{err}");
}

/// Whoever opens a pipe waits for the other end.
#[test]
fn a_pipe_is_no_module() {
    let tree = Tree::new();
    let pipe = tree.path("a.ko");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let (code, _, err) = klp(&tree, &["info", pipe.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(err.contains("it is no regular file"), "{err}");
}

/// Root's folder is not an empty folder.
#[test]
fn what_may_not_be_seen_is_not_missing() {
    let tree = Tree::new();
    tree.patch("a", true, false, 1, &[]).installed("a", &[]);
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    // Somebody who is not root has to reach the program.
    let program = tree.path("klp");
    std::fs::copy(assert_cmd::cargo::cargo_bin("klp"), &program).unwrap();
    mode(tree.root(), 0o755);
    let store = tree.path("var/lib/kpatch");
    mode(&store, 0o000);
    let run = |verb: &str| {
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = assert_cmd::Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
            command.arg(&program);
            command
        } else {
            assert_cmd::Command::new(&program)
        };
        command.arg("--root").arg(tree.root()).arg(verb);
        said(&mut command)
    };
    let (code, out, _) = run("list");
    assert_eq!(code, 0);
    assert!(out.contains("only root may see what is installed"), "{out}");
    let (_, out, _) = run("status");
    assert!(
        out.contains("VERDICT  only root may see what is installed"),
        "{out}"
    );
    let (_, out, _) = run("prom");
    assert!(!out.contains("\nklp_installed_not_loaded "), "{out}");
    let (code, out, _) = run("verify");
    assert_eq!(code, 14);
    assert!(
        out.contains("??    file      what is installed may only be seen by root"),
        "{out}"
    );
    mode(&store, 0o755);
}

#[test]
fn doctor_says_what_it_costs() {
    let tree = Tree::new();
    tree.file(
        &format!("boot/config-{RELEASE}"),
        "CONFIG_LIVEPATCH=y\nCONFIG_LIVEPATCH_RUST=y\nCONFIG_KALLSYMS_ALL=y\n\
         CONFIG_HAVE_RELIABLE_STACKTRACE=y",
    )
    .file("proc/sys/kernel/ftrace_enabled", "1")
    .file("proc/sys/kernel/kptr_restrict", "2")
    .file("proc/sys/kernel/modules_disabled", "0")
    .file("sys/kernel/tracing/enabled_functions", "")
    .file(
        "sys/kernel/security/lockdown",
        "none [integrity] confidentiality",
    )
    .file("sys/module/compression", "xz")
    .file(
        "etc/systemd/system/multi-user.target.wants/other.service",
        "",
    )
    .installed("a", &[])
    .bytes("var/lib/kpatch/1.0.0/a.ko", b"");
    assert_data_eq!(
        shown(&tree, &["doctor"]),
        str![[r#"
ok    kernel        it can livepatch
ok    core          the one in Rust
ok    stacks        the kernel knows which functions a sleeping task is in
ok    symbols       livepatches can name any function and variable
note  types         CONFIG_DEBUG_INFO_BTF is off
                    nothing can be compared with the types that a livepatch was built for
ok    ftrace        it is on
ok    tracefs       it is mounted
note  signatures    modules without a signature are taken
                    whoever can load modules can load any livepatch
note  lockdown      integrity
                    only signed livepatches are taken
ok    packed files  the kernel unpacks xz
note  addresses     kernel.kptr_restrict is 2
                    where a function is may not even be seen by root
ok    modules       they can be loaded
note  boot          neither klp.service nor kpatch.service is enabled
                    what is installed is not loaded by the next boot; systemctl enable klp
note  installed     1 for this kernel, 1 for other ones in /var/lib/kpatch
                    those of kernels that are no longer there only take space; klp uninstall -k

"#]]
    );
    let doctor = json(&tree, &["doctor"]);
    assert_eq!(doctor["schema"], "klp/doctor/1");
    assert_eq!(doctor["findings"][0]["state"], "good");

    tree.file("proc/sys/kernel/ftrace_enabled", "0");
    let (code, out, _) = klp(&tree, &["doctor"]);
    assert_eq!(code, 1);
    assert!(
        out.contains("BAD   ftrace        kernel.ftrace_enabled is 0\n"),
        "{out}"
    );
    // A kernel of which next to nothing can be seen.
    let (code, out, _) = klp(&Tree::without_livepatch(), &["doctor"]);
    assert_eq!(code, 1);
    assert!(
        out.starts_with("BAD   kernel        it cannot livepatch\n"),
        "{out}"
    );
    assert!(out.contains("??    ftrace"), "{out}");
}

/// Somebody is logged in whose disk is full.
#[test]
fn nobody_need_listen_to_errors() {
    let tree = Tree::new();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin("klp"));
    let full = std::fs::File::create("/dev/full").unwrap();
    command.arg("--root").arg(tree.root());
    let status = command.args(["verify", "nothing"]).stderr(full).status();
    assert_eq!(status.unwrap().code(), Some(3));
}

#[test]
fn a_name_of_a_file_does_not_change_the_screen() {
    let tree = Tree::new();
    tree.installed("x\x1b[2Jy", &[]);
    for args in [&["status"][..], &["list"], &["load", "--all", "--dry-run"]] {
        let (_, out, err) = klp(&tree, args);
        assert!((out + &err).contains("x?[2Jy"), "{args:?}");
    }
}

/// Without build IDs the sources' checksums say whether it is the same.
#[test]
fn one_of_the_same_name_may_be_another_one() {
    let tree = Tree::new();
    tree.patch("a", true, false, 1, &[])
        .installed("a", &["srcversion=ABC"])
        .file("sys/module/a/srcversion", "ABC");
    let load = ["load", "a", "--dry-run"];
    assert_eq!(shown(&tree, &load), "a is loaded already\n");
    tree.file("sys/module/a/srcversion", "XYZ");
    let (code, _, err) = klp(&tree, &load);
    assert_eq!(code, 4);
    assert!(
        err.contains("another module is loaded under the name a"),
        "{err}"
    );
}

#[test]
fn what_would_be_refused_would_not_be_loaded() {
    let tree = Tree::new();
    tree.installed("a", &[]).module("a", "O", 0);
    let (code, _, err) = klp(&tree, &["load", "a", "--dry-run"]);
    assert_eq!(code, 4);
    assert!(err.contains("is no livepatch"), "{err}");
    let tree = Tree::in_transition();
    tree.installed("a", &[]);
    assert_eq!(
        shown(&tree, &["load", "a", "--dry-run"]),
        "a would be loaded when the transition of livepatch_cve has ended\n"
    );
}

#[test]
fn watch_prints_what_changes() {
    let tree = Tree::in_transition();
    let shown = shown(&tree, &["watch", "--interval", "0", "--times", "3"]);
    assert_eq!(
        shown.matches("VERDICT  in transition").count(),
        1,
        "{shown}"
    );
    assert!(
        shown.contains("\nlivepatch_cve is being enabled"),
        "{shown}"
    );
}
