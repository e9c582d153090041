//! Aliases for communities, and the two kinds that are allowed in `communities`. Their text form is defined in
//! `outrigger_wire`.
use std::collections::BTreeMap;
use std::str::FromStr;

use outrigger_sdk::wire::bgp::{Community, LargeCommunity};

use super::read::Fields;

/// An entry of `communities`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Either {
    Standard(Community),
    Large(LargeCommunity),
}

/// Communities by alias, from `communityAliases`.
pub(super) struct Aliases(BTreeMap<String, Either>);

impl Aliases {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        let texts: BTreeMap<String, String> =
            fields.optional("communityAliases").unwrap_or_default();
        let mut aliases = BTreeMap::new();
        for (name, text) in texts {
            match either(&text) {
                Ok(value) => drop(aliases.insert(name, value)),
                Err(message) => fields.wrong_entry("communityAliases", name, message),
            }
        }
        Self(aliases)
    }

    /// Parses an alias or a community.
    pub(super) fn parse(&self, text: &str) -> Result<Either, String> {
        let alias = self.0.get(text).copied().map(Ok);
        alias.unwrap_or_else(|| either(text).map_err(|wrong| format!("{wrong}, or an alias")))
    }
}

fn either(text: &str) -> Result<Either, String> {
    if let Ok(community) = text.parse() {
        return Ok(Either::Large(community));
    }
    parse(text).map(Either::Standard)
}

pub(super) fn parse<T: FromStr<Err: ToString>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|wrong: T::Err| wrong.to_string())
}
