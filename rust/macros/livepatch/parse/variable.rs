// SPDX-License-Identifier: GPL-2.0

//! The keys `states` and `shadows`: variables that livepatches know by a number.

use syn::{
    braced,
    parse::ParseStream,
    Error,
    Ident,
    LitInt,
    Result,
    Token,
    Type, //
};

mod kw {
    syn::custom_keyword!(keep);
    syn::custom_keyword!(version);
}

/// `NAME: Type = id`, with `keep` or `version n` after it.
pub(crate) struct Variable {
    pub(crate) name: Ident,
    pub(crate) ty: Type,
    pub(crate) id: LitInt,
    /// As it is in the source, without a suffix.
    id_value: u64,
    /// Of a state.
    pub(crate) version: Option<LitInt>,
    /// Of a shadow variable.
    pub(crate) keep: bool,
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

    /// Fails if `other`, which stands before this one, has its number or its name.
    ///
    /// `what` says what they are.
    fn check_distinct(&self, other: &Self, what: &str) -> Result<()> {
        if other.id_value == self.id_value {
            return Err(Error::new_spanned(
                &self.id,
                format!(
                    "duplicated number {} of a {what}: `{}` has it already",
                    self.id, other.name
                ),
            ));
        }
        if other.name == self.name {
            return Err(Error::new_spanned(
                &self.name,
                format!("duplicated {what} `{}`", self.name),
            ));
        }
        Ok(())
    }
}

/// Parses the value of the key `states`.
pub(super) fn parse_states(input: ParseStream<'_>) -> Result<Vec<Variable>> {
    parse_list(input, "state", Variable::parse_state)
}

/// Parses the value of the key `shadows`.
pub(super) fn parse_shadows(input: ParseStream<'_>) -> Result<Vec<Variable>> {
    parse_list(input, "shadow variable", Variable::parse_shadow)
}

/// Parses `{ variable, ... }` in which nothing is there twice.
fn parse_list(
    input: ParseStream<'_>,
    what: &str,
    parser: fn(ParseStream<'_>) -> Result<Variable>,
) -> Result<Vec<Variable>> {
    let list;
    braced!(list in input);
    let variables: Vec<Variable> = list
        .parse_terminated(parser, Token![,])?
        .into_iter()
        .collect();

    for (i, variable) in variables.iter().enumerate() {
        for other in &variables[..i] {
            variable.check_distinct(other, what)?;
        }
    }

    Ok(variables)
}
