// SPDX-License-Identifier: GPL-2.0

//! What is written into a module after it was built.

mod common;

use std::path::{Path, PathBuf};

use common::{klp, module, Tree, RELEASE};
use object::{Object as _, ObjectSection as _};
use snapbox::{assert_data_eq, str};

fn label(tree: &Tree, module: &Path, args: &[&str]) -> (i32, String) {
    let (code, out, err) = klp(tree, &[&["label", module.to_str().unwrap()], args].concat());
    (code, out + &err)
}

fn livepatch(tree: &Tree, fields: &[&str]) -> PathBuf {
    let vermagic = format!("vermagic={RELEASE} SMP");
    let fields = [&["livepatch=Y", "name=a", vermagic.as_str()], fields].concat();
    tree.bytes("a.ko", &module(&fields));
    tree.path("a.ko")
}

fn modinfo(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap();
    let elf = object::File::parse(bytes.as_slice()).unwrap();
    let section = elf.section_by_name(".modinfo").unwrap();
    let text = String::from_utf8(section.data().unwrap().to_vec()).unwrap();
    text.replace('\0', "\n")
}

#[test]
fn what_is_written_is_found_in_it() {
    let tree = Tree::new();
    let file = livepatch(&tree, &[]);
    tree.bytes("ext4.ko", &module(&["name=ext4", "srcversion=ABC"]));
    let target = tree.path("ext4.ko");
    let before = std::fs::read(&file).unwrap();
    let args = [
        "--fix",
        "CVE-2026-1",
        "--fix",
        "bsc#2",
        "--replace",
        "Y",
        "--for",
    ];
    let (code, said) = label(
        &tree,
        &file,
        &[&args[..], &[target.to_str().unwrap()]].concat(),
    );
    assert_eq!((code, said.as_str()), (0, ""));
    assert_data_eq!(
        modinfo(&file),
        str![[r#"
livepatch=Y
name=a
vermagic=7.3.4-test SMP
klp_fixes=CVE-2026-1,bsc#2
klp_replace=Y
klp_srcversion=ext4:ABC

"#]]
    );
    // All else is where it was: place and size of the section have changed in its header.
    let after = std::fs::read(&file).unwrap();
    let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
    assert!(changed <= 16, "{changed} bytes have changed");
    let (_, out, _) = klp(&tree, &["info", file.to_str().unwrap()]);
    assert!(out.contains("CVE-2026-1, bsc#2"), "{out}");
    // Once more would be two answers to one question; another module is another one.
    let (code, said) = label(&tree, &file, &["--replace", "N"]);
    assert_eq!(code, 4);
    assert!(said.contains("has a field klp_replace= already"), "{said}");
    tree.bytes("xfs.ko", &module(&["name=xfs", "srcversion=DEF"]));
    let target = tree.path("xfs.ko");
    assert_eq!(
        label(&tree, &file, &["--for", target.to_str().unwrap()]).0,
        0
    );
    assert!(modinfo(&file).contains("\nklp_srcversion=xfs:DEF\n"));
}

#[test]
fn what_is_no_unsigned_livepatch_is_left_alone() {
    let tree = Tree::new();
    let file = livepatch(&tree, &[]);
    let before = std::fs::read(&file).unwrap();
    for (args, wanted) in [
        (&["--fix", "a b"][..], "without spaces and commas"),
        (&["--fix"], "a value is required"),
        (&["--replace", "yes"], "Y or N"),
    ] {
        let (code, said) = label(&tree, &file, args);
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(wanted), "{said}");
    }
    // Without a source version.
    let (code, said) = label(&tree, &file, &["--for", file.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(said.contains("has no srcversion"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), before);

    let signed = [before.as_slice(), b"~Module signature appended~\n"].concat();
    std::fs::write(&file, &signed).unwrap();
    let (code, said) = label(&tree, &file, &["--fix", "x"]);
    assert_eq!(code, 4);
    assert!(said.contains("it is signed"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), signed);

    tree.bytes("b.ko", &module(&["name=b"]));
    let (code, said) = label(&tree, &tree.path("b.ko"), &["--fix", "x"]);
    assert_eq!(code, 4);
    assert!(said.contains("no livepatch"), "{said}");
    assert_eq!(label(&tree, &tree.path("c.ko"), &["--fix", "x"]).0, 1);
}
