//! Encodes UPDATEs with as many routes per message as fit. There is only one encoding, so the same change always
//! gives the same octets.
use std::net::Ipv4Addr;

use ipnet::IpNet;

use super::attribute::code;
use super::{
    Aggregator, AsPath, Attributes, Family, HEADER, MAX_MESSAGE, MessageType, Negotiated, NextHop,
    Origin, header, nlri,
};

/// One UPDATE and the routes in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed<'a> {
    /// The whole message.
    pub message: Vec<u8>,
    /// The routes in the message: a contiguous part of the requested prefixes.
    pub prefixes: &'a [IpNet],
}

/// The error for attributes that leave no room for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the attributes need {needed} octets, but a message to this peer has at most {limit}: use fewer communities"
)]
pub struct AttributesTooLong {
    /// Length in octets of the shortest message with one route.
    pub needed: usize,
    /// Maximum length in octets of a message.
    pub limit: usize,
}

/// Length of an UPDATE without content: the header and the two length fields.
const EMPTY_UPDATE: usize = HEADER + 4;
/// Encoded length of a prefix of 128 bits.
const LONGEST_PREFIX: usize = 17;
/// Length of an attribute's flags, type and extended length.
const LONG_HEAD: usize = 4;

/// Returns the UPDATEs that announce `prefixes`, in their order. IPv4 routes with an IPv4 next hop go into the NLRI
/// field of the UPDATE, all others into MP_REACH_NLRI. One message has routes of one family, so sort them by family.
/// The iterator is lazy: a caller without write credit can stop and later continue after the last
/// [`Packed::prefixes`].
///
/// For IPv6 routes an IPv4 next hop is encoded in its IPv4-mapped form (as in RFC 4798; not used between unicast
/// peers), so pass an IPv6 next hop.
///
/// # Errors
/// Returns an error if the attributes alone fill a message.
pub fn announcements<'a>(
    attributes: &Attributes,
    next_hop: NextHop,
    prefixes: &'a [IpNet],
    negotiated: &Negotiated,
) -> Result<impl Iterator<Item = Packed<'a>> + use<'a>, AttributesTooLong> {
    let limit = usize::from(negotiated.send_limit.max(MAX_MESSAGE));
    let four_octet = negotiated.four_octet_as;
    let plain = match next_hop {
        NextHop::V4(address) => Some(encode_attributes(attributes, Some(address), four_octet)),
        NextHop::V6 { .. } => None,
    };
    let multiprotocol = encode_attributes(attributes, None, four_octet);
    let reach = encode_next_hop(next_hop);
    let fixed = multiprotocol.len() + LONG_HEAD + 3 + reach.len();
    let needed = EMPTY_UPDATE + LONGEST_PREFIX + fixed.max(plain.as_ref().map_or(0, Vec::len));
    if needed > limit {
        return Err(AttributesTooLong { needed, limit });
    }
    let mut rest = prefixes;
    Ok(std::iter::from_fn(move || {
        let family = Family::of(rest.first()?);
        let plain = plain.as_ref().filter(|_| family == Family::IPV4_UNICAST);
        let room = limit - EMPTY_UPDATE - plain.map_or(fixed, Vec::len);
        let (prefixes, nlri) = fill(&mut rest, room);
        let mut message = header::start(MessageType::Update);
        message.extend([0, 0]);
        match plain {
            Some(attributes) => {
                push_length(&mut message, attributes.len());
                message.extend(attributes);
                message.extend(nlri);
            }
            None => {
                let value = [&mp_head(family), reach.as_slice(), &nlri].concat();
                // RFC 7606 section 5.1: MP_REACH_NLRI must be the first attribute.
                let mut field = Vec::with_capacity(LONG_HEAD + value.len() + multiprotocol.len());
                push(&mut field, code::OPTIONAL, code::MP_REACH, &value);
                field.extend(&multiprotocol);
                push_length(&mut message, field.len());
                message.extend(field);
            }
        }
        Some(Packed { message: header::finish(message), prefixes })
    }))
}

