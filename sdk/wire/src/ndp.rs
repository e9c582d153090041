//! Neighbor Solicitation and Advertisement in IPv6 (RFC 4861), and the groups they are sent to. Does not decide which
//! messages may be sent.
use std::net::Ipv6Addr;

use pnet_base::MacAddr;
use pnet_packet::icmpv6::ndp::{
    Icmpv6Codes, MutableNeighborAdvertPacket, NdpOptionType, NdpOptionTypes, NeighborAdvertFlags,
    NeighborAdvertPacket, NeighborSolicitPacket,
};
use pnet_packet::icmpv6::{self, Icmpv6Packet, Icmpv6Type, Icmpv6Types, MutableIcmpv6Packet};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};

use crate::{DecodeError, NeighborAdvertisement, NeighborMessage, NeighborSolicitation};

/// The required hop limit, which a message that crossed a router cannot have (RFC 4861 section 4.3).
const HOP_LIMIT: u8 = 255;
/// The unit of option lengths in octets (RFC 4861 section 4.6).
const OPTION_UNIT: usize = 8;

/// Returns the group that a solicitation for this address is sent to (RFC 4291 section 2.7.1).
pub fn solicited_node_group(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// Returns the Ethernet address of an IPv6 group (RFC 2464 section 7).
pub fn multicast_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr::new(0x33, 0x33, a, b, c, d)
}

pub(crate) fn decode(payload: &[u8]) -> Result<NeighborMessage, DecodeError> {
    let header = Ipv6Packet::new(payload).ok_or(DecodeError::Truncated)?;
    if header.get_version() != 6 {
        return Err(DecodeError::IpVersion);
    }
    // Packets with an extension header are not supported, because it would hide the message from the kernel's
    // filters.
    if header.get_next_header() != IpNextHeaderProtocols::Icmpv6 {
        return Err(DecodeError::NotNeighborDiscovery);
    }
    let octets = payload[Ipv6Packet::minimum_packet_size()..]
        .get(..usize::from(header.get_payload_length()))
        .ok_or(DecodeError::Truncated)?;
    let icmp = Icmpv6Packet::new(octets).ok_or(DecodeError::Truncated)?;
    let decode = match icmp.get_icmpv6_type() {
        Icmpv6Types::NeighborSolicit => decode_solicitation,
        Icmpv6Types::NeighborAdvert => decode_advertisement,
        _ => return Err(DecodeError::NotNeighborDiscovery),
    };
    let (source, destination) = (header.get_source(), header.get_destination());
    if header.get_hop_limit() != HOP_LIMIT {
        return Err(DecodeError::HopLimit);
    }
    if icmp.get_checksum() != icmpv6::checksum(&icmp, &source, &destination) {
        return Err(DecodeError::Checksum);
    }
    if icmp.get_icmpv6_code() != Icmpv6Codes::NoCode {
        return Err(DecodeError::Code);
    }
    if source.is_multicast() {
        return Err(DecodeError::MulticastSource);
    }
    decode(source, destination, octets)
}

pub(crate) fn encode_solicitation(solicitation: &NeighborSolicitation) -> Vec<u8> {
    let link_layer = (NdpOptionTypes::SourceLLAddr, solicitation.source_link_layer);
    let body = body(Icmpv6Types::NeighborSolicit, 0, solicitation.target, link_layer);
    wrap(solicitation.source, solicitation.destination, body)
}

pub(crate) fn encode_advertisement(advertisement: &NeighborAdvertisement) -> Vec<u8> {
    let flags = [
        (advertisement.router, NeighborAdvertFlags::Router),
        (advertisement.solicited, NeighborAdvertFlags::Solicited),
        (advertisement.overrides, NeighborAdvertFlags::Override),
    ];
    let flags = flags.iter().filter(|(set, _)| *set).fold(0, |all, (_, flag)| all | flag);
    let link_layer = (NdpOptionTypes::TargetLLAddr, advertisement.target_link_layer);
    let body = body(Icmpv6Types::NeighborAdvert, flags, advertisement.target, link_layer);
    wrap(advertisement.source, advertisement.destination, body)
}

