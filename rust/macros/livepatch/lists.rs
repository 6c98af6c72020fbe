// SPDX-License-Identifier: GPL-2.0

//! What the livepatch core reads: the description of the livepatch, and the lists in it of objects,
//! functions and states.

use proc_macro2::{
    Ident,
    Literal,
    TokenStream, //
};
use quote::{
    format_ident,
    quote,
    ToTokens, //
};

use super::{
    parse::{
        Func,
        LivepatchInfo,
        Object,
        Variable, //
    },
    prototype, //
};

/// Returns `__PATCH`, the description of the livepatch, with the lists of objects and functions.
pub(crate) fn patch(info: &LivepatchInfo) -> TokenStream {
    let objects = objects(info);
    let replace = info.replace.then(|| quote!(.replace()));
    let with_states = (!info.states.is_empty()).then(|| quote!(.with_states(&__LIVEPATCH_STATES)));

    quote! {
        #objects

        static __PATCH: ::kernel::livepatch::Patch = ::kernel::livepatch::Patch::new(
            ::kernel::module::this_module::<LivepatchModule>(),
            &__OBJECTS,
        )
        #replace
        #with_states;
    }
}

/// Returns `name`, the list of `elements`, which are of that `kind`.
fn list(name: &Ident, kind: TokenStream, elements: &[TokenStream]) -> TokenStream {
    let len = elements.len();

    quote! {
        static #name: ::kernel::livepatch::List<::kernel::livepatch::#kind, #len> =
            ::kernel::livepatch::List::new([#(#elements,)*]);
    }
}

/// Returns `__OBJECTS`, the list of the objects, with those of their functions before it.
fn objects(info: &LivepatchInfo) -> TokenStream {
    let names: Vec<_> = (0..info.objects.len())
        .map(|i| format_ident!("__FUNCS_{i}"))
        .collect();
    let objects = || names.iter().zip(&info.objects);

    let funcs = objects().map(|(name, object)| funcs(name, object));
    let descs: Vec<_> = objects()
        .map(|(name, object)| object_desc(object, name, info.has_own_shadows()))
        .collect();
    let list = list(&format_ident!("__OBJECTS"), quote!(ObjectDesc), &descs);

    quote! {
        #(#funcs)*

        #list
    }
}

/// Returns `name`, the list of the functions of `object`, after checks of their types.
fn funcs(name: &Ident, object: &Object) -> TokenStream {
    let checks = object.funcs.iter().map(prototype::check);
    let funcs: Vec<_> = object.funcs.iter().map(func).collect();
    let list = list(name, quote!(Func), &funcs);

    quote! {
        #(#checks)*

        #list
    }
}

/// Returns the description of a function.
fn func(func: &Func) -> TokenStream {
    let Func {
        old_name,
        old_sympos,
        new_func,
        ..
    } = func;
    let old_sympos = Literal::usize_unsuffixed(*old_sympos as usize);

    quote! {
        // SAFETY: By writing `old_name => new_func` in `livepatch!`, the author promises what all
        // clauses of `Func::new()` demand of these two functions: the documentation of `livepatch!`
        // says so, because no compiler can check it. Where a prototype was declared, the checks
        // above have compared it with that of `new_func`.
        unsafe { ::kernel::livepatch::Func::new::<#new_func>(#old_name, #old_sympos) }
    }
}

/// Returns the description of `object`, with its functions in `list`.
///
/// If there are `own_shadows`, then the callbacks of `vmlinux` free these, too.
fn object_desc(object: &Object, list: &Ident, own_shadows: bool) -> TokenStream {
    let callbacks = if own_shadows && object.is_vmlinux() {
        let callbacks = match &object.callbacks {
            Some(callbacks) => callbacks.to_token_stream(),
            None => quote!(__NoCallbacks),
        };
        quote!(.with_callbacks::<::kernel::livepatch::FreeShadows<#callbacks, __Shadows>>())
    } else {
        let callbacks = object.callbacks.iter();
        quote!(#(.with_callbacks::<#callbacks>())*)
    };

    if object.is_vmlinux() {
        quote!(::kernel::livepatch::ObjectDesc::vmlinux(&#list) #callbacks)
    } else {
        let name = &object.name;
        quote!(::kernel::livepatch::ObjectDesc::module(#name, &#list) #callbacks)
    }
}

/// Returns `__LIVEPATCH_STATES`, the list of the states; nothing if there are none.
pub(crate) fn states(states: &[Variable]) -> Option<TokenStream> {
    let descs: Vec<_> = states
        .iter()
        .map(|Variable { id, version, .. }| {
            quote!(::kernel::livepatch::StateDesc::new(#id, #version))
        })
        .collect();
    let list = list(
        &format_ident!("__LIVEPATCH_STATES"),
        quote!(StateDesc),
        &descs,
    );

    (!descs.is_empty()).then(|| quote!(#[doc(hidden)] #list))
}
