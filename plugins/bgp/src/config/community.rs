//! Communities as routers' configurations write them: standard (RFC 1997), large (RFC 8092), extended (RFC 4360, 5668).
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::read::Fields;

/// Standard: AS in the upper half.
pub type Community = u32;
/// Large: AS, and two numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LargeCommunity(pub u32, pub u32, pub u32);
/// Extended: as on the wire.
pub type ExtendedCommunity = [u8; 8];

/// RFC 1997.
pub(super) const NO_EXPORT: Community = 0xffff_ff01;

/// The IANA registry's names, as FRR and BIRD write them.
const WELL_KNOWN: [(&str, Community); 6] = [
    ("graceful-shutdown", 0xffff_0000),
    ("blackhole", 0xffff_029a),
    ("no-export", NO_EXPORT),
    ("no-advertise", 0xffff_ff02),
    ("local-as", 0xffff_ff03),
    ("no-peer", 0xffff_ff04),
];

/// What an entry of `communities` may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Either {
    Standard(Community),
    Large(LargeCommunity),
}

/// `communityAliases`.
pub(super) struct Aliases(BTreeMap<String, Either>);

impl Aliases {
    pub(super) fn read(fields: &mut Fields<'_>) -> Self {
        let texts: BTreeMap<String, String> =
            fields.optional("communityAliases").unwrap_or_default();
        let mut aliases = BTreeMap::new();
        for (name, text) in texts {
            match either(&text) {
                Some(value) => drop(aliases.insert(name, value)),
                None => fields.wrong_entry("communityAliases", name, not_a_community(&text)),
            }
        }
        Self(aliases)
    }

    /// An alias, or a community.
    pub(super) fn parse(&self, text: &str) -> Result<Either, String> {
        let found = self.0.get(text).copied().or_else(|| either(text));
        found.ok_or_else(|| format!("{}, nor in communityAliases", not_a_community(text)))
    }
}

fn not_a_community(text: &str) -> String {
    format!("{text:?} is not a community like 64512:100, 64512:1:2 or no-export")
}

fn either(text: &str) -> Option<Either> {
    if let Some((_, community)) = WELL_KNOWN.iter().find(|(name, _)| *name == text) {
        return Some(Either::Standard(*community));
    }
    if let Some(community) = large(text) {
        return Some(Either::Large(community));
    }
    let (asn, number) = text.split_once(':')?;
    let (asn, number): (u16, u16) = (digits(asn)?, digits(number)?);
    Some(Either::Standard(u32::from(asn) << 16 | u32::from(number)))
}

fn large(text: &str) -> Option<LargeCommunity> {
    let text = text.strip_prefix("large:").unwrap_or(text);
    let mut numbers = text.split(':').map(digits::<u32>);
    let community = LargeCommunity(numbers.next()??, numbers.next()??, numbers.next()??);
    numbers.next().is_none().then_some(community)
}

/// Without a sign, which `parse` would take.
fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|letter| letter.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

pub(super) fn parse_large(text: &str) -> Result<LargeCommunity, String> {
    large(text).ok_or_else(|| format!("{text:?} is not a large community like 64512:1:2"))
}

pub(super) fn parse_extended(text: &str) -> Result<ExtendedCommunity, String> {
    extended(text).ok_or_else(|| {
        format!("{text:?} is not an extended community like rt:64512:100 or soo:192.0.2.1:1")
    })
}

fn extended(text: &str) -> Option<ExtendedCommunity> {
    if text.len() == 16 && text.bytes().all(|letter| letter.is_ascii_hexdigit()) {
        return u64::from_str_radix(text, 16).ok().map(u64::to_be_bytes);
    }
    let (kind, value) = text.split_once(':')?;
    let subtype = match kind {
        "rt" => 2,
        "soo" => 3,
        _ => return None,
    };
    let (administrator, number) = value.split_once(':')?;
    let mut octets = [0, subtype, 0, 0, 0, 0, 0, 0];
    if let Ok(address) = administrator.parse::<Ipv4Addr>() {
        octets[0] = 1;
        octets[2..6].copy_from_slice(&address.octets());
        octets[6..].copy_from_slice(&digits::<u16>(number)?.to_be_bytes());
    } else if let Some(asn) = digits::<u16>(administrator) {
        octets[2..4].copy_from_slice(&asn.to_be_bytes());
        octets[4..].copy_from_slice(&digits::<u32>(number)?.to_be_bytes());
    } else {
        octets[0] = 2;
        octets[2..6].copy_from_slice(&digits::<u32>(administrator)?.to_be_bytes());
        octets[6..].copy_from_slice(&digits::<u16>(number)?.to_be_bytes());
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn communities_are_written_as_routers_write_them() {
        for (text, community) in [
            ("64512:100", Some(Either::Standard(0xfc00_0064))),
            ("no-export", Some(Either::Standard(0xffff_ff01))),
            ("65535:0", Some(Either::Standard(0xffff_0000))),
            ("graceful-shutdown", Some(Either::Standard(0xffff_0000))),
            ("64512:1:2", Some(Either::Large(LargeCommunity(64512, 1, 2)))),
            ("large:4200000000:1:2", Some(Either::Large(LargeCommunity(4_200_000_000, 1, 2)))),
            ("65536:1", None),
            ("1:65536", None),
            ("+1:2", None),
            ("1:2:3:4", None),
            ("", None),
        ] {
            assert_eq!(either(text), community, "{text}");
        }
    }

    #[test]
    fn extended_communities_have_three_kinds_of_administrator() {
        for (text, octets) in [
            ("rt:64512:100", Some([0, 2, 0xfc, 0, 0, 0, 0, 100])),
            ("soo:192.0.2.1:7", Some([1, 3, 192, 0, 2, 1, 0, 7])),
            ("rt:65536:100", Some([2, 2, 0, 1, 0, 0, 0, 100])),
            ("4004fc004cee6b28", Some([0x40, 4, 0xfc, 0, 0x4c, 0xee, 0x6b, 0x28])),
            ("rt:65536:65536", None),
            ("64512:100", None),
        ] {
            assert_eq!(extended(text), octets, "{text}");
        }
    }
}