/// Decodes a Neighbor Solicitation and checks it by RFC 4861 section 7.1.1.
fn decode_solicitation(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    octets: &[u8],
) -> Result<NeighborMessage, DecodeError> {
    let packet = NeighborSolicitPacket::new(octets).ok_or(DecodeError::Truncated)?;
    let target = packet.get_target_addr();
    if target.is_multicast() {
        return Err(DecodeError::MulticastTarget);
    }
    let source_link_layer = link_layer_address(octets, NdpOptionTypes::SourceLLAddr)?;
    if source.is_unspecified() {
        if solicited_node_group(destination) != destination {
            return Err(DecodeError::ProbeDestination);
        }
        if source_link_layer.is_some() {
            return Err(DecodeError::ProbeLinkLayer);
        }
    }
    Ok(NeighborMessage::Solicitation(NeighborSolicitation {
        source,
        destination,
        target,
        source_link_layer,
    }))
}

/// Decodes a Neighbor Advertisement and checks it by RFC 4861 section 7.1.2.
fn decode_advertisement(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    octets: &[u8],
) -> Result<NeighborMessage, DecodeError> {
    let packet = NeighborAdvertPacket::new(octets).ok_or(DecodeError::Truncated)?;
    let target = packet.get_target_addr();
    if target.is_multicast() {
        return Err(DecodeError::MulticastTarget);
    }
    let flags = packet.get_flags();
    let solicited = flags & NeighborAdvertFlags::Solicited != 0;
    if solicited && destination.is_multicast() {
        return Err(DecodeError::SolicitedMulticast);
    }
    Ok(NeighborMessage::Advertisement(NeighborAdvertisement {
        source,
        destination,
        target,
        router: flags & NeighborAdvertFlags::Router != 0,
        solicited,
        overrides: flags & NeighborAdvertFlags::Override != 0,
        target_link_layer: link_layer_address(octets, NdpOptionTypes::TargetLLAddr)?,
    }))
}

/// Returns the first link-layer address option of the given kind, as Linux does. All options are read, because one of
/// length zero invalidates the message at any position. Options of another kind are skipped (RFC 4861 section 9).
fn link_layer_address(octets: &[u8], kind: NdpOptionType) -> Result<Option<MacAddr>, DecodeError> {
    let mut rest = &octets[NeighborSolicitPacket::minimum_packet_size()..];
    let mut found = None;
    while let [this, units, ..] = *rest {
        let length = usize::from(units) * OPTION_UNIT;
        let (option, after) = rest.split_at_checked(length).ok_or(DecodeError::OptionLength)?;
        if length == 0 {
            return Err(DecodeError::OptionLength);
        }
        if NdpOptionType(this) == kind {
            let [_, _, a, b, c, d, e, f] = *option else { return Err(DecodeError::OptionLength) };
            found = found.or(Some(MacAddr::new(a, b, c, d, e, f)));
        }
        rest = after;
    }
    if rest.is_empty() { Ok(found) } else { Err(DecodeError::OptionLength) }
}

/// Encodes the part that both messages share: type, code, checksum, 32 bits of which only advertisements use the
/// first eight, target, options.
fn body(
    kind: Icmpv6Type,
    flags: u8,
    target: Ipv6Addr,
    (option, mac): (NdpOptionType, Option<MacAddr>),
) -> Vec<u8> {
    let mut octets = vec![0; NeighborAdvertPacket::minimum_packet_size()];
    let mut packet = MutableNeighborAdvertPacket::new(&mut octets)
        .expect("the buffer holds a message without options");
    packet.set_icmpv6_type(kind);
    packet.set_icmpv6_code(Icmpv6Codes::NoCode);
    packet.set_flags(flags);
    packet.set_target_addr(target);
    if let Some(mac) = mac {
        octets.extend([option.0, 1]);
        octets.extend(mac.octets());
    }
    octets
}

fn wrap(source: Ipv6Addr, destination: Ipv6Addr, mut body: Vec<u8>) -> Vec<u8> {
    let mut icmp = MutableIcmpv6Packet::new(&mut body).expect("the buffer holds an ICMPv6 header");
    let checksum = icmpv6::checksum(&icmp.to_immutable(), &source, &destination);
    icmp.set_checksum(checksum);

    let mut octets = vec![0; Ipv6Packet::minimum_packet_size() + body.len()];
    let mut header = MutableIpv6Packet::new(&mut octets).expect("the buffer holds an IPv6 header");
    header.set_version(6);
    header.set_payload_length(u16::try_from(body.len()).expect("at most one option"));
    header.set_next_header(IpNextHeaderProtocols::Icmpv6);
    header.set_hop_limit(HOP_LIMIT);
    header.set_source(source);
    header.set_destination(destination);
    header.set_payload(&body);
    octets
}
