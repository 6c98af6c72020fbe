// SPDX-License-Identifier: GPL-2.0

//! What the author of a livepatch writes in `livepatch!`: its keys, and what is allowed as their
//! values.

use proc_macro2::{
    Span,
    TokenStream,
    TokenTree, //
};
use quote::quote;
use syn::{
    bracketed,
    ext::IdentExt,
    parse::{
        Parse,
        ParseStream, //
    },
    punctuated::Punctuated,
    Error,
    Ident,
    LitBool,
    Result,
    Token, //
};

use crate::{
    helpers::AsciiLitStr,
    module::parse_ordered_fields, //
};

mod name;
mod object;
mod variable;

use self::{
    object::parse_objects,
    variable::{
        parse_shadows,
        parse_states, //
    },
};

pub(crate) use self::{
    object::{
        Func,
        Object,
        Prototype, //
    },
    variable::Variable,
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

/// Parses the value of the key `license`.
fn parse_license(input: ParseStream<'_>) -> Result<AsciiLitStr> {
    let license: AsciiLitStr = input.parse()?;

    if !GPL_COMPATIBLE.contains(&license.value().as_str()) {
        return Err(Error::new_spanned(
            &license,
            format!(
                "license {:?} is not compatible with the GPL. \
                 A livepatch must have one of: {GPL_COMPATIBLE:?}.",
                license.value()
            ),
        ));
    }
    Ok(license)
}

/// Parses the value of the key `fixes`: names of what is fixed, which tools that read them tell
/// apart by commas.
fn parse_fixes(input: ParseStream<'_>) -> Result<Vec<String>> {
    let list;
    bracketed!(list in input);
    let names = Punctuated::<AsciiLitStr, Token![,]>::parse_terminated(&list)?;

    let name = |name: &AsciiLitStr| {
        let text = name.value();
        let is_part = |c: char| c.is_ascii_graphic() && c != ',';

        if !text.is_empty() && text.chars().all(is_part) {
            Ok(text)
        } else {
            Err(Error::new_spanned(
                name,
                "what is fixed has a name without spaces and commas, like \"CVE-2026-1234\"",
            ))
        }
    };
    names.iter().map(name).collect()
}

/// From when until when the livepatch core knows a livepatch.
#[derive(Clone, Copy)]
pub(crate) enum Registration {
    /// From when it is enabled, by the init function, until it is disabled.
    OneShot,
    /// For as long as the module is loaded; and where that was said.
    Registered(Span),
}

impl Registration {
    /// Parses the value of the key `registration`.
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let registration: Ident = input.call(Ident::parse_any)?;

        match registration.to_string().as_str() {
            "one_shot" => Ok(Self::OneShot),
            "registered" => Ok(Self::Registered(registration.span())),
            other => Err(Error::new_spanned(
                &registration,
                format!("unknown registration `{other}`: expected `one_shot` or `registered`"),
            )),
        }
    }
}

/// All that is said in `livepatch!`.
pub(crate) struct LivepatchInfo {
    /// What is for the `module!` macro.
    pub(crate) module: TokenStream,
    pub(crate) registration: Registration,
    pub(crate) replace: bool,
    pub(crate) fixes: Vec<String>,
    pub(crate) objects: Vec<Object>,
    pub(crate) states: Vec<Variable>,
    pub(crate) shadows: Vec<Variable>,
}

impl Parse for LivepatchInfo {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        // Most of what describes a module is not looked into here: `module!` does so.
        parse_ordered_fields!(
            from input;
            name [required] => input.parse::<AsciiLitStr>()?,
            authors => input.parse::<TokenTree>()?,
            description => input.parse::<TokenTree>()?,
            license [required] => parse_license(input)?,
            alias => input.parse::<TokenTree>()?,
            firmware => input.parse::<TokenTree>()?,
            imports_ns => input.parse::<TokenTree>()?,
            params => input.parse::<TokenTree>()?,
            registration => Registration::parse(input)?,
            replace => input.parse::<LitBool>()?,
            fixes => parse_fixes(input)?,
            objects [required] => parse_objects(input)?,
            states => parse_states(input)?,
            shadows => parse_shadows(input)?,
        );

        let [authors, description, alias, firmware, imports_ns, params] =
            [authors, description, alias, firmware, imports_ns, params].map(Option::into_iter);

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
            registration: registration.unwrap_or(Registration::OneShot),
            replace: replace.is_some_and(|replace| replace.value),
            fixes: fixes.unwrap_or_default(),
            objects,
            states: states.unwrap_or_default(),
            shadows: shadows.unwrap_or_default(),
        })
    }
}

impl LivepatchInfo {
    /// Whether there are shadow variables that go when the livepatch is disabled.
    pub(crate) fn has_own_shadows(&self) -> bool {
        self.shadows.iter().any(|shadow| !shadow.keep)
    }

    /// Adds the object that is there whatever modules are loaded, if it is not in the list.
    pub(crate) fn add_vmlinux(&mut self) {
        if !self.objects.iter().any(Object::is_vmlinux) {
            self.objects.push(Object::only_vmlinux());
        }
    }
}
