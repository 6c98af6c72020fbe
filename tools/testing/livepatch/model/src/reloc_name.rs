// SPDX-License-Identifier: GPL-2.0

//! The names of livepatch relocation sections and symbols.

use crate::model::reloc_name::{
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
