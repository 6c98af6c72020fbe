// SPDX-License-Identifier: GPL-2.0

use std::ffi::CString;

use proc_macro2::{
    Literal,
    Span,
    TokenStream,
    TokenTree, //
};
use quote::{
    format_ident,
    quote,
    quote_spanned,
    ToTokens, //
};
use syn::{
    braced,
    bracketed,
    ext::IdentExt,
    parse::{
        Parse,
        ParseStream, //
    },
    punctuated::Punctuated,
    spanned::Spanned,
    token,
    Error,
    FnArg,
    GenericParam,
    Ident,
    ItemFn,
    LitInt,
    LitStr,
    Path,
    Result,
    ReturnType,
    Token, //
};

use crate::{
    helpers::*,
    module::parse_ordered_fields, //
};

/// The licenses that `license_is_gpl_compatible()` accepts.
///
/// C header: `include/linux/license.h`.
const GPL_COMPATIBLE: &[&str] = &[
    "GPL",
    "GPL v2",
    "GPL and additional rights",
    "Dual BSD/GPL",
    "Dual MIT/GPL",
    "Dual MPL/GPL",
];

/// A name that C code has for something: an identifier, or a string if it is none.
struct CName {
    value: String,
    span: Span,
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

/// `old_name => new_func` or `old_name[old_sympos] => new_func`.
struct Func {
    old_name: CName,
    /// 0 if there is none.
    old_sympos: u32,
    new_func: Path,
}

impl Parse for Func {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let old_name: CName = input.parse()?;
        if old_name.value.contains('-') {
            return Err(Error::new(
                old_name.span,
                "'-' cannot be part of the name of a symbol",
            ));
        }

        let mut old_sympos = 0;
        if input.peek(token::Bracket) {
            let position;
            bracketed!(position in input);
            let literal: LitInt = position.parse()?;
            old_sympos = literal
                .base10_parse()
                .ok()
                .filter(|position| *position > 0)
                .ok_or_else(|| {
                    Error::new_spanned(literal, "expected the position of a symbol: 1, 2, ...")
                })?;
            if !position.is_empty() {
                return Err(position.error("expected only one position"));
            }
        }

        input.parse::<Token![=>]>()?;

        Ok(Self {
            old_name,
            old_sympos,
            new_func: input.parse()?,
        })
    }
}

impl Func {
    /// Whether both can mean the same function.
    fn overlaps(&self, other: &Self) -> bool {
        // A name without a position must be the name of one function only.
        self.old_name.value == other.old_name.value
            && (self.old_sympos == other.old_sympos
                || self.old_sympos == 0
                || other.old_sympos == 0)
    }
}

/// `name: { funcs }`.
struct Object {
    name: CName,
    funcs: Punctuated<Func, Token![,]>,
}

impl Parse for Object {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name: CName = input.parse()?;
        if name.value.contains('-') {
            return Err(Error::new(
                name.span,
                format!(
                    "names of modules have `_` where names of files may have `-`: \"{}\"",
                    name.value.replace('-', "_")
                ),
            ));
        }

        input.parse::<Token![:]>()?;

        let list;
        let brace = braced!(list in input);
        let funcs = Punctuated::<Func, _>::parse_terminated(&list)?;

        if funcs.is_empty() {
            return Err(Error::new(
                brace.span.join(),
                format!("no functions to be patched in `{}`", name.value),
            ));
        }

        for (i, func) in funcs.iter().enumerate() {
            if funcs.iter().take(i).any(|other| func.overlaps(other)) {
                return Err(Error::new(
                    func.old_name.span,
                    format!(
                        "duplicated function \"{}\". If several functions have that name, then \
                         give the position of each: `{0}[1]`, `{0}[2]`.",
                        func.old_name.value
                    ),
                ));
            }
        }

        Ok(Self { name, funcs })
    }
}

impl Object {
    fn is_vmlinux(&self) -> bool {
        self.name.value == "vmlinux"
    }
}

