//! Decodes the values of single attributes and names the clause that a malformed one breaks.
use std::net::{IpAddr, Ipv4Addr};

use super::super::attribute::code;
use super::super::octets::Octets;
use super::super::{
    Action, Aggregator, Attributes, Community, ErrorCode, ExtendedCommunity, Family, Fault,
    LargeCommunity, Negotiated, NextHop, Origin, RawAttribute,
};
use super::wire::Wire;

pub(super) fn origin(wire: &Wire<'_>) -> Result<Origin, Fault> {
    let clause = "RFC 7606 section 7.1";
    match wire.fixed(clause)? {
        [0] => Ok(Origin::Igp),
        [1] => Ok(Origin::Egp),
        [2] => Ok(Origin::Incomplete),
        [value] => {
            let words = format!("value {value}");
            Err(wire.fault(Action::TreatAsWithdraw, ErrorCode::INVALID_ORIGIN, words, clause))
        }
    }
}

pub(super) fn next_hop(wire: &Wire<'_>) -> Result<Ipv4Addr, Fault> {
    let address = Ipv4Addr::from(wire.fixed::<4>("RFC 7606 section 7.3")?);
    // RFC 7606 section 3 e requires the reaction.
    if !is_a_hosts(address.into()) {
        let words = format!("{address} is not the address of a host");
        let error = ErrorCode::INVALID_NEXT_HOP;
        return Err(wire.fault(Action::TreatAsWithdraw, error, words, "RFC 7606 section 3 e"));
    }
    Ok(address)
}

/// Returns true if a host can have the address, as RFC 4271 section 6.3 requires of a next hop, in any attribute.
pub(super) fn is_a_hosts(address: IpAddr) -> bool {
    let reserved = matches!(address, IpAddr::V4(address) if address.octets()[0] >= 240);
    !address.is_unspecified() && !address.is_multicast() && !reserved
}

pub(super) fn mp_next_hop(
    value: &[u8],
    family: Family,
    negotiated: &Negotiated,
) -> Option<NextHop> {
    let mut octets = Octets(value);
    let plain = family == Family::IPV4_UNICAST;
    match value.len() {
        4 if plain => octets.ipv4().map(NextHop::V4),
        16 | 32 if !plain || negotiated.ipv6_next_hop => {
            Some(NextHop::V6 { address: octets.ipv6()?, link_local: octets.ipv6() })
        }
        _ => None,
    }
}

pub(super) fn aggregator(
    wire: &Wire<'_>,
    four_octet: bool,
    clause: &'static str,
) -> Result<Aggregator, Fault> {
    let mut octets = Octets(wire.value);
    let asn = if four_octet { octets.u32() } else { octets.u16().map(u32::from) };
    let read = asn.zip(octets.ipv4()).filter(|_| octets.is_empty());
    let Some((asn, router_id)) = read else {
        return Err(wire.length(Action::AttributeDiscard, clause));
    };
    if asn == 0 {
        let error = ErrorCode::OPTIONAL_ATTRIBUTE;
        return Err(wire.fault(Action::AttributeDiscard, error, "AS 0", "RFC 7607 section 2"));
    }
    Ok(Aggregator { asn, router_id })
}

/// Decodes the optional attributes that are lists or numbers, and keeps those that are only passed on.
pub(super) fn read_lists(attributes: &mut Attributes, wire: &Wire<'_>) -> Result<(), Fault> {
    match wire.code {
        code::COMMUNITIES => {
            let list = wire.list("RFC 7606 section 7.8")?;
            attributes.communities =
                list.iter().map(|it| Community(u32::from_be_bytes(*it))).collect();
            return Ok(());
        }
        code::EXTENDED_COMMUNITIES => {
            let list = wire.list("RFC 7606 section 7.14")?;
            attributes.extended_communities = list.iter().copied().map(ExtendedCommunity).collect();
            return Ok(());
        }
        code::LARGE_COMMUNITIES => {
            attributes.large_communities =
                wire.list::<12>("RFC 8092 section 6")?.iter().map(large).collect();
            return Ok(());
        }
        code::ONLY_TO_CUSTOMER => {
            let value = wire.fixed("RFC 9234 section 5")?;
            attributes.only_to_customer = Some(u32::from_be_bytes(value));
            return Ok(());
        }
        code::ORIGINATOR_ID => drop(wire.fixed::<4>("RFC 7606 section 7.9")?),
        code::CLUSTER_LIST => drop(wire.list::<4>("RFC 7606 section 7.10")?),
        code::IPV6_EXTENDED_COMMUNITIES => drop(wire.list::<20>("RFC 7606 section 7.15")?),
        _ => {}
    }
    let flags = wire.flags & !code::EXTENDED_LENGTH;
    let raw = RawAttribute { flags, code: wire.code, value: wire.value.to_vec() };
    let place = attributes.other.partition_point(|other| other.code < raw.code);
    attributes.other.insert(place, raw);
    Ok(())
}

fn large(octets: &[u8; 12]) -> LargeCommunity {
    let mut octets = Octets(octets);
    let mut part = || octets.u32().expect("three times four octets");
    LargeCommunity([part(), part(), part()])
}
