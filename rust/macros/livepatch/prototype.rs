// SPDX-License-Identifier: GPL-2.0

//! Code that only compiles if a new function can take the place of the old one, as far as the
//! author has said what that one is.

use proc_macro2::{
    Ident,
    TokenStream, //
};
use quote::{
    quote,
    quote_spanned, //
};
use syn::{
    spanned::Spanned,
    TypeBareFn, //
};

use super::{
    abi_types::{
        raw_param,
        raw_return, //
    },
    parse::{
        Func,
        Prototype, //
    },
};

/// Returns code that only compiles if the new function is a replacement and has the type of the old
/// one.
pub(crate) fn check(func: &Func) -> TokenStream {
    let new_func = &func.new_func;
    let prototype = match &func.prototype {
        Prototype::Unknown => TokenStream::new(),
        Prototype::Bound(bindings) => check_bound(func, bindings),
        Prototype::Declared(declared) => check_declared(func, declared),
    };

    quote! {
        // Says that it expected a type and found a function, if the attribute is missing.
        const _: fn(#new_func) = |_| {};

        #prototype
    }
}

/// Compares with what bindgen knows of the old function.
fn check_bound(func: &Func, bindings: &Ident) -> TokenStream {
    let new_func = &func.new_func;
    let old_func = Ident::new(&func.old_name.value, bindings.span());

    // The two types are in the message if they are not the same.
    quote_spanned! { new_func.span() =>
        const _: ::core::option::Option<
            <#new_func as ::kernel::livepatch::Replacement>::Prototype,
        > = ::core::option::Option::Some(::kernel::bindings::#old_func);
    }
}

/// Compares with what the author has written down.
fn check_declared(func: &Func, declared: &TypeBareFn) -> TokenStream {
    let new_func = &func.new_func;
    let lifetimes = declared.lifetimes.iter();
    let params = declared.inputs.iter().map(|param| raw_param(&param.ty));
    let ret = raw_return(&declared.output);

    quote_spanned! { new_func.span() =>
        const _: () = ::kernel::livepatch::has_prototype::<
            #new_func,
            #(#lifetimes)* unsafe extern "C" fn(#(#params),*) -> #ret,
        >();
    }
}
