// SPDX-License-Identifier: GPL-2.0

//! What is told of a livepatch before it is loaded.

mod common;

use std::path::PathBuf;

use common::{klp, note, Task, Tree, ASLEEP, RELEASE};
use object::write::{Object, Relocation, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationEncoding, RelocationFlags, RelocationKind,
    SectionKind, SymbolFlags, SymbolKind, SymbolScope,
};
use snapbox::{assert_data_eq, str};

/// A livepatch as kpatch-build makes them: functions by object, and symbols that it needs.
fn livepatch(fields: &[&str], functions: &[(&str, &str, u64)], symbols: &[&str]) -> Vec<u8> {
    const SIZE: usize = 56;

    let mut elf = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let add = |elf: &mut Object<'_>, name: &str, kind, bytes: &[u8]| {
        let section = elf.add_section(vec![], name.as_bytes().to_vec(), kind);
        elf.append_section_data(section, bytes, 8);
        section
    };
    let vermagic = format!("vermagic={RELEASE} SMP");
    let modinfo = [
        &["livepatch=Y", "name=livepatch_cve", vermagic.as_str()],
        fields,
    ]
    .concat();
    let modinfo: String = modinfo.iter().map(|field| format!("{field}\0")).collect();
    add(
        &mut elf,
        ".modinfo",
        SectionKind::ReadOnlyData,
        modinfo.as_bytes(),
    );
    add(&mut elf, ".note.gnu.build-id", SectionKind::Note, &note(7));
    let strings = add(&mut elf, ".kpatch.strings", SectionKind::ReadOnlyData, b"");
    let funcs = vec![0; functions.len() * SIZE];
    let funcs = add(&mut elf, ".kpatch.funcs", SectionKind::Data, &funcs);
    let to_strings = elf.section_symbol(strings);
    for ((object, function, sympos), at) in functions.iter().zip((0..).step_by(SIZE)) {
        elf.section_mut(funcs).data_mut()[at + 32..at + 40].copy_from_slice(&sympos.to_le_bytes());
        for (text, at) in [(function, at + 40), (object, at + 48)] {
            let text = elf.append_section_data(strings, format!("{text}\0").as_bytes(), 1);
            let relocation = Relocation {
                offset: at as u64,
                symbol: to_strings,
                addend: text as i64,
                flags: RelocationFlags::Generic {
                    kind: RelocationKind::Absolute,
                    encoding: RelocationEncoding::Generic,
                    size: 64,
                },
            };
            elf.add_relocation(funcs, relocation).unwrap();
        }
    }
    for name in symbols {
        elf.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: 0,
            size: 0,
            kind: SymbolKind::Data,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Undefined,
            flags: SymbolFlags::None,
        });
    }
    elf.write().unwrap()
}

/// A system that has some functions, and one livepatch.
fn system() -> Tree {
    let tree = Tree::new();
    tree.file(
        &format!("boot/config-{RELEASE}"),
        "CONFIG_LIVEPATCH=y\nCONFIG_MODULE_SIG=y\nCONFIG_KALLSYMS_ALL=y",
    )
    .file(
        "proc/kallsyms",
        "ffffffff81000000 T tcp_recvmsg\n\
         ffffffff81000100 t twice\n\
         ffffffff81000200 t hidden\n\
         ffffffff81000300 t twice\n\
         ffffffff81000400 T taken\n\
         ffffffff81000500 T bpf\n\
         ffffffff81000600 D jiffies\n\
         ffffffff81000700 R __ksymtab_jiffies\n\
         ffffffffc0000000 t ext4_readdir\t[ext4]",
    )
    .file(
        "sys/kernel/tracing/available_filter_functions_addrs",
        "ffffffff81000004 tcp_recvmsg\n\
         ffffffff81000104 twice\n\
         ffffffff81000304 twice\n\
         ffffffff81000404 taken\n\
         ffffffff81000504 bpf\n\
         ffffffffc0000004 ext4_readdir [ext4]",
    )
    .file(
        "sys/kernel/tracing/enabled_functions",
        "taken (1) R I      \ttramp: x\nbpf (1) R   D    \ttramp: x\ntcp_recvmsg (1) R I      \ttramp: x",
    )
    .patch(
        "livepatch_base",
        true,
        false,
        1,
        &[("vmlinux", true, &["tcp_recvmsg,1", "tcp_sendmsg,1"])],
    )
    .module("ext4", "", 1)
    .task(&Task {
        stack: "[<0>] wait_woken+0x1/0x2\n[<0>] ext4_readdir+0x7a/0x150 [ext4]\n",
        ..ASLEEP
    });
    tree
}

fn file(tree: &Tree, bytes: &[u8]) -> PathBuf {
    let name = "livepatch-cve.ko";
    tree.bytes(name, bytes);
    tree.path(name)
}