/// Returns the UPDATEs that withdraw `prefixes`, in their order; sort them by family. The iterator is as lazy as that
/// of [`announcements`].
pub fn withdrawals<'a>(
    prefixes: &'a [IpNet],
    negotiated: &Negotiated,
) -> impl Iterator<Item = Packed<'a>> + use<'a> {
    let limit = usize::from(negotiated.send_limit.max(MAX_MESSAGE));
    let mut rest = prefixes;
    std::iter::from_fn(move || {
        let family = Family::of(rest.first()?);
        let mut message = header::start(MessageType::Update);
        let prefixes = if family == Family::IPV4_UNICAST {
            let (prefixes, nlri) = fill(&mut rest, limit - EMPTY_UPDATE);
            push_length(&mut message, nlri.len());
            message.extend(nlri);
            message.extend([0, 0]);
            prefixes
        } else {
            let (prefixes, nlri) = fill(&mut rest, limit - EMPTY_UPDATE - LONG_HEAD - 3);
            unreach(&mut message, family, &nlri);
            prefixes
        };
        Some(Packed { message: header::finish(message), prefixes })
    })
}

/// Returns the End-of-RIB marker of a family (RFC 4724 section 2).
pub fn end_of_rib(family: Family) -> Vec<u8> {
    let mut message = header::start(MessageType::Update);
    if family == Family::IPV4_UNICAST {
        message.extend([0; 4]);
    } else {
        unreach(&mut message, family, &[]);
    }
    header::finish(message)
}

fn unreach(message: &mut Vec<u8>, family: Family, nlri: &[u8]) {
    let mut field = Vec::with_capacity(LONG_HEAD + 3 + nlri.len());
    push(&mut field, code::OPTIONAL, code::MP_UNREACH, &[&mp_head(family), nlri].concat());
    message.extend([0, 0]);
    push_length(message, field.len());
    message.extend(field);
}

fn mp_head(Family { afi, safi }: Family) -> [u8; 3] {
    let [high, low] = afi.to_be_bytes();
    [high, low, safi]
}

/// Takes as many prefixes of the first one's family as fit and returns them with their encoding. At least one must
/// fit.
fn fill<'a>(rest: &mut &'a [IpNet], room: usize) -> (&'a [IpNet], Vec<u8>) {
    let family = rest.first().map(Family::of);
    let mut nlri = Vec::new();
    let mut count = 0;
    for prefix in *rest {
        if Some(Family::of(prefix)) != family || nlri.len() + nlri::size(prefix) > room {
            break;
        }
        nlri::encode(prefix, &mut nlri);
        count += 1;
    }
    let (taken, left) = rest.split_at(count);
    *rest = left;
    (taken, nlri)
}

/// Encodes length, next hop and the reserved octet of MP_REACH_NLRI.
fn encode_next_hop(next_hop: NextHop) -> Vec<u8> {
    let mut octets = vec![16];
    match next_hop {
        NextHop::V4(address) => octets.extend(address.to_ipv6_mapped().octets()),
        NextHop::V6 { address, link_local } => {
            octets.extend(address.octets());
            if let Some(link_local) = link_local {
                octets[0] = 32;
                octets.extend(link_local.octets());
            }
        }
    }
    octets.push(0);
    octets
}

