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
    LitBool,
    LitInt,
    LitStr,
    Path,
    Result,
    ReturnType,
    Token,
    Type,
    TypeBareFn, //
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

mod kw {
    syn::custom_keyword!(bindings);
    syn::custom_keyword!(keep);
    syn::custom_keyword!(version);
    syn::custom_keyword!(with);
}

/// What the author says about the type of a function that is replaced.
enum Prototype {
    /// Nothing.
    Unknown,
    /// It is that of `bindings::old_name`.
    Bound(Ident),
    /// It is this, in the types that the parameters of a replacement function have.
    Declared(TypeBareFn),
}

impl Parse for Prototype {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        if !input.peek(Token![:]) {
            return Ok(Self::Unknown);
        }
        input.parse::<Token![:]>()?;

        if input.peek(kw::bindings) {
            return Ok(Self::Bound(input.call(Ident::parse_any)?));
        }
        if !input.peek(Token![fn]) {
            return Err(input.error(
                "expected the prototype of the old function: `fn(...) -> ...`, or `bindings` if \
                 bindgen knows it",
            ));
        }
        let prototype: TypeBareFn = input.parse()?;
        if let Some(variadic) = &prototype.variadic {
            return Err(Error::new_spanned(
                variadic,
                "a function with a variable number of arguments cannot be replaced",
            ));
        }
        Ok(Self::Declared(prototype))
    }
}

/// `old_name => new_func`, with more after `old_name`: `[old_sympos]`, `: prototype`.
struct Func {
    old_name: CName,
    /// 0 if there is none.
    old_sympos: u32,
    prototype: Prototype,
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

        let prototype = input.parse()?;
        if let (Prototype::Bound(_), Err(_)) =
            (&prototype, syn::parse_str::<Ident>(&old_name.value))
        {
            return Err(Error::new(
                old_name.span,
                "bindgen has no function of such a name",
            ));
        }

        input.parse::<Token![=>]>()?;