/// Parses the value of the key `objects`.
fn parse_objects(input: ParseStream<'_>) -> Result<Vec<Object>> {
    let list;
    let brace = braced!(list in input);
    let objects: Vec<Object> = Punctuated::<Object, Token![,]>::parse_terminated(&list)?
        .into_iter()
        .collect();

    if objects.is_empty() {
        return Err(Error::new(
            brace.span.join(),
            "a livepatch needs at least one object: `vmlinux` or the name of a module",
        ));
    }

    for (i, object) in objects.iter().enumerate() {
        if objects[..i]
            .iter()
            .any(|other| other.name.value == object.name.value)
        {
            return Err(Error::new(
                object.name.span,
                format!(
                    "duplicated object \"{}\". Objects can only be specified once.",
                    object.name.value
                ),
            ));
        }
    }

    Ok(objects)
}

pub(crate) struct LivepatchInfo {
    /// What is for the `module!` macro.
    module: TokenStream,
    objects: Vec<Object>,
}

impl Parse for LivepatchInfo {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        // Most of what describes a module is not looked into here: `module!` does so.
        parse_ordered_fields!(
            from input;
            name [required] => input.parse::<AsciiLitStr>()?,
            authors => input.parse::<TokenTree>()?,
            description => input.parse::<TokenTree>()?,
            license [required] => {
                let license = input.parse::<AsciiLitStr>()?;
                if !GPL_COMPATIBLE.contains(&license.value().as_str()) {
                    Err(Error::new_spanned(
                        &license,
                        format!(
                            "license {:?} is not compatible with the GPL. \
                             A livepatch must have one of: {GPL_COMPATIBLE:?}.",
                            license.value()
                        ),
                    ))?
                }
                license
            },
            alias => input.parse::<TokenTree>()?,
            firmware => input.parse::<TokenTree>()?,
            imports_ns => input.parse::<TokenTree>()?,
            params => input.parse::<TokenTree>()?,
            objects [required] => parse_objects(input)?,
        );

        let authors = authors.into_iter();
        let description = description.into_iter();
        let alias = alias.into_iter();
        let firmware = firmware.into_iter();
        let imports_ns = imports_ns.into_iter();
        let params = params.into_iter();

        Ok(Self {
            module: quote! {
                name: #name,
                #(authors: #authors,)*
                #(description: #description,)*
                license: #license,
                #(alias: #alias,)*
                #(firmware: #firmware,)*
                #(imports_ns: #imports_ns,)*
                #(params: #params,)*
            },
            objects,
        })
    }
}

