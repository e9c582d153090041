//! The Ethernet header around a message, and the errors of frames that do not decode. The fields of the protocols are
//! decoded in `arp` and `ndp`.
use pnet_base::MacAddr;
use pnet_packet::Packet;
use pnet_packet::ethernet::{EtherType, EtherTypes, EthernetPacket, MutableEthernetPacket};

use crate::{Decoded, NeighborMessage, arp, ndp};

/// The reason a frame is neither ARP nor Neighbor Discovery as the RFCs allow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum DecodeError {
    /// The frame ends before its headers do, or before the length they state.
    #[error("the frame is shorter than its headers say")]
    Truncated,
    /// The frame carries another protocol, or another ICMPv6 message.
    #[error("the frame is neither ARP nor a neighbor solicitation or advertisement")]
    NotNeighborDiscovery,
    /// The ARP hardware is not Ethernet: hardware type 1, length 6 (RFC 826).
    #[error("the ARP hardware type is not Ethernet")]
    ArpHardware,
    /// The ARP protocol is not IPv4: protocol type 0x0800, length 4 (RFC 826).
    #[error("the ARP protocol type is not IPv4")]
    ArpProtocol,
    /// The ARP operation is neither request nor reply.
    #[error("the ARP operation is neither request nor reply")]
    ArpOperation,
    /// The IPv6 header's version is not 6.
    #[error("the IPv6 header has another version than 6")]
    IpVersion,
    /// The IPv6 source is a multicast address, which RFC 4291 section 2.7 forbids.
    #[error("the IPv6 source is a multicast address")]
    MulticastSource,
    /// The hop limit is not 255, so the message crossed a router (RFC 4861 section 7.1).
    #[error("the hop limit is not 255: the message crossed a router")]
    HopLimit,
    /// The ICMPv6 code is not 0 (RFC 4861 section 7.1).
    #[error("the ICMPv6 code is not 0")]
    Code,
    /// The ICMPv6 checksum is wrong (RFC 4861 section 7.1).
    #[error("the ICMPv6 checksum is wrong")]
    Checksum,
    /// The target is a multicast address (RFC 4861 section 7.1).
    #[error("the target is a multicast address")]
    MulticastTarget,
    /// An option has length zero or exceeds the message, or a link-layer address is not a MAC address (RFC 4861
    /// section 7.1).
    #[error("an option has an impossible length")]
    OptionLength,
    /// A solicitation from `::` goes to an address other than a solicited-node group (RFC 4861 section 7.1.1).
    #[error("a solicitation from :: does not go to a solicited-node group")]
    ProbeDestination,
    /// A solicitation from `::` has a Source Link-Layer Address option (RFC 4861 section 7.1.1).
    #[error("a solicitation from :: carries a source link-layer address")]
    ProbeLinkLayer,
    /// An advertisement to a group has the S flag set (RFC 4861 section 7.1.2).
    #[error("an advertisement to a group claims to be solicited")]
    SolicitedMulticast,
}

impl DecodeError {
    /// Returns a short name for counters.
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

/// Decodes a whole Ethernet frame without FCS. Octets after the message are padding and ignored.
///
/// # Errors
/// Returns the first broken rule of RFC 826, RFC 4861 section 7.1.1 or 7.1.2.
pub fn decode(frame: &[u8]) -> Result<Decoded, DecodeError> {
    let ethernet = EthernetPacket::new(frame).ok_or(DecodeError::Truncated)?;
    let message = match ethernet.get_ethertype() {
        EtherTypes::Arp => NeighborMessage::Arp(arp::decode(ethernet.payload())?),
        EtherTypes::Ipv6 => ndp::decode(ethernet.payload())?,
        _ => return Err(DecodeError::NotNeighborDiscovery),
    };
    Ok(Decoded { destination: ethernet.get_destination(), source: ethernet.get_source(), message })
}

/// Encodes a whole Ethernet frame without FCS and padding, with its checksum.
///
/// Each message has exactly one encoding. A reader that must not be misled, such as the guard, compares a received
/// frame with it.
pub fn encode(destination: MacAddr, source: MacAddr, message: &NeighborMessage) -> Vec<u8> {
    let (ethertype, payload) = match message {
        NeighborMessage::Arp(arp) => (EtherTypes::Arp, arp::encode(arp)),
        NeighborMessage::Solicitation(solicitation) => {
            (EtherTypes::Ipv6, ndp::encode_solicitation(solicitation))
        }
        NeighborMessage::Advertisement(advertisement) => {
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