        Ok(Self {
            old_name,
            old_sympos,
            prototype,
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

    /// Code that only compiles if the new function is a replacement and has the type of the old
    /// one.
    fn check(&self) -> TokenStream {
        let new_func = &self.new_func;
        let prototype = self.check_prototype();

        quote! {
            // Says that it expected a type and found a function, if the attribute is missing.
            const _: fn(#new_func) = |_| {};

            #prototype
        }
    }

    fn check_prototype(&self) -> TokenStream {
        let new_func = &self.new_func;

        match &self.prototype {
            Prototype::Unknown => TokenStream::new(),
            Prototype::Bound(bindings) => {
                let old_func = Ident::new(&self.old_name.value, bindings.span());

                // The two types are in the message if they are not the same.
                quote_spanned! { new_func.span() =>
                    const _: ::core::option::Option<
                        <#new_func as ::kernel::livepatch::Replacement>::Prototype,
                    > = ::core::option::Option::Some(::kernel::bindings::#old_func);
                }
            }
            Prototype::Declared(declared) => {
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
        }
    }
}

/// What C code passes for a parameter of a replacement function. The span makes the compiler point
/// to a type that cannot be used.
fn raw_param(ty: &Type) -> TokenStream {
    quote_spanned!(ty.span() => <#ty as ::kernel::livepatch::Arg>::Raw)
}

/// The type that a replacement function returns.
fn returned(output: &ReturnType) -> TokenStream {
    match output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => ty.to_token_stream(),
    }
}

/// What C code gets from a replacement function.
fn raw_return(output: &ReturnType) -> TokenStream {
    let ret = returned(output);

    quote_spanned!(output.span() => <#ret as ::kernel::livepatch::Ret>::Raw)
}

/// `name: { funcs }` or `name: { funcs } with callbacks`.
struct Object {
    name: CName,
    funcs: Punctuated<Func, Token![,]>,
    callbacks: Option<Path>,
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

        let mut callbacks = None;
        if input.peek(kw::with) {
            input.parse::<kw::with>()?;
            callbacks = Some(input.parse()?);
        }

        if funcs.is_empty() && callbacks.is_none() {
            return Err(Error::new(
                brace.span.join(),
                format!(
                    "no functions to be patched in `{}`, and no callbacks",
                    name.value
                ),
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

        Ok(Self {
            name,
            funcs,
            callbacks,
        })
    }
}

impl Object {
    /// Returns the one that is there whatever modules are loaded, without functions.
    fn only_vmlinux() -> Self {
        Self {
            name: CName {
                value: "vmlinux".into(),
                span: Span::call_site(),
            },
            funcs: Punctuated::new(),
            callbacks: None,
        }
    }

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

/// `NAME: Type = id`, with `keep` or `version n` after it.
struct Variable {
    name: Ident,
    ty: Type,
    id: LitInt,
    /// As it is in the source, without a suffix.
    id_value: u64,
    /// Of a state.
    version: Option<LitInt>,
    /// Of a shadow variable.
    keep: bool,
}

impl Variable {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![:]>()?;
        let ty = input.parse()?;
        input.parse::<Token![=]>()?;
        let id: LitInt = input.parse()?;

        if !id.suffix().is_empty() {
            return Err(Error::new_spanned(&id, "expected a number without a type"));
        }

        Ok(Self {
            name,
            ty,
            id_value: id.base10_parse()?,
            id,
            version: None,
            keep: false,
        })
    }

    fn parse_shadow(input: ParseStream<'_>) -> Result<Self> {
        let mut shadow = Self::parse(input)?;

        if input.peek(kw::keep) {
            input.parse::<kw::keep>()?;
            shadow.keep = true;
        }
        Ok(shadow)
    }

    fn parse_state(input: ParseStream<'_>) -> Result<Self> {
        let mut state = Self::parse(input)?;

        if state.id_value == 0 {
            return Err(Error::new_spanned(
                &state.id,
                "0 cannot be the number of a state",
            ));
        }
        if !input.peek(kw::version) {
            return Err(input.error("expected the version of the state: `version 1`"));
        }
        input.parse::<kw::version>()?;
        let version: LitInt = input.parse()?;
        version.base10_parse::<u32>()?;
        state.version = Some(version);
        Ok(state)
    }

    /// Parses `{ variable, ... }` in which nothing is there twice.
    fn parse_list(
        input: ParseStream<'_>,
        what: &str,
        parser: fn(ParseStream<'_>) -> Result<Self>,
    ) -> Result<Vec<Self>> {
        let list;
        braced!(list in input);
        let variables: Vec<Self> = list
            .parse_terminated(parser, Token![,])?
            .into_iter()
            .collect();

        for (i, variable) in variables.iter().enumerate() {
            for other in &variables[..i] {
                if other.id_value == variable.id_value {
                    return Err(Error::new_spanned(
                        &variable.id,
                        format!(
                            "duplicated number {} of a {what}: `{}` has it already",
                            variable.id, other.name
                        ),
                    ));
                }
                if other.name == variable.name {
                    return Err(Error::new_spanned(
                        &variable.name,
                        format!("duplicated {what} `{}`", variable.name),
                    ));
                }
            }
        }

        Ok(variables)
    }
}

/// How long the livepatch core knows a livepatch.
#[derive(Clone, Copy, PartialEq)]
enum Lifetime {
    /// From when it is enabled, by the init function, until it is disabled.
    OneShot,
    /// For as long as the module is loaded.
    Registered,
}

impl Lifetime {
    fn parse(input: ParseStream<'_>) -> Result<(Self, Span)> {
        let lifetime: Ident = input.call(Ident::parse_any)?;

        match lifetime.to_string().as_str() {
            "one_shot" => Ok((Self::OneShot, lifetime.span())),
            "registered" => Ok((Self::Registered, lifetime.span())),
            other => Err(Error::new_spanned(
                &lifetime,
                format!("unknown lifetime `{other}`: expected `one_shot` or `registered`"),
            )),
        }
    }
}

pub(crate) struct LivepatchInfo {
    /// What is for the `module!` macro.
    module: TokenStream,
    lifetime: Lifetime,
    /// Where that was said.
    lifetime_span: Span,
    replace: bool,
    objects: Vec<Object>,
    states: Vec<Variable>,
    shadows: Vec<Variable>,
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
            lifetime => Lifetime::parse(input)?,
            replace => input.parse::<LitBool>()?,
            objects [required] => parse_objects(input)?,
            states => Variable::parse_list(input, "state", Variable::parse_state)?,
            shadows => Variable::parse_list(input, "shadow variable", Variable::parse_shadow)?,
        );

        let (lifetime, lifetime_span) = lifetime.unwrap_or((Lifetime::OneShot, Span::call_site()));

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
            lifetime,
            lifetime_span,
            replace: replace.is_some_and(|replace| replace.value),
            objects,
            states: states.unwrap_or_default(),
            shadows: shadows.unwrap_or_default(),
        })
    }
}

/// The `static`s of the states: what is for C code, and what is for the author.
fn states(states: &[Variable]) -> (TokenStream, TokenStream) {
    let len = states.len();
    let ids = states.iter().map(|state| &state.id);
    let versions = states.iter().map(|state| &state.version);

    let list = quote! {
        #[doc(hidden)]
        static __LIVEPATCH_STATES: ::kernel::livepatch::StateList<#len> =
            ::kernel::livepatch::StateList::new([
                #(::kernel::livepatch::StateDesc::new(#ids, #versions),)*
            ]);
    };

    let handles = states.iter().enumerate().map(|(i, state)| {
        let Variable { name, ty, .. } = state;

        quote_spanned! { ty.span() =>
            // SAFETY: The author has said what the type of this number is, by declaring the state
            // in `livepatch!`. This is the only handle for this element of the list.
            static #name: ::kernel::livepatch::State<#ty> =
                unsafe { ::kernel::livepatch::State::new(__LIVEPATCH_STATES.get(#i)) };
        }
    });

    (list, quote!(#(#handles)*))
}

/// The `static`s of the shadow variables, and the code to free them.
fn shadows(shadows: &[Variable]) -> (TokenStream, TokenStream) {
    let handles = shadows.iter().map(|shadow| {
        let Variable { name, ty, id, .. } = shadow;

        quote_spanned! { ty.span() =>
            // SAFETY: The author has said what the type of this number is, by declaring the shadow
            // variable in `livepatch!`, and that what is left when the module goes does not refer
            // to it: what others take care of, or a successor has taken over.
            static #name: ::kernel::livepatch::Shadow<#ty> =
                unsafe { ::kernel::livepatch::Shadow::new(#id) };
        }
    });
    let free = shadows.iter().filter(|shadow| !shadow.keep).map(|shadow| {
        let Variable { name, ty, .. } = shadow;

        quote_spanned!(ty.span() => #name.free_all();)
    });

    (quote!(#(#handles)*), quote!(#(#free)*))
}

/// Please see [`crate::livepatch`] for documentation.
pub(crate) fn livepatch(mut info: LivepatchInfo) -> TokenStream {
    let mut lists = TokenStream::new();
    let mut entries = TokenStream::new();

    let (shadows_handles, shadows_free) = shadows(&info.shadows);
    let has_own_shadows = !shadows_free.is_empty();
    if has_own_shadows && !info.objects.iter().any(Object::is_vmlinux) {
        // Its callbacks are called whatever modules are loaded. Last, because the variables are for
        // the callbacks of the other objects, too.
        info.objects.push(Object::only_vmlinux());
    }

    for (i, object) in info.objects.iter().enumerate() {
        let list = format_ident!("__FUNCS_{i}");
        let len = object.funcs.len();
        let checks = object.funcs.iter().map(Func::check);
        let funcs = object.funcs.iter().map(|func| {
            let Func {
                old_name,
                old_sympos,
                new_func,
                ..
            } = func;
            let old_sympos = Literal::usize_unsuffixed(*old_sympos as usize);
            quote! {
                // SAFETY: The author has said so, by naming the two functions in `livepatch!`.
                unsafe { ::kernel::livepatch::Func::new::<#new_func>(#old_name, #old_sympos) }
            }
        });

        lists.extend(quote! {
            #(#checks)*

            static #list: ::kernel::livepatch::FuncList<#len> =
                ::kernel::livepatch::FuncList::new([#(#funcs,)*]);
        });

        let callbacks = if has_own_shadows && object.is_vmlinux() {
            let callbacks = match &object.callbacks {
                Some(callbacks) => callbacks.to_token_stream(),
                None => quote!(__NoCallbacks),
            };
            quote!(.with_callbacks::<::kernel::livepatch::FreeShadows<#callbacks, __Shadows>>())
        } else {
            let callbacks = object.callbacks.iter();
            quote!(#(.with_callbacks::<#callbacks>())*)
        };

        entries.extend(if object.is_vmlinux() {
            quote!(::kernel::livepatch::ObjectDesc::vmlinux(&#list) #callbacks,)
        } else {
            let name = &object.name;
            quote!(::kernel::livepatch::ObjectDesc::module(#name, &#list) #callbacks,)
        });
    }

    let len = info.objects.len();
    let module = &info.module;
    let replace = info.replace.then(|| quote!(.replace()));
    let (states_list, states_handles) = states(&info.states);
    let with_states = (!info.states.is_empty()).then(|| quote!(.with_states(&__LIVEPATCH_STATES)));
    let states_list = (!info.states.is_empty()).then_some(states_list);
    let replaces = info.replace;
    let own_shadows = has_own_shadows.then(|| {
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
                    #shadows_free
                }
            }

            // Of `vmlinux`, if the author has none.
            #[allow(dead_code)]
            struct __NoCallbacks;

            #[::kernel::prelude::vtable]
            impl ::kernel::livepatch::Callbacks for __NoCallbacks {}
        }
    });
    // Callbacks may have attached some before that of `vmlinux` has failed.
    let free_if_failed =
        (has_own_shadows && !replaces && info.lifetime == Lifetime::OneShot).then(|| {
            quote! {
                if patch.is_err() {
                    <__Shadows as ::kernel::livepatch::OwnShadows>::free_all();
                }
            }
        });

    // Without the livepatch core in Rust there is one error, see below, and not one more for each
    // thing that is missing.
    let (patch_cfg, patch_type, start) = match info.lifetime {
        Lifetime::OneShot => (
            quote!(),
            quote!(()),
            quote! {
                // SAFETY:
                // - This is the init function of the module that `__PATCH` and its lists are
                //   `static`s of. It has the result of `enable()`.
                // - By the code above, every list is used once, and nothing else can use it.
                // - The kernel calls this once.
                unsafe { __PATCH.enable() }
            },
        ),
        Lifetime::Registered => (
            quote!(#[cfg(CONFIG_LIVEPATCH_RUST)]),
            quote!(::kernel::livepatch::Registered),
            quote! {
                // SAFETY:
                // - `__PATCH` and its lists are `static`s of this module. By the code above, every
                //   list is used once, and nothing else can use it.
                // - This is the init function of the module, and it does not enable `__PATCH`. The
                //   result is part of the module and dropped with it.
                // - The kernel calls this once.
                unsafe { __PATCH.register() }
            },
        ),
    };

    let implementation = quote! {
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

            #lists

            static __OBJECTS: ::kernel::livepatch::ObjectList<#len> =
                ::kernel::livepatch::ObjectList::new([#entries]);

            static __PATCH: ::kernel::livepatch::Patch = ::kernel::livepatch::Patch::new(
                ::kernel::module::this_module::<LivepatchModule>(),
                &__OBJECTS,
            )
            #replace
            #with_states;

            impl ::kernel::Module for LivepatchModule {
                fn init(
                    _module: &'static ::kernel::ThisModule,
                ) -> ::kernel::error::Result<Self> {
                    #patch_cfg
                    let patch = #start;
                    #free_if_failed

                    ::core::result::Result::Ok(Self {
                        #patch_cfg
                        _patch: patch?,
                    })
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
    };

    let error = "a livepatch can only be built as a loadable module";
    let error = quote! {
        #[cfg(not(MODULE))]
        ::core::compile_error!(#error);
    };

    match info.lifetime {
        Lifetime::OneShot => quote!(#error #implementation),
        Lifetime::Registered => {
            let needs = quote_spanned! { info.lifetime_span =>
                #[cfg(not(CONFIG_LIVEPATCH_RUST))]
                ::core::compile_error!(
                    "`lifetime: registered` needs CONFIG_LIVEPATCH_RUST: the livepatch core in C \
                     does not have klp_register_patch()"
                );
            };

            quote!(#error #needs #implementation)
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
    let mut prototype = Vec::new();
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

        let raw = raw_param(ty);
        shim_params.extend(quote!(#arg: #raw,));
        prototype.push(raw);
        conversions.extend(quote_spanned! { ty.span() =>
            // SAFETY: By the safety requirements of `Func::new()`, C code passes values that meet
            // the requirements of the type, for as long as this call lasts. So does `__scope`.
            let #arg = unsafe { <#ty as ::kernel::livepatch::Arg>::from_raw(#arg, &__scope) };
        });
        args.push(arg);
    }

    let ret = returned(&sig.output);
    let raw_ret = raw_return(&sig.output);
    let into_raw =
        quote_spanned! { sig.output.span() => <#ret as ::kernel::livepatch::Ret>::into_raw };

    let vis = &f.vis;
    let name = &sig.ident;
    let shim = format_ident!("__livepatch_{}", name.unraw());
    let cfgs: Vec<_> = gather_cfg_attrs(&f.attrs).collect();
    let (params, _, where_clause) = sig.generics.split_for_impl();
    let lifetimes = sig.generics.lifetimes().map(|param| &param.lifetime);
    let prototype = quote! {
        for<#(#lifetimes),*> unsafe extern "C" fn(#(#prototype),*) -> #raw_ret
    };
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

            // SAFETY: `#shim` has this type, as the next item shows, and it calls `keep_frame()`.
            unsafe impl ::kernel::livepatch::Replacement for #name {
                type Prototype = #prototype;

                const FUNCTION: *mut ::kernel::ffi::c_void = #shim as *mut ::kernel::ffi::c_void;
            }

            const _: <#name as ::kernel::livepatch::Replacement>::Prototype = #shim;

            impl
                ::kernel::livepatch::HasPrototype<
                    <#name as ::kernel::livepatch::Replacement>::Prototype,
                > for #name
            {
            }
        };
    })
}