/// Please see [`crate::livepatch`] for documentation.
pub(crate) fn livepatch(info: LivepatchInfo) -> TokenStream {
    let LivepatchInfo { module, objects } = info;

    let mut lists = TokenStream::new();
    let mut entries = TokenStream::new();

    for (i, object) in objects.iter().enumerate() {
        let list = format_ident!("__FUNCS_{i}");
        let len = object.funcs.len();
        let funcs = object.funcs.iter().map(|func| {
            let Func {
                old_name,
                old_sympos,
                new_func,
            } = func;
            let old_sympos = Literal::usize_unsuffixed(*old_sympos as usize);
            quote! {
                // SAFETY: The author has said so, by naming the two functions in `livepatch!`.
                unsafe { ::kernel::livepatch::Func::new::<#new_func>(#old_name, #old_sympos) }
            }
        });

        lists.extend(quote! {
            static #list: ::kernel::livepatch::FuncList<#len> =
                ::kernel::livepatch::FuncList::new([#(#funcs,)*]);
        });

        entries.extend(if object.is_vmlinux() {
            quote!(::kernel::livepatch::Object::vmlinux(&#list),)
        } else {
            let name = &object.name;
            quote!(::kernel::livepatch::Object::module(#name, &#list),)
        });
    }

    let len = objects.len();

    quote! {
        #[cfg(not(MODULE))]
        ::core::compile_error!("a livepatch can only be built as a loadable module");

        /// The type of the module created by `livepatch!`.
        struct LivepatchModule;

        // Nobody else can name what is in here.
        const _: () = {
            #lists

            static __OBJECTS: ::kernel::livepatch::ObjectList<#len> =
                ::kernel::livepatch::ObjectList::new([#entries]);

            static __PATCH: ::kernel::livepatch::Patch = ::kernel::livepatch::Patch::new(
                ::kernel::module::this_module::<LivepatchModule>(),
                &__OBJECTS,
            );

            impl ::kernel::Module for LivepatchModule {
                fn init(
                    _module: &'static ::kernel::ThisModule,
                ) -> ::kernel::error::Result<Self> {
                    // SAFETY:
                    // - This is the init function of the module that `__PATCH` and its lists are
                    //   `static`s of. It has the result of `enable()`.
                    // - By the code above, every list is used once, and nothing else can use it.
                    // - The kernel calls this once.
                    unsafe { __PATCH.enable() }?;
                    ::core::result::Result::Ok(Self)
                }
            }
        };

        // The livepatch core only takes patches from modules with this mark.
        #[cfg(MODULE)]
        const _: () = {
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static __LIVEPATCH: [u8; 12] = *b"livepatch=Y\0";
        };

        ::kernel::prelude::module! {
            type: LivepatchModule,
            #module
        }
    }
}

/// Please see [`crate::livepatch_replacement`] for documentation.
pub(crate) fn replacement(f: ItemFn) -> Result<TokenStream> {
    let sig = &f.sig;

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

    let mut shim_params = TokenStream::new();
    let mut conversions = TokenStream::new();
    let mut args = Vec::new();

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

        // The span makes the compiler point to a type that cannot be used.
        shim_params.extend(quote_spanned! { ty.span() =>
            #arg: <#ty as ::kernel::livepatch::Arg>::Raw,
        });
        conversions.extend(quote_spanned! { ty.span() =>
            // SAFETY: By the safety requirements of `Func::new()`, C code passes values that meet
            // the requirements of the type, for as long as this call lasts. So does `__scope`.
            let #arg = unsafe { <#ty as ::kernel::livepatch::Arg>::from_raw(#arg, &__scope) };
        });
        args.push(arg);
    }

    let ret = match &sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => ty.to_token_stream(),
    };
    let raw_ret = quote_spanned! { sig.output.span() => <#ret as ::kernel::livepatch::Ret>::Raw };
    let into_raw =
        quote_spanned! { sig.output.span() => <#ret as ::kernel::livepatch::Ret>::into_raw };

    let vis = &f.vis;
    let name = &sig.ident;
    let shim = format_ident!("__livepatch_{}", name.unraw());
    let cfgs: Vec<_> = gather_cfg_attrs(&f.attrs).collect();
    let (params, _, where_clause) = sig.generics.split_for_impl();
    let call = match &sig.unsafety {
        // SAFETY: The same as for safe functions: C code meets the requirements.
        Some(_) => quote!(unsafe { #name(#(#args),*) }),
        None => quote!(#name(#(#args),*)),
    };

    Ok(quote! {
        #f

        // Types have names of their own: this one is for `livepatch!`.
        #(#cfgs)*
        #[doc(hidden)]
        #[allow(non_camel_case_types)]
        #vis enum #name {}

        #(#cfgs)*
        const _: () = {
            /// What C code calls.
            ///
            /// # Safety
            ///
            /// The arguments must meet the requirements of the types of the parameters.
            unsafe extern "C" fn #shim #params (#shim_params) -> #raw_ret #where_clause {
                let __scope = ::kernel::livepatch::Scope;
                #conversions
                let __ret = #into_raw(#call);
                ::kernel::livepatch::keep_frame();
                __ret
            }

            // SAFETY: `#shim` has the C calling convention, and it calls `keep_frame()`.
            unsafe impl ::kernel::livepatch::Replacement for #name {
                const FUNCTION: *mut ::kernel::ffi::c_void = #shim as *mut ::kernel::ffi::c_void;
            }
        };
    })
}
