// SPDX-License-Identifier: GPL-2.0

//! The macros for livepatch modules.
//!
//! This is the module that `livepatch!` writes. What it is made of is below `livepatch/`: each file
//! there writes one kind of item, from what `parse` has read. `replacement` is a macro of its own.

use proc_macro2::{
    Literal,
    TokenStream, //
};
use quote::quote;

mod abi_types;
mod lists;
mod parse;
mod prototype;
mod replacement;
mod statics;

use self::parse::{
    LivepatchInfo,
    Registration, //
};

pub(crate) use self::replacement::replacement;

/// Please see [`crate::livepatch`] for documentation.
pub(crate) fn livepatch(mut info: LivepatchInfo) -> TokenStream {
    if info.has_own_shadows() {
        // Its callbacks are called whatever modules are loaded. Last, because the variables are for
        // the callbacks of the other objects, too.
        info.add_vmlinux();
    }

    let not_a_module = not_a_module();
    let needs_rust_core = needs_rust_core(&info);
    let start = Start::new(info.registration);
    let (patch_cfg, patch_type) = (&start.cfg, &start.patch_type);
    let states_list = lists::states(&info.states);
    let states_handles = statics::states(&info.states);
    let shadows_handles = statics::shadows(&info.shadows);
    let own_shadows = statics::own_shadows(&info);
    let patch = lists::patch(&info);
    let module_impl = module_impl(&info, &start);
    let modinfo = modinfo(&info);
    let module = &info.module;

    quote! {
        #not_a_module
        #needs_rust_core

        /// The type of the module created by `livepatch!`.
        struct LivepatchModule {
            #patch_cfg
            _patch: #patch_type,
        }

        #states_list
        #states_handles
        #shadows_handles

        // Nobody else can name what is in here.
        const _: () = {
            #own_shadows
            #patch
            #module_impl
        };

        #modinfo

        ::kernel::prelude::module! {
            type: LivepatchModule,
            #module
        }
    }
}

/// Returns the error for what is not built as a module.
fn not_a_module() -> TokenStream {
    quote! {
        #[cfg(not(MODULE))]
        ::core::compile_error!("a livepatch can only be built as a loadable module");
    }
}

/// Returns the error for a kernel that cannot have this module.
fn needs_rust_core(info: &LivepatchInfo) -> TokenStream {
    let Registration::Registered(span) = info.registration else {
        return TokenStream::new();
    };

    quote::quote_spanned! { span =>
        #[cfg(not(CONFIG_LIVEPATCH_RUST))]
        ::core::compile_error!(
            "`registration: registered` needs CONFIG_LIVEPATCH_RUST: the livepatch core in C \
             does not have klp_register_patch()"
        );
    }
}

/// Returns what the module says of itself: the mark of modules that the livepatch core takes
/// patches from, and what tools want to know before one is loaded, see
/// `Documentation/ABI/testing/modinfo-livepatch`.
fn modinfo(info: &LivepatchInfo) -> TokenStream {
    let replace = if info.replace { "Y" } else { "N" };
    let mut fields = vec!["livepatch=Y".to_owned(), format!("klp_replace={replace}")];
    if !info.fixes.is_empty() {
        fields.push(format!("klp_fixes={}", info.fixes.join(",")));
    }

    let fields = fields.iter().map(|field| {
        let bytes = [field.as_bytes(), b"\0"].concat();
        let (length, bytes) = (bytes.len(), Literal::byte_string(&bytes));

        quote! {
            #[cfg(MODULE)]
            const _: () = {
                #[link_section = ".modinfo"]
                #[used(compiler)]
                static __LIVEPATCH: [u8; #length] = *#bytes;
            };
        }
    });
    fields.collect()
}

/// How the init function hands the description to the livepatch core.
struct Start {
    /// Of all that needs the livepatch core in Rust. Without that there is one error, see
    /// [`needs_rust_core()`], and not one more for each thing that is missing.
    cfg: TokenStream,
    /// What the module keeps.
    patch_type: TokenStream,
    /// What makes a `Result` of that.
    call: TokenStream,
}

impl Start {
    fn new(registration: Registration) -> Self {
        match registration {
            Registration::OneShot => Self {
                cfg: quote!(),
                patch_type: quote!(()),
                call: quote! {
                    // SAFETY:
                    // - This is the init function of the module that `__PATCH` was made with. It
                    //   fails if this fails, and only then: nothing that comes after this can fail.
                    // - `__PATCH`, `__OBJECTS` and the lists of functions and states are `static`s
                    //   of this module.
                    // - `livepatch!` puts each list into `__PATCH` once. Those of functions and
                    //   objects cannot be named elsewhere, and the name of that of the states is
                    //   not for authors.
                    // - The kernel calls an init function once, and nobody else can name `__PATCH`.
                    unsafe { __PATCH.enable() }
                },
            },
            Registration::Registered(_) => Self {
                cfg: quote!(#[cfg(CONFIG_LIVEPATCH_RUST)]),
                patch_type: quote!(::kernel::livepatch::Registered),
                call: quote! {
                    // SAFETY:
                    // - `__PATCH`, `__OBJECTS` and the lists of functions and states are `static`s
                    //   of the module that `__PATCH` was made with. `livepatch!` puts each list
                    //   into `__PATCH` once. Those of functions and objects cannot be named
                    //   elsewhere, and the name of that of the states is not for authors.
                    // - This is the init function of that module, and it does not enable the
                    //   livepatch. The result is part of the module and dropped with it: an enabled
                    //   livepatch keeps its module loaded, so it is disabled then. That is done by
                    //   the exit function, which is no livepatch callback.
                    // - The kernel calls an init function once, and nobody else can name `__PATCH`.
                    unsafe { __PATCH.register() }
                },
            },
        }
    }
}

/// Returns the module's init function.
fn module_impl(info: &LivepatchInfo, start: &Start) -> TokenStream {
    let Start { cfg, call, .. } = start;
    // Callbacks may have attached some before that of `vmlinux` has failed.
    let frees = info.has_own_shadows()
        && !info.replace
        && matches!(info.registration, Registration::OneShot);
    let free_if_failed = frees.then(|| {
        quote! {
            if patch.is_err() {
                <__Shadows as ::kernel::livepatch::OwnShadows>::free_all();
            }
        }
    });

    quote! {
        impl ::kernel::Module for LivepatchModule {
            fn init(
                _module: &'static ::kernel::ThisModule,
            ) -> ::kernel::error::Result<Self> {
                #cfg
                let patch = #call;
                #free_if_failed

                ::core::result::Result::Ok(Self {
                    #cfg
                    _patch: patch?,
                })
            }
        }
    }
}
