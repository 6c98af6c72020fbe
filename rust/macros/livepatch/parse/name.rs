// SPDX-License-Identifier: GPL-2.0

//! The names that C code has for functions and modules.

use std::ffi::CString;

use proc_macro2::{
    Literal,
    Span,
    TokenStream, //
};
use quote::ToTokens;
use syn::{
    ext::IdentExt,
    parse::{
        Parse,
        ParseStream, //
    },
    Error,
    Ident,
    LitStr,
    Result, //
};

/// A name that C code has for something: an identifier, or a string if it is none.
///
/// As a token, it is a string for C.
pub(crate) struct CName {
    pub(crate) value: String,
    pub(crate) span: Span,
}

impl Parse for CName {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (value, span) = if input.peek(LitStr) {
            let string: LitStr = input.parse()?;
            (string.value(), string.span())
        } else if input.peek(Ident::peek_any) {
            // Keywords of Rust are fine names in C.
            let ident = input.call(Ident::parse_any)?;
            (ident.unraw().to_string(), ident.span())
        } else {
            return Err(input.error("expected a name: an identifier or a string"));
        };

        if value.is_empty() {
            return Err(Error::new(span, "expected a name, this one is empty"));
        }

        // Compilers append suffixes with dots to symbols, as in `name.constprop.0`.
        if let Some(c) = value
            .chars()
            .find(|c| !c.is_ascii_alphanumeric() && !"_.$-".contains(*c))
        {
            return Err(Error::new(
                span,
                format!("{c:?} cannot be part of the name of a symbol or module"),
            ));
        }

        Ok(Self { value, span })
    }
}

impl ToTokens for CName {
    fn to_tokens(&self, ts: &mut TokenStream) {
        let value = CString::new(self.value.as_str()).expect("name contains NUL-terminator");
        let mut literal = Literal::c_string(&value);
        literal.set_span(self.span);
        literal.to_tokens(ts);
    }
}