fn check(tree: &Tree, bytes: &[u8], args: &[&str]) -> (i32, String) {
    let file = file(tree, bytes);
    let path = file.to_str().unwrap();
    let (code, out, err) = klp(tree, &[&["check", path], args].concat());
    assert_eq!(err, "");
    (code, out.replace(path, "FILE"))
}

#[test]
fn one_that_can_be_loaded() {
    let tree = system();
    let functions = [
        ("vmlinux", "tcp_recvmsg", 1),
        ("vmlinux", "twice", 2),
        ("ext4", "ext4_readdir", 0),
        ("xfs", "xfs_readdir", 0),
    ];
    let symbols = [".klp.sym.vmlinux.jiffies,0", ".klp.sym.xfs.x,1", "jiffies"];
    let bytes = livepatch(&["klp_replace=Y"], &functions, &symbols);
    let (code, out) = check(&tree, &bytes, &[]);
    assert_data_eq!(
        out,
        str![[r#"
FILE can be loaded
  ok    module       livepatch livepatch_cve
  ok    kernel       built for 7.3.4-test
  warn  signature    it is not signed: that taints the kernel
  ok    symbols      1 found, 1 of modules that are not loaded
  ok    functions    3 found, 1 of modules that are not loaded
  ok    ftrace       calls of 3 can be redirected
  ok    conflicts    no other program redirects its functions
  ok    replaces     livepatch_base
  warn  replaces     vmlinux:tcp_sendmsg: the fix of livepatch_base goes, this one has not got the function
  warn  tasks        ext4:ext4_readdir: 1 sleep in it now (init), the transition waits for them

"#]]
    );
    assert_eq!(code, 0);
}

#[test]
fn one_that_will_be_refused() {
    let tree = system();
    let functions = [
        ("vmlinux", "nothing", 0),
        ("vmlinux", "twice", 0),
        ("vmlinux", "twice", 3),
        ("vmlinux", "hidden", 1),
        ("vmlinux", "taken", 1),
        ("vmlinux", "bpf", 0),
        ("vmlinux", "bpf", 0),
        ("vmlinux", "bpf", 1),
        ("ext4", "tcp_recvmsg", 1),
    ];
    let symbols = [".klp.sym.vmlinux.none,0", ".klp.sym.vmlinux.x", "not_there"];
    let fields = ["klp_replace=N", "depends=nfs", "klp_srcversion=ext4:ABC"];
    let bytes = livepatch(&fields, &functions, &symbols);
    tree.file("sys/module/ext4/srcversion", "DEF");
    let (code, out) = check(&tree, &bytes, &[]);
    assert_data_eq!(
        out,
        str![[r#"
FILE will be REFUSED
  ok    module       livepatch livepatch_cve
  ok    kernel       built for 7.3.4-test
  warn  signature    it is not signed: that taints the kernel
  FAIL  depends      it needs the module nfs, which is not loaded
  FAIL  relocations  .klp.sym.vmlinux.x is not a name that the kernel takes
  FAIL  symbols      not_there: nothing of this name is exported
  FAIL  symbols      vmlinux:none: there is none
  FAIL  targets      ext4 is another one: its srcversion is DEF, not ABC
  warn  functions    vmlinux:bpf: it has this function under two names
  FAIL  functions    vmlinux:nothing: there is none
  FAIL  functions    vmlinux:twice: there are 2 of this name, and it does not say which one
  FAIL  functions    vmlinux:twice: it wants number 3, there are 2
  FAIL  functions    vmlinux:bpf: it has this function twice
  FAIL  functions    ext4:tcp_recvmsg: there is none
  FAIL  ftrace       vmlinux:hidden: its calls cannot be redirected: it is notrace, or has no entry for ftrace
  FAIL  conflicts    vmlinux:taken: another program redirects its calls
  warn  conflicts    vmlinux:bpf: a BPF program is there: of type modify_return, it can suppress the fix
  warn  conflicts    vmlinux:bpf: a BPF program is there: of type modify_return, it can suppress the fix
  warn  conflicts    vmlinux:bpf: a BPF program is there: of type modify_return, it can suppress the fix
  ok    replaces     nothing: livepatch_base stay
  ok    tasks        none sleeps in one of its functions now

"#]]
    );
    assert_eq!(code, 4);
}

#[test]
fn what_cannot_be_told_is_no_refusal_unless_one_wants_that() {
    let tree = Tree::new();
    let bytes = livepatch(&[], &[("vmlinux", "f", 0)], &[]);
    let (code, out) = check(&tree, &bytes, &[]);
    assert_eq!(code, 0, "{out}");
    for unknown in ["functions", "ftrace", "conflicts", "tasks"] {
        assert!(out.contains(&format!("  ??    {unknown:11}")), "{out}");
    }
    let (code, out) = check(&tree, &bytes, &["--strict", "--json"]);
    assert_eq!(code, 4, "{out}");
    let document: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(document["schema"], "klp/check/1");
    assert_eq!(document["files"][0]["outcome"], "unknown");
}

#[test]
fn what_is_no_livepatch_is_told() {
    let tree = system();
    tree.bytes("x.ko", &common::module(&["name=x", "vermagic=6.1.0 SMP"]));
    let path = tree.path("x.ko");
    let (code, out, _) = klp(&tree, &["check", path.to_str().unwrap()]);
    assert_eq!(code, 4);
    assert!(out.contains("it is a module, but no livepatch"), "{out}");
    assert!(out.contains("it was built for 6.1.0"), "{out}");
    let (code, _, err) = klp(&tree, &["check", "nothing"]);
    assert_eq!(code, 3, "{err}");
}

#[test]
fn signatures_count_where_they_are_wanted() {
    let bytes = livepatch(&[], &[("vmlinux", "twice", 1)], &[]);
    let tree = system();
    tree.file(
        "sys/kernel/security/lockdown",
        "none [integrity] confidentiality",
    );
    let (code, out) = check(&tree, &bytes, &[]);
    assert_eq!(code, 4);
    assert!(
        out.contains("it is not signed, and this kernel is locked down"),
        "{out}"
    );
    let signed = [bytes.as_slice(), b"~Module signature appended~\n"].concat();
    let (code, out) = check(&tree, &signed, &[]);
    assert_eq!(code, 0, "{out}");
    tree.file("sys/module/module/parameters/sig_enforce", "Y");
    let (code, out) = check(&tree, &bytes, &[]);
    assert_eq!(code, 4);
    assert!(out.contains("takes signed modules only"), "{out}");
}

#[test]
fn names_may_have_to_do_without_addresses() {
    let tree = system();
    let bytes = livepatch(
        &[],
        &[("vmlinux", "hidden", 1), ("vmlinux", "twice", 1)],
        &[],
    );
    tree.file(
        "proc/kallsyms",
        "0000000000000000 t twice\n0000000000000000 t hidden\n0000000000000000 t twice",
    );
    let (code, out) = check(&tree, &bytes, &[]);
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("??    ftrace       addresses of symbols may not be seen"),
        "{out}"
    );
    std::fs::remove_file(tree.path("sys/kernel/tracing/available_filter_functions_addrs")).unwrap();
    tree.file(
        "sys/kernel/tracing/available_filter_functions",
        "twice\nother [ext4]",
    );
    let (code, out) = check(&tree, &bytes, &[]);
    assert_eq!(code, 4, "{out}");
    assert!(out.contains("FAIL  ftrace       vmlinux:hidden"), "{out}");
}

#[test]
fn one_that_is_loaded_is_no_fault_and_another_one_is() {
    let tree = system();
    let bytes = livepatch(&[], &[("vmlinux", "tcp_recvmsg", 1)], &[]);
    tree.patch("livepatch_cve", true, false, 2, &[]).bytes(
        "sys/module/livepatch_cve/notes/.note.gnu.build-id",
        &note(7),
    );
    let (code, out) = check(&tree, &bytes, &[]);
    assert_eq!(code, 0);
    assert!(
        out.contains("warn  name         it is loaded already"),
        "{out}"
    );
    tree.bytes(
        "sys/module/livepatch_cve/notes/.note.gnu.build-id",
        &note(8),
    );
    let (code, out) = check(&tree, &bytes, &[]);
    assert_eq!(code, 4);
    assert!(out.contains("is loaded, and is another one"), "{out}");
    // What is left over is in nobody's way.
    std::fs::remove_dir_all(tree.path("sys/kernel/livepatch/livepatch_cve")).unwrap();
    let (code, out) = check(&tree, &bytes, &[]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("is left over"), "{out}");
}

#[test]
fn switches_that_refuse_all_are_seen() {
    let bytes = livepatch(&[], &[("vmlinux", "twice", 1)], &[]);
    for (file, text) in [
        ("proc/sys/kernel/modules_disabled", "1"),
        ("proc/sys/kernel/ftrace_enabled", "0"),
    ] {
        let tree = system();
        tree.file(file, text);
        let (code, out) = check(&tree, &bytes, &[]);
        assert_eq!(code, 4, "{file}: {out}");
    }
}

#[test]
fn a_name_that_several_have_is_not_taken_for_one_of_them() {
    let tree = system();
    let bytes = livepatch(&[], &[("vmlinux", "twice", 1)], &[]);
    tree.file(
        "sys/kernel/tracing/enabled_functions",
        "twice (1) R I      \ttramp: x",
    );
    let (code, out) = check(&tree, &bytes, &[]);
    assert_eq!(code, 0, "{out}");
    assert!(
        out.contains("  ??    conflicts    vmlinux:twice: calls of one of several"),
        "{out}"
    );
}
