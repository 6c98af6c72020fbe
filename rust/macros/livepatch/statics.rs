// SPDX-License-Identifier: GPL-2.0

//! The `static`s that the author of a livepatch uses, for states and shadow variables, and what
//! frees the shadow variables.

use proc_macro2::TokenStream;
use quote::{
    quote,
    quote_spanned, //
};
use syn::spanned::Spanned;

use super::parse::{
    LivepatchInfo,
    Variable, //
};

/// Returns a `static` for each state.
pub(crate) fn states(states: &[Variable]) -> TokenStream {
    let handles = states.iter().enumerate().map(|(i, state)| {
        let Variable { name, ty, .. } = state;

        quote_spanned! { ty.span() =>
            // SAFETY:
            // - `livepatch!` writes one handle for each element of `__LIVEPATCH_STATES`, and this
            //   is the one for this element. Whoever makes another needs an `unsafe` for it.
            // - By declaring the state in `livepatch!`, the author promises that all livepatches
            //   with its number agree on the type and leave the data of each other alone: the
            //   documentation of `livepatch!` says so.
            static #name: ::kernel::livepatch::State<#ty> =
                unsafe { ::kernel::livepatch::State::new(__LIVEPATCH_STATES.get(#i)) };
        }
    });

    quote!(#(#handles)*)
}

/// Returns a `static` for each shadow variable.
pub(crate) fn shadows(shadows: &[Variable]) -> TokenStream {
    let handles = shadows.iter().map(|shadow| {
        let Variable { name, ty, id, .. } = shadow;

        quote_spanned! { ty.span() =>
            // SAFETY: By declaring the shadow variable in `livepatch!`, the author promises what
            // the documentation of `livepatch!` says:
            // - All code that uses variables with this number agrees on the type.
            // - What is left when the module goes does not refer to it: those with `keep`, of which
            //   others take care, and those that a successor has taken over. All others are freed
            //   when the livepatch is disabled, see `own_shadows()`.
            static #name: ::kernel::livepatch::Shadow<#ty> =
                unsafe { ::kernel::livepatch::Shadow::new(#id) };
        }
    });

    quote!(#(#handles)*)
}

/// Returns what frees the shadow variables that go when the livepatch is disabled; nothing if there
/// are none.
pub(crate) fn own_shadows(info: &LivepatchInfo) -> Option<TokenStream> {
    let replaces = info.replace;
    let own = info.shadows.iter().filter(|shadow| !shadow.keep);
    let free = own.map(|shadow| {
        let Variable { name, ty, .. } = shadow;

        quote_spanned!(ty.span() => #name.free_all();)
    });

    info.has_own_shadows().then(|| {
        quote! {
            struct __Shadows;

            impl ::kernel::livepatch::OwnShadows for __Shadows {
                const REPLACES: bool = #replaces;

                fn completed() -> &'static ::kernel::sync::atomic::Atomic<bool> {
                    static COMPLETED: ::kernel::sync::atomic::Atomic<bool> =
                        ::kernel::sync::atomic::Atomic::new(false);

                    &COMPLETED
                }

                fn free_all() {
                    #(#free)*
                }
            }

            // Of `vmlinux`, if the author has none.
            #[allow(dead_code)]
            struct __NoCallbacks;

            #[::kernel::prelude::vtable]
            impl ::kernel::livepatch::Callbacks for __NoCallbacks {}
        }
    })
}
