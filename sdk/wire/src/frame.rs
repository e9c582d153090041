//! The Ethernet header around a message, and why a frame is not one of ours. Knows no protocol's fields.
use pnet_base::MacAddr;
use pnet_packet::Packet;
use pnet_packet::ethernet::{EtherType, EtherTypes, EthernetPacket, MutableEthernetPacket};

use crate::{Decoded, Message, arp, ndp};

/// Why a frame is neither ARP nor Neighbor Discovery as the RFCs allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum DecodeError {
    /// Ends before its headers do, or before the length they state.
    #[error("the frame is shorter than its headers say")]
    Truncated,
    /// Another protocol, or another ICMPv6 message.
    #[error("the frame is neither ARP nor a neighbor solicitation or advertisement")]
    NotNeighborDiscovery,
    /// RFC 826: not Ethernet (hardware type 1, length 6).
    #[error("the ARP hardware type is not Ethernet")]
    ArpHardware,
    /// RFC 826: not IPv4 (protocol type 0x0800, length 4).
    #[error("the ARP protocol type is not IPv4")]
    ArpProtocol,
    /// Neither request nor reply.
    #[error("the ARP operation is neither request nor reply")]
    ArpOperation,
    /// The IPv6 header's version is not 6.
    #[error("the IPv6 header has another version than 6")]
    IpVersion,
    /// RFC 4291 section 2.7: a multicast address is no source.
    #[error("the IPv6 source is a multicast address")]
    MulticastSource,
    /// RFC 4861 section 7.1: came through a router.
    #[error("the hop limit is not 255: the message crossed a router")]
    HopLimit,
    /// RFC 4861 section 7.1.
    #[error("the ICMPv6 code is not 0")]
    Code,
    /// RFC 4861 section 7.1.
    #[error("the ICMPv6 checksum is wrong")]
    Checksum,
    /// RFC 4861 section 7.1.
    #[error("the target is a multicast address")]
    MulticastTarget,
    /// RFC 4861 section 7.1: an option of length zero, one that runs past the end, or a link-layer address that is
    /// not a MAC address.
    #[error("an option has an impossible length")]
    OptionLength,
    /// RFC 4861 section 7.1.1: from `::` to something else than a solicited-node group.
    #[error("a solicitation from :: does not go to a solicited-node group")]
    ProbeDestination,
    /// RFC 4861 section 7.1.1: from `::` with a Source Link-Layer Address option.
    #[error("a solicitation from :: carries a source link-layer address")]
    ProbeLinkLayer,
    /// RFC 4861 section 7.1.2: to a group with the S flag set.
    #[error("an advertisement to a group claims to be solicited")]
    SolicitedMulticast,
}

impl DecodeError {
    /// A name for counters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::NotNeighborDiscovery => "not-neighbor-discovery",
            Self::ArpHardware => "arp-hardware",
            Self::ArpProtocol => "arp-protocol",
            Self::ArpOperation => "arp-operation",
            Self::IpVersion => "ip-version",
            Self::MulticastSource => "multicast-source",
            Self::HopLimit => "hop-limit",
            Self::Code => "code",
            Self::Checksum => "checksum",
            Self::MulticastTarget => "multicast-target",
            Self::OptionLength => "option-length",
            Self::ProbeDestination => "probe-destination",
            Self::ProbeLinkLayer => "probe-link-layer",
            Self::SolicitedMulticast => "solicited-multicast",
        }
    }
}

/// Reads a whole Ethernet frame without FCS. Octets after the message are padding and ignored.
///
/// # Errors
/// The first rule of RFC 826, RFC 4861 section 7.1.1 or 7.1.2 that it breaks.
pub fn decode(frame: &[u8]) -> Result<Decoded, DecodeError> {
    let ethernet = EthernetPacket::new(frame).ok_or(DecodeError::Truncated)?;
    let message = match ethernet.get_ethertype() {
        EtherTypes::Arp => Message::Arp(arp::decode(ethernet.payload())?),
        EtherTypes::Ipv6 => ndp::decode(ethernet.payload())?,
        _ => return Err(DecodeError::NotNeighborDiscovery),
    };
    Ok(Decoded { destination: ethernet.get_destination(), source: ethernet.get_source(), message })
}

/// Writes a whole Ethernet frame without FCS and padding, checksum filled in.
///
/// There is one way to write a message. A reader that must not be misled, as the guard, compares what it was given
/// with this.
pub fn encode(destination: MacAddr, source: MacAddr, message: &Message) -> Vec<u8> {
    let (ethertype, payload) = match message {
        Message::Arp(arp) => (EtherTypes::Arp, arp::encode(arp)),
        Message::Solicitation(solicitation) => {
            (EtherTypes::Ipv6, ndp::encode_solicitation(solicitation))
        }
        Message::Advertisement(advertisement) => {
            (EtherTypes::Ipv6, ndp::encode_advertisement(advertisement))
        }
    };
    wrap(destination, source, ethertype, &payload)
}

fn wrap(destination: MacAddr, source: MacAddr, ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; EthernetPacket::minimum_packet_size() + payload.len()];
    let mut ethernet =
        MutableEthernetPacket::new(&mut frame).expect("the buffer holds an Ethernet header");
    ethernet.set_destination(destination);
    ethernet.set_source(source);
    ethernet.set_ethertype(ethertype);
    ethernet.set_payload(payload);
    frame
}
