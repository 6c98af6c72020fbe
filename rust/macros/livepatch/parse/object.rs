// SPDX-License-Identifier: GPL-2.0

//! The key `objects`: which functions of which kernel objects are patched.

use proc_macro2::Span;
use syn::{
    braced,
    bracketed,
    ext::IdentExt,
    parse::{
        Parse,
        ParseStream, //
    },
    punctuated::Punctuated,
    token,
    Error,
    Ident,
    LitInt,
    Path,
    Result,
    Token,
    TypeBareFn, //
};

use super::name::CName;

mod kw {
    syn::custom_keyword!(bindings);
    syn::custom_keyword!(with);
}

/// What the author says about the type of a function that is replaced.
pub(crate) enum Prototype {
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
pub(crate) struct Func {
    pub(crate) old_name: CName,
    /// 0 if there is none.
    pub(crate) old_sympos: u32,
    pub(crate) prototype: Prototype,
    pub(crate) new_func: Path,
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

        let old_sympos = parse_sympos(input)?;

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
}

/// Parses `[old_sympos]`, or nothing, which is 0.
fn parse_sympos(input: ParseStream<'_>) -> Result<u32> {
    if !input.peek(token::Bracket) {
        return Ok(0);
    }

    let position;
    bracketed!(position in input);
    let literal: LitInt = position.parse()?;
    let old_sympos = literal
        .base10_parse()
        .ok()
        .filter(|position| *position > 0)
        .ok_or_else(|| {
            Error::new_spanned(literal, "expected the position of a symbol: 1, 2, ...")
        })?;
    if !position.is_empty() {
        return Err(position.error("expected only one position"));
    }
    Ok(old_sympos)
}

/// `name: { funcs }` or `name: { funcs } with callbacks`.
pub(crate) struct Object {
    pub(crate) name: CName,
    pub(crate) funcs: Punctuated<Func, Token![,]>,
    pub(crate) callbacks: Option<Path>,
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
        check_funcs(&funcs)?;

        Ok(Self {
            name,
            funcs,
            callbacks,
        })
    }
}

impl Object {
    /// Returns the one that is there whatever modules are loaded, without functions.
    pub(crate) fn only_vmlinux() -> Self {
        Self {
            name: CName {
                value: "vmlinux".into(),
                span: Span::call_site(),
            },
            funcs: Punctuated::new(),
            callbacks: None,
        }
    }

    pub(crate) fn is_vmlinux(&self) -> bool {
        self.name.value == "vmlinux"
    }
}

/// Checks that every function of an object is there once.
fn check_funcs(funcs: &Punctuated<Func, Token![,]>) -> Result<()> {
    for (i, func) in funcs.iter().enumerate() {
        if funcs.iter().take(i).any(|other| func.overlaps(other)) {
            return Err(Error::new(
                func.old_name.span,
                format!(
                    "duplicated function \"{}\". If several functions have that name, then give \
                     the position of each: `{0}[1]`, `{0}[2]`.",
                    func.old_name.value
                ),
            ));
        }
    }
    Ok(())
}

/// Parses the value of the key `objects`.
pub(super) fn parse_objects(input: ParseStream<'_>) -> Result<Vec<Object>> {
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
