//! Determines the address that a frame speaks for, and verifies that the entire frame may be sent by this link.
use std::net::IpAddr;

use outrigger_sdk::Link;
use outrigger_wire::{
    Arp, Decoded, NeighborAdvertisement, NeighborMessage, NeighborSolicitation, encode,
};

use super::Reason;

/// Shortest Ethernet frame, without the checksum; a shorter payload is padded with zeros.
const SHORTEST: usize = 60;

/// Verifies that the frame equals the only valid encoding of its message. Anything that differs from it, or follows it,
/// carries content that was not parsed.
pub(super) fn says_nothing_else(data: &[u8], frame: &Decoded) -> Result<(), Reason> {
    let spelled = encode(frame.destination, frame.source, &frame.message);
    let padding = data.strip_prefix(spelled.as_slice()).ok_or(Reason::NotAnAnnouncement)?;
    let is_padding =
        padding.iter().all(|octet| *octet == 0) && (padding.is_empty() || data.len() <= SHORTEST);
    if is_padding { Ok(()) } else { Err(Reason::NotAnAnnouncement) }
}

/// Returns the address that this frame claims or asks about. Every MAC address in the frame must be the link's.
pub(super) fn claimed_address(frame: &Decoded, link: &Link) -> Result<IpAddr, Reason> {
    if frame.source != link.mac {
        return Err(Reason::ForeignMac);
    }
    match &frame.message {
        NeighborMessage::Arp(arp) => arp_address(arp, link),
        NeighborMessage::Advertisement(advertisement) => advertised_address(advertisement, link),
        NeighborMessage::Solicitation(solicitation) => solicited_address(solicitation, link),
    }
}

/// Returns true if the frame is a Router Advertisement by which a BGP peer on the link discovers this node (RFC 4861
/// section 4.2): sent from one of the link's own link-local addresses to all nodes, offering no route, no prefix and no
/// configuration.
pub(super) fn only_shows_itself(data: &[u8], link: &Link) -> bool {
    const ALL_NODES: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
    const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
    const IPV6_HEADER: usize = 40;
    const ICMPV6: u8 = 58;
    const ROUTER_ADVERTISEMENT: u8 = 134;
    /// Length of the message: type, code, checksum, hop limit, flags, lifetime, two times, and the source link-layer
    /// address option.
    const MESSAGE: usize = 16 + 8;
    let Some((ethernet, ip)) = data.split_first_chunk::<14>() else { return false };
    if ethernet[..6] != ALL_NODES
        || ethernet[6..12] != link.mac.octets()
        || ethernet[12..] != ETHERTYPE_IPV6
    {
        return false;
    }
    if ip.len() != IPV6_HEADER + MESSAGE {
        return false;
    }
    let (header, message) = ip.split_at(IPV6_HEADER);
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&header[at..at + 16]);
        std::net::Ipv6Addr::from(octets)
    };
    let (source, destination) = (address(8), address(24));
    let own = link.addresses.iter().any(|net| net.addr() == IpAddr::from(source));
    let all_nodes = std::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let from_here = source.is_unicast_link_local() && own && destination == all_nodes;
    let plain = header[0] >> 4 == 6
        && header[4..6] == (MESSAGE as u16).to_be_bytes()
        && header[6] == ICMPV6
        && header[7] == 255;
    let offers_nothing = message[..2] == [ROUTER_ADVERTISEMENT, 0] && message[5..8] == [0, 0, 0];
    from_here
        && plain
        && offers_nothing
        && message[16..18] == [1, 1]
        && message[18..] == link.mac.octets()
}

/// Returns the address of an announcement (SPA = TPA), a reply (SPA is the address), or a probe (SPA 0, RFC 5227
/// section 2.1).
fn arp_address(arp: &Arp, link: &Link) -> Result<IpAddr, Reason> {
    use outrigger_wire::ArpOperation::{Reply, Request};
    if arp.sender_mac != link.mac {
        return Err(Reason::ForeignMac);
    }
    match arp.operation {
        Reply if !arp.sender_ip.is_unspecified() => Ok(arp.sender_ip.into()),
        Request if arp.sender_ip == arp.target_ip || arp.sender_ip.is_unspecified() => {
            Ok(arp.target_ip.into())
        }
        Reply | Request => Err(Reason::NotAnAnnouncement),
    }
}

/// Returns the target of an advertisement (RFC 4861 section 4.4). The source must be the target or an address of the
/// link, because a source is a claim too.
fn advertised_address(
    advertisement: &NeighborAdvertisement,
    link: &Link,
) -> Result<IpAddr, Reason> {
    if advertisement.target_link_layer.is_some_and(|mac| mac != link.mac) {
        return Err(Reason::ForeignMac);
    }
    let own = |address: IpAddr| link.addresses.iter().any(|net| net.addr() == address);
    let source = advertisement.source;
    if advertisement.router || (source != advertisement.target && !own(source.into())) {
        return Err(Reason::NotAnAnnouncement);
    }
    Ok(advertisement.target.into())
}

/// Returns the target of a probe for a duplicate (RFC 4862 section 5.4.2), or of a question from an address of the
/// link.
fn solicited_address(solicitation: &NeighborSolicitation, link: &Link) -> Result<IpAddr, Reason> {
    if solicitation.source_link_layer.is_some_and(|mac| mac != link.mac) {
        return Err(Reason::ForeignMac);
    }
    let own = |address: IpAddr| link.addresses.iter().any(|net| net.addr() == address);
    if !solicitation.source.is_unspecified() && !own(solicitation.source.into()) {
        return Err(Reason::NotAnAnnouncement);
    }
    Ok(solicitation.target.into())
}
