//! Prefixes as encoded in UPDATEs (RFC 4271 section 4.3).
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::Family;

/// Decodes prefixes up to the end of the field. Bits after the prefix have no meaning (RFC 4271 section 4.3) and are
/// set to zero.
///
/// Returns the error as text if a prefix is malformed (RFC 7606 section 5.3).
pub(crate) fn decode(mut octets: &[u8], family: Family) -> Result<Vec<IpNet>, String> {
    let mut prefixes = Vec::new();
    while let [length, rest @ ..] = octets {
        let most = if family == Family::IPV4_UNICAST { 32 } else { 128 };
        if *length > most {
            return Err(format!("a prefix length of /{length} in {family}"));
        }
        let Some((address, rest)) = rest.split_at_checked(usize::from(length.div_ceil(8))) else {
            return Err(format!("a /{length} of {family} that is cut off"));
        };
        prefixes.push(prefix(*length, address, family));
        octets = rest;
    }
    Ok(prefixes)
}

fn prefix(length: u8, address: &[u8], family: Family) -> IpNet {
    let mut whole = [0; 16];
    whole[..address.len()].copy_from_slice(address);
    if family == Family::IPV4_UNICAST {
        let [a, b, c, d, ..] = whole;
        let address = Ipv4Addr::new(a, b, c, d);
        return Ipv4Net::new(address, length).expect("checked to be at most 32").trunc().into();
    }
    let address = Ipv6Addr::from(whole);
    Ipv6Net::new(address, length).expect("checked to be at most 128").trunc().into()
}

/// Returns the encoded length of a prefix in octets.
pub(crate) fn size(prefix: &IpNet) -> usize {
    1 + usize::from(prefix.prefix_len().div_ceil(8))
}

/// Appends an encoded prefix; bits after the prefix are zero.
pub(crate) fn encode(prefix: &IpNet, into: &mut Vec<u8>) {
    let length = prefix.prefix_len();
    into.push(length);
    let octets = usize::from(length.div_ceil(8));
    match prefix.network() {
        std::net::IpAddr::V4(address) => into.extend(&address.octets()[..octets]),
        std::net::IpAddr::V6(address) => into.extend(&address.octets()[..octets]),
    }
}
