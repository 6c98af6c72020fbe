// SPDX-License-Identifier: GPL-2.0

//! The names of livepatch relocation sections and of the symbols that they refer to.
//!
//! ```text
//! .klp.rela.<object>.<section>
//! .klp.sym.<object>.<symbol>,<position>
//! ```

/// The longest object name in bytes, on any architecture: `MODULE_NAME_LEN` without the end.
pub(crate) const OBJECT_MAX: usize = 55;

/// The longest symbol name in bytes: `KSYM_NAME_LEN` without the end.
pub(crate) const SYMBOL_MAX: usize = 511;

/// Returns the object of the relocation section `name`; `None` if the name is malformed.
pub(crate) fn parse_section(name: &[u8]) -> Option<&[u8]> {
    let rest = name.strip_prefix(b".klp.rela.")?;
    let object = rest.split(|&c| c == b'.').next()?;

    is_object(object).then_some(object)
}

/// A reference to a symbol of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SymbolName<'a> {
    pub(crate) object: &'a [u8],
    pub(crate) symbol: &'a [u8],
    /// Counted from 1; 0 asks for a unique symbol.
    pub(crate) sympos: usize,
}

/// Takes the name of a livepatch symbol apart; `None` if it is malformed.
pub(crate) fn parse_symbol(name: &[u8]) -> Option<SymbolName<'_>> {
    let rest = name.strip_prefix(b".klp.sym.")?;
    let (object, rest) = split_object(rest)?;
    let comma = rest.iter().position(|&c| c == b',')?;
    let (symbol, position) = rest.split_at_checked(comma)?;

    if symbol.is_empty() || symbol.len() > SYMBOL_MAX {
        return None;
    }
    Some(SymbolName {
        object,
        symbol,
        sympos: parse_position(position.get(1..)?)?,
    })
}

/// Splits at the first dot; `None` if what is before it cannot be the name of an object.
fn split_object(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = rest.iter().position(|&c| c == b'.')?;
    let (object, rest) = rest.split_at_checked(dot)?;

    Some((object, rest.get(1..)?)).filter(|_| is_object(object))
}

const fn is_object(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= OBJECT_MAX
}

/// Reads a decimal number, all of it.
fn parse_position(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0usize, |number, &digit| {
        let value = digit.checked_sub(b'0').filter(|&value| value <= 9)?;
        number.checked_mul(10)?.checked_add(value.into())
    })
}

/// Do two names mean the same object?
///
/// The kernel's module names have `_` where their file names may have `-`, and tools have taken
/// one for the other.
pub(crate) fn same_object(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(&a, &b)| module_char(a) == module_char(b))
}

/// The character that stands for `c` in the name of a module.
pub(crate) const fn module_char(c: u8) -> u8 {
    if c == b'-' {
        b'_'
    } else {
        c
    }
}