/// Encodes all attributes except MP_REACH_NLRI and MP_UNREACH_NLRI, ordered by type code as RFC 4271 appendix F.3
/// advises.
fn encode_attributes(
    attributes: &Attributes,
    next_hop: Option<Ipv4Addr>,
    four_octet: bool,
) -> Vec<u8> {
    let mut list: Vec<(u8, u8, Vec<u8>)> = Vec::new();
    let well_known = code::TRANSITIVE;
    let transitive = code::OPTIONAL | code::TRANSITIVE;
    let origin = match attributes.origin {
        Origin::Igp => 0,
        Origin::Egp => 1,
        Origin::Incomplete => 2,
    };
    list.push((well_known, code::ORIGIN, vec![origin]));
    list.push((well_known, code::AS_PATH, attributes.as_path.encode(four_octet)));
    let number = |number: u32| number.to_be_bytes().to_vec();
    if let Some(address) = next_hop {
        list.push((well_known, code::NEXT_HOP, address.octets().to_vec()));
    }
    if let Some(med) = attributes.med {
        list.push((code::OPTIONAL, code::MULTI_EXIT_DISC, number(med)));
    }
    if let Some(local_pref) = attributes.local_pref {
        list.push((well_known, code::LOCAL_PREF, number(local_pref)));
    }
    if attributes.atomic_aggregate {
        list.push((well_known, code::ATOMIC_AGGREGATE, Vec::new()));
    }
    if let Some(aggregator) = attributes.aggregator {
        list.push((transitive, code::AGGREGATOR, encode_aggregator(aggregator, four_octet)));
    }
    if let Some(asn) = attributes.only_to_customer {
        list.push((transitive, code::ONLY_TO_CUSTOMER, number(asn)));
    }
    let communities = attributes.communities.iter().flat_map(|it| it.0.to_be_bytes());
    let extended = attributes.extended_communities.iter().flat_map(|it| it.0);
    let large = attributes.large_communities.iter().flat_map(|it| it.0.map(u32::to_be_bytes));
    let lists = [
        (code::COMMUNITIES, communities.collect::<Vec<u8>>()),
        (code::EXTENDED_COMMUNITIES, extended.collect()),
        (code::LARGE_COMMUNITIES, large.flatten().collect()),
    ];
    list.extend(
        lists.into_iter().filter(|(_, value)| !value.is_empty()).map(|(c, v)| (transitive, c, v)),
    );
    if !four_octet {
        list.extend(as4(&attributes.as_path, attributes.aggregator));
    }
    list.extend(attributes.other.iter().map(|raw| (raw.flags, raw.code, raw.value.clone())));
    list.sort_by_key(|(_, code, _)| *code);
    let mut field = Vec::new();
    for (flags, code, value) in list {
        push(&mut field, flags, code, &value);
    }
    field
}

/// Returns the AS4 attributes for values that do not fit in two octets (RFC 6793 section 4.2.2).
fn as4(path: &AsPath, aggregator: Option<Aggregator>) -> Vec<(u8, u8, Vec<u8>)> {
    let transitive = code::OPTIONAL | code::TRANSITIVE;
    let path = path.is_wide().then(|| (transitive, code::AS4_PATH, path.encode(true)));
    let aggregator = aggregator.filter(|it| it.asn > u32::from(u16::MAX));
    let aggregator =
        aggregator.map(|it| (transitive, code::AS4_AGGREGATOR, encode_aggregator(it, true)));
    path.into_iter().chain(aggregator).collect()
}

fn encode_aggregator(aggregator: Aggregator, four_octet: bool) -> Vec<u8> {
    let asn = if four_octet {
        aggregator.asn.to_be_bytes().to_vec()
    } else {
        u16::try_from(aggregator.asn).unwrap_or(super::AS_TRANS).to_be_bytes().to_vec()
    };
    [asn.as_slice(), &aggregator.router_id.octets()].concat()
}

/// Appends one attribute, with a length of two octets if one is not enough. A value too long for two octets is longer
/// than any message, and the caller's check of the total length refuses it.
fn push(field: &mut Vec<u8>, flags: u8, code: u8, value: &[u8]) {
    match u8::try_from(value.len()) {
        Ok(length) => field.extend([flags & !code::EXTENDED_LENGTH, code, length]),
        Err(_) => {
            field.extend([flags | code::EXTENDED_LENGTH, code]);
            push_length(field, value.len());
        }
    }
    field.extend(value);
}

fn push_length(into: &mut Vec<u8>, length: usize) {
    into.extend(u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
}
