// SPDX-License-Identifier: GPL-2.0

//! The names of livepatch relocation sections and symbols.

#[cfg_attr(CONFIG_KUNIT, kernel::prelude::kunit_tests(klp_model_reloc_name))]
mod cases {
    use crate::model::reloc_name::{
        module_char,
        parse_section,
        parse_symbol,
        same_object,
        SymbolName, //
    };

    fn symbol<'a>(object: &'a [u8], symbol: &'a [u8], sympos: usize) -> Option<SymbolName<'a>> {
        Some(SymbolName {
            object,
            symbol,
            sympos,
        })
    }

    #[test]
    fn sections() {
        assert!(parse_section(b".klp.rela.vmlinux..text") == Some(b"vmlinux"));
        assert!(parse_section(b".klp.rela.ext4..text") == Some(b"ext4"));
        assert!(parse_section(b".klp.rela.ext4.data.x") == Some(b"ext4"));
        assert!(parse_section(b".klp.rela.dm-mod.x") == Some(b"dm-mod"));
        // The section behind the object is for people.
        assert!(parse_section(b".klp.rela.ext4") == Some(b"ext4"));
    }

    #[test]
    fn malformed_sections() {
        assert!(parse_section(b"").is_none());
        assert!(parse_section(b".rela.text").is_none());
        assert!(parse_section(b".klp.rela").is_none());
        assert!(parse_section(b".klp.rela.").is_none());
        assert!(parse_section(b".klp.rela..text").is_none());
        assert!(parse_section(b".klp.relaext4.text").is_none());
        assert!(parse_section(b"klp.rela.ext4.text").is_none());
    }

    #[test]
    fn symbols() {
        assert_eq!(
            parse_symbol(b".klp.sym.vmlinux.printk,0"),
            symbol(b"vmlinux", b"printk", 0)
        );
        assert_eq!(
            parse_symbol(b".klp.sym.ext4.open.isra.0,12"),
            symbol(b"ext4", b"open.isra.0", 12)
        );
        assert_eq!(
            parse_symbol(b".klp.sym.dm-mod.a-b,1"),
            symbol(b"dm-mod", b"a-b", 1)
        );
    }

    #[test]
    fn malformed_symbols() {
        assert!(parse_symbol(b"").is_none());
        assert!(parse_symbol(b"printk").is_none());
        assert!(parse_symbol(b".klp.sym.").is_none());
        assert!(parse_symbol(b".klp.sym.vmlinux").is_none());
        assert!(parse_symbol(b".klp.sym.vmlinux.").is_none());
        assert!(parse_symbol(b".klp.sym.vmlinux.printk").is_none());
        assert!(parse_symbol(b".klp.sym.vmlinux.printk,").is_none());
        assert!(parse_symbol(b".klp.sym.vmlinux.,0").is_none());
        assert!(parse_symbol(b".klp.sym..printk,0").is_none());
        assert!(parse_symbol(b".klp.rela.vmlinux.printk,0").is_none());
    }

    #[test]
    fn longest_names() {
        // ".klp.rela." or ".klp.sym." and what follows.
        let mut name = [b'x'; 9 + 56 + 1 + 512 + 2];

        name[..10].copy_from_slice(b".klp.rela.");
        assert!(parse_section(&name[..10 + 55]).is_some_and(|object| object.len() == 55));
        assert!(parse_section(&name[..10 + 56]).is_none());

        name[..9].copy_from_slice(b".klp.sym.");
        for (object, symbol, valid) in [
            (55, 511, true),
            (56, 511, false),
            (55, 512, false),
            (1, 1, true),
        ] {
            let dot = 9 + object;
            let comma = dot + 1 + symbol;

            name[9..].fill(b'x');
            name[dot] = b'.';
            name[comma..][..2].copy_from_slice(b",7");

            let lengths =
                parse_symbol(&name[..comma + 2]).map(|name| (name.object.len(), name.symbol.len()));
            assert_eq!(lengths, valid.then_some((object, symbol)));
        }
    }

    #[test]
    fn positions() {
        let sympos = |name| parse_symbol(name).map(|name| name.sympos);

        assert_eq!(sympos(b".klp.sym.a.b,0"), Some(0));
        assert_eq!(sympos(b".klp.sym.a.b,0019"), Some(19));
        // The largest one of 32 bits, and of 64.
        assert_eq!(sympos(b".klp.sym.a.b,4294967295"), Some(0xffff_ffff));
        assert_eq!(
            sympos(b".klp.sym.a.b,18446744073709551615"),
            usize::try_from(u64::MAX).ok()
        );
        // Too large on any architecture: the sum, the product.
        assert_eq!(sympos(b".klp.sym.a.b,18446744073709551616"), None);
        assert_eq!(sympos(b".klp.sym.a.b,99999999999999999999999"), None);
    }

    #[test]
    fn malformed_positions() {
        let sympos = |name| parse_symbol(name).map(|name| name.sympos);

        assert_eq!(sympos(b".klp.sym.a.b,x"), None);
        assert_eq!(sympos(b".klp.sym.a.b,1x"), None);
        assert_eq!(sympos(b".klp.sym.a.b,1:"), None);
        assert_eq!(sympos(b".klp.sym.a.b,1/"), None);
        assert_eq!(sympos(b".klp.sym.a.b,-1"), None);
        assert_eq!(sympos(b".klp.sym.a.b, 1"), None);
        assert_eq!(sympos(b".klp.sym.a.b,1,2"), None);
    }

    #[test]
    fn hyphens() {
        assert!(same_object(b"dm-mod", b"dm_mod"));
        assert!(same_object(b"dm_mod", b"dm-mod"));
        assert!(same_object(b"", b""));
        assert!(!same_object(b"dm-mod", b"dm_mo"));
        assert!(!same_object(b"dm-mod", b"dm+mod"));
        assert!(!same_object(b"dm-mod", b"dm-mop"));
        assert_eq!(module_char(b'-'), b'_');
        assert_eq!(module_char(b'a'), b'a');
    }
}
