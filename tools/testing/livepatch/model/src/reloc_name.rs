// SPDX-License-Identifier: GPL-2.0

//! The names of livepatch relocation sections and symbols.

use crate::model::reloc_name::{
    module_char,
    parse_section,
    parse_symbol,
    same_object,
    SymbolName, //
};
use proptest::prelude::*;

fn symbol<'a>(object: &'a str, symbol: &'a str, sympos: usize) -> Option<SymbolName<'a>> {
    Some(SymbolName {
        object: object.as_bytes(),
        symbol: symbol.as_bytes(),
        sympos,
    })
}

#[test]
fn sections() {
    assert_eq!(
        parse_section(b".klp.rela.vmlinux..text"),
        Some(&b"vmlinux"[..])
    );
    assert_eq!(parse_section(b".klp.rela.ext4.data.x"), Some(&b"ext4"[..]));
    assert_eq!(parse_section(b".klp.rela.dm-mod.x"), Some(&b"dm-mod"[..]));
    // The section behind the object is for people.
    assert_eq!(parse_section(b".klp.rela.ext4"), Some(&b"ext4"[..]));
}

#[test]
fn malformed_sections() {
    for name in [
        "",
        ".rela.text",
        ".klp.rela",
        ".klp.rela.",
        ".klp.rela..text",
        ".klp.relaext4.text",
        "klp.rela.ext4.text",
    ] {
        assert_eq!(parse_section(name.as_bytes()), None, "{name}");
    }
}

#[test]
fn symbols() {
    assert_eq!(
        parse_symbol(b".klp.sym.vmlinux.printk,0"),
        symbol("vmlinux", "printk", 0)
    );
    assert_eq!(
        parse_symbol(b".klp.sym.ext4.open.isra.0,12"),
        symbol("ext4", "open.isra.0", 12)
    );
    assert_eq!(
        parse_symbol(b".klp.sym.dm-mod.a-b,1"),
        symbol("dm-mod", "a-b", 1)
    );
    assert_eq!(
        parse_symbol(format!(".klp.sym.a.b,{}", usize::MAX).as_bytes()),
        symbol("a", "b", usize::MAX)
    );
}

#[test]
fn malformed_symbols() {
    for name in [
        "",
        "printk",
        ".klp.sym.",
        ".klp.sym.vmlinux",
        ".klp.sym.vmlinux.",
        ".klp.sym.vmlinux.printk",
        ".klp.sym.vmlinux.printk,",
        ".klp.sym.vmlinux.,0",
        ".klp.sym..printk,0",
        ".klp.sym.vmlinux.printk,x",
        ".klp.sym.vmlinux.printk,-1",
        ".klp.sym.vmlinux.printk,1x",
        ".klp.sym.vmlinux.printk, 1",
        ".klp.sym.vmlinux.printk,1,2",
        ".klp.sym.vmlinux.printk,18446744073709551616",
        ".klp.rela.vmlinux.printk,0",
    ] {
        assert_eq!(parse_symbol(name.as_bytes()), None, "{name}");
    }
}

#[test]
fn longest_names() {
    let (object, name) = ("o".repeat(55), "s".repeat(511));
    let text = format!(".klp.sym.{object}.{name},3");
    assert_eq!(parse_symbol(text.as_bytes()), symbol(&object, &name, 3));
    assert_eq!(
        parse_section(format!(".klp.rela.{object}.text").as_bytes()),
        Some(object.as_bytes())
    );

    assert_eq!(
        parse_symbol(format!(".klp.sym.{object}o.{name},3").as_bytes()),
        None
    );
    assert_eq!(
        parse_symbol(format!(".klp.sym.{object}.{name}s,3").as_bytes()),
        None
    );
    assert_eq!(
        parse_section(format!(".klp.rela.{object}o.text").as_bytes()),
        None
    );
}

#[test]
fn hyphens_are_underscores() {
    assert!(same_object(b"dm-mod", b"dm_mod"));
    assert!(same_object(b"dm_mod", b"dm-mod"));
    assert!(same_object(b"", b""));
    assert!(!same_object(b"dm-mod", b"dm+mod"));
    assert!(!same_object(b"dm_mod", b"dm_mo"));
    assert_eq!(module_char(b'-'), b'_');
    assert_eq!(module_char(b'a'), b'a');
}

/// What sscanf() makes of the text after the prefix, as the C core asks it to, but for what may
/// follow the number.
fn upstream(text: &str) -> Option<(String, String, usize)> {
    let (object, rest) = text.split_once('.')?;
    let (name, number) = rest.split_once(',')?;

    if object.is_empty() || object.len() > 55 || name.is_empty() || name.len() > 511 {
        return None;
    }
    if number.is_empty() || !number.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    Some((object.into(), name.into(), number.parse().ok()?))
}

proptest! {
    #[test]
    fn symbols_agree_with_upstream(text in "[a.,0-9-]{0,12}") {
        let name = format!(".klp.sym.{text}");
        let parsed = parse_symbol(name.as_bytes()).map(|parsed| {
            (
                String::from_utf8_lossy(parsed.object).into_owned(),
                String::from_utf8_lossy(parsed.symbol).into_owned(),
                parsed.sympos,
            )
        });

        prop_assert_eq!(parsed, upstream(&text));
    }

    #[test]
    fn whatever_was_written_is_read(
        object in "[a-z_-]{1,55}",
        name in "[a-zA-Z_.]{1,64}",
        sympos in any::<usize>(),
    ) {
        let text = format!(".klp.sym.{object}.{name},{sympos}");

        prop_assert_eq!(parse_symbol(text.as_bytes()), symbol(&object, &name, sympos));
    }

    #[test]
    fn any_bytes_are_survived(name in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = parse_section(&name);
        let _ = parse_symbol(&name);
    }

    #[test]
    fn same_object_agrees_with_replacing(a in "[a_-]{0,4}", b in "[a_-]{0,4}") {
        prop_assert_eq!(
            same_object(a.as_bytes(), b.as_bytes()),
            a.replace('-', "_") == b.replace('-', "_")
        );
    }
}
