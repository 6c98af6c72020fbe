// SPDX-License-Identifier: GPL-2.0

//! Which types C code sees in place of those that a replacement function has.
//!
//! All spans are those of the author's types, so that the compiler points to a type that cannot be
//! used.

use proc_macro2::TokenStream;
use quote::{
    quote,
    quote_spanned,
    ToTokens, //
};
use syn::{
    spanned::Spanned,
    ReturnType,
    Type, //
};

/// Returns what C code passes for a parameter of a replacement function.
pub(crate) fn raw_param(ty: &Type) -> TokenStream {
    quote_spanned!(ty.span() => <#ty as ::kernel::livepatch::Arg>::Raw)
}

/// Returns the type that a replacement function returns.
pub(crate) fn returned(output: &ReturnType) -> TokenStream {
    match output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => ty.to_token_stream(),
    }
}

/// Returns what C code gets from a replacement function.
pub(crate) fn raw_return(output: &ReturnType) -> TokenStream {
    let ret = returned(output);

    quote_spanned!(output.span() => <#ret as ::kernel::livepatch::Ret>::Raw)
}
