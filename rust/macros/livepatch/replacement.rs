// SPDX-License-Identifier: GPL-2.0

//! The attribute `#[replacement]`: a function with the calling convention of C around one of Rust.

use proc_macro2::{
    Ident,
    TokenStream, //
};
use quote::{
    format_ident,
    quote,
    quote_spanned, //
};
use syn::{
    ext::IdentExt,
    spanned::Spanned,
    Error,
    FnArg,
    GenericParam,
    ItemFn,
    Result,
    Signature, //
};

use crate::helpers::gather_cfg_attrs;

use super::abi_types::{
    raw_param,
    raw_return,
    returned, //
};

/// Checks that C code can call a function with this signature, as far as the parameters and the
/// return type do not matter.
fn check_signature(sig: &Signature) -> Result<()> {
    if let Some(token) = &sig.asyncness {
        return Err(Error::new_spanned(
            token,
            "a replacement function cannot be `async`",
        ));
    }

    if let Some(param) = sig
        .generics
        .params
        .iter()
        .find(|p| !matches!(p, GenericParam::Lifetime(_)))
    {
        return Err(Error::new_spanned(
            param,
            "a replacement function cannot be generic: C code calls exactly one function",
        ));
    }

    if let Some(variadic) = &sig.variadic {
        return Err(Error::new_spanned(
            variadic,
            "a replacement function cannot have a variable number of arguments",
        ));
    }

    Ok(())
}

/// The parameters of a replacement function, in the forms in which they are needed.
#[derive(Default)]
struct Params {
    /// What C code passes, with names: the parameters of the function that it calls.
    declarations: TokenStream,
    /// The types of these.
    raw_types: Vec<TokenStream>,
    /// Turns these into the arguments of the author's function.
    conversions: TokenStream,
    /// The arguments of the author's function.
    args: Vec<Ident>,
}

impl Params {
    fn new(sig: &Signature) -> Result<Self> {
        let mut params = Self::default();

        for (i, input) in sig.inputs.iter().enumerate() {
            let param = match input {
                FnArg::Typed(param) => param,
                FnArg::Receiver(receiver) => {
                    return Err(Error::new_spanned(
                        receiver,
                        "a replacement function cannot be a method",
                    ));
                }
            };
            let arg = format_ident!("__arg{i}");
            let ty = &param.ty;

            let raw = raw_param(ty);
            params.declarations.extend(quote!(#arg: #raw,));
            params.raw_types.push(raw);
            params.conversions.extend(quote_spanned! { ty.span() =>
                // SAFETY: `#arg` is what C code has passed. By the first requirement of this
                // function, it meets the requirements of the type for as long as this call lasts.
                // `__scope` is a local variable of this call, so it does not outlast it.
                let #arg = unsafe { <#ty as ::kernel::livepatch::Arg>::from_raw(#arg, &__scope) };
            });
            params.args.push(arg);
        }

        Ok(params)
    }
}

/// Returns the function `shim`, which C code calls, around that with the signature `sig`.
fn shim_fn(shim: &Ident, sig: &Signature, params: &Params) -> TokenStream {
    let name = &sig.ident;
    let (generics, _, where_clause) = sig.generics.split_for_impl();
    let Params {
        declarations,
        conversions,
        args,
        ..
    } = params;

    let ret = returned(&sig.output);
    let raw_ret = raw_return(&sig.output);
    let into_raw =
        quote_spanned! { sig.output.span() => <#ret as ::kernel::livepatch::Ret>::into_raw };
    let call = match &sig.unsafety {
        // SAFETY: The arguments are those of this function. By its second requirement, they meet
        // those of `#name`.
        Some(_) => quote!(unsafe { #name(#(#args),*) }),
        None => quote!(#name(#(#args),*)),
    };

    quote! {
        /// What C code calls.
        ///
        /// # Safety
        ///
        /// - The arguments must meet the requirements of the types of the parameters, for as long
        ///   as the call lasts.
        /// - If the author's function is `unsafe`, then they must meet its requirements, too.
        unsafe extern "C" fn #shim #generics (#declarations) -> #raw_ret #where_clause {
            let __scope = ::kernel::livepatch::Scope;
            #conversions
            let __ret = #into_raw(#call);
            ::kernel::livepatch::keep_frame();
            __ret
        }
    }
}

/// Returns what makes the type `name` stand for the function `shim`.
fn replacement_impl(shim: &Ident, sig: &Signature, params: &Params) -> TokenStream {
    let name = &sig.ident;
    let lifetimes = sig.generics.lifetimes().map(|param| &param.lifetime);
    let raw_types = &params.raw_types;
    let raw_ret = raw_return(&sig.output);

    quote! {
        // SAFETY:
        // - `FUNCTION` is `#shim`, an `extern "C"` function. That its type is `Prototype` is what
        //   the next item needs in order to compile.
        // - `#shim` calls `keep_frame()` after all other calls. So none of them is a tail call.
        unsafe impl ::kernel::livepatch::Replacement for #name {
            type Prototype =
                for<#(#lifetimes),*> unsafe extern "C" fn(#(#raw_types),*) -> #raw_ret;

            const FUNCTION: *mut ::kernel::ffi::c_void = #shim as *mut ::kernel::ffi::c_void;
        }

        const _: <#name as ::kernel::livepatch::Replacement>::Prototype = #shim;

        impl
            ::kernel::livepatch::HasPrototype<
                <#name as ::kernel::livepatch::Replacement>::Prototype,
            > for #name
        {
        }
    }
}

/// Please see [`crate::livepatch_replacement`] for documentation.
pub(crate) fn replacement(f: ItemFn) -> Result<TokenStream> {
    let sig = &f.sig;
    check_signature(sig)?;
    let params = Params::new(sig)?;

    let vis = &f.vis;
    let name = &sig.ident;
    let shim = format_ident!("__livepatch_{}", name.unraw());
    let cfgs: Vec<_> = gather_cfg_attrs(&f.attrs).collect();
    let shim_fn = shim_fn(&shim, sig, &params);
    let replacement_impl = replacement_impl(&shim, sig, &params);

    Ok(quote! {
        #f

        // Types have names of their own: this one is for `livepatch!`.
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        #vis enum #name {}

        #(#cfgs)*
        const _: () = {
            #shim_fn

            #replacement_impl
        };
    })
}
