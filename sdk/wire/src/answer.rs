//! The messages sent about an address: the answer to a question, and the unsolicited announcement. The caller decides
//! if this node answers for the address.
use std::net::{IpAddr, Ipv6Addr};

use pnet_base::MacAddr;

use crate::{
    Arp, ArpOperation, Decoded, NeighborAdvertisement, NeighborMessage, NeighborSolicitation,
    encode, multicast_mac,
};

/// The all-nodes multicast group, ff02::1.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The reason a message gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum NoAnswer {
    /// The message is a reply or an advertisement.
    #[error("not a question")]
    NotAQuestion,
    /// The sender claims the address itself: an announcement, or a conflict (RFC 5227 section 2.4).
    #[error("the sender claims the address itself")]
    Gratuitous,
    /// The frame was sent to another unicast MAC address.
    #[error("sent to another MAC address")]
    NotForUs,
    /// The answer would go to a group address, which is never the hardware address of a host (RFC 1812 section 3.3.2).
    #[error("the sender's MAC address is a group")]
    GroupSender,
}

impl NoAnswer {
    /// Returns a short name for counters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotAQuestion => "not-a-question",
            Self::Gratuitous => "gratuitous",
            Self::NotForUs => "not-for-us",
            Self::GroupSender => "group-sender",
        }
    }
}

/// Returns the frame that answers a question about an address announced with `mac`.
///
/// # Errors
/// Returns the reason if the message must not be answered.
pub fn answer(question: &Decoded, mac: MacAddr) -> Result<Vec<u8>, NoAnswer> {
    if question.destination.is_unicast() && question.destination != mac {
        return Err(NoAnswer::NotForUs);
    }
    let (destination, message) = match &question.message {
        NeighborMessage::Arp(arp) => answer_arp(arp, mac)?,
        NeighborMessage::Solicitation(solicitation) => {
            answer_solicitation(solicitation, question.source, mac)?
        }
        NeighborMessage::Advertisement(_) => return Err(NoAnswer::NotAQuestion),
    };
    Ok(encode(destination, mac, &message))
}

/// Returns the unsolicited frame that announces to a segment that `address` is at `mac`.
pub fn announcement(address: IpAddr, mac: MacAddr) -> Vec<u8> {
    match address {
        // RFC 5227 section 3 asks for the request form. Linux ignores the reply form while an entry is younger than
        // its locktime of 1 s, which is exactly when an address moves.
        IpAddr::V4(address) => {
            let arp = Arp {
                operation: ArpOperation::Request,
                sender_mac: mac,
                sender_ip: address,
                target_mac: MacAddr::zero(),
                target_ip: address,
            };
            encode(MacAddr::broadcast(), mac, &NeighborMessage::Arp(arp))
        }
        // RFC 4861 section 7.2.6; without the O flag neighbours keep the old MAC address.
        IpAddr::V6(address) => {
            let message = advertisement(address, ALL_NODES, false, mac);
            encode(multicast_mac(ALL_NODES), mac, &message)
        }
    }
}

/// Answers an ARP request (RFC 826). A probe (sender address 0.0.0.0) is answered like any other request, because
/// otherwise its sender would take the address (RFC 5227 section 2.1.1).
fn answer_arp(request: &Arp, mac: MacAddr) -> Result<(MacAddr, NeighborMessage), NoAnswer> {
    if request.operation != ArpOperation::Request {
        return Err(NoAnswer::NotAQuestion);
    }
    if request.sender_ip == request.target_ip {
        return Err(NoAnswer::Gratuitous);
    }
    if request.sender_mac.is_multicast() {
        return Err(NoAnswer::GroupSender);
    }
    let reply = Arp {
        operation: ArpOperation::Reply,
        sender_mac: mac,
        sender_ip: request.target_ip,
        target_mac: request.sender_mac,
        target_ip: request.sender_ip,
    };
    Ok((request.sender_mac, NeighborMessage::Arp(reply)))
}

/// Answers a Neighbor Solicitation (RFC 4861 section 7.2.4).
fn answer_solicitation(
    solicitation: &NeighborSolicitation,
    frame_source: MacAddr,
    mac: MacAddr,
) -> Result<(MacAddr, NeighborMessage), NoAnswer> {
    let NeighborSolicitation { source, target, .. } = *solicitation;
    if source == target {
        return Err(NoAnswer::Gratuitous);
    }
    if source.is_unspecified() {
        let message = advertisement(target, ALL_NODES, false, mac);
        return Ok((multicast_mac(ALL_NODES), message));
    }
    // Unicast solicitations may omit the option (RFC 4861 section 4.3); the answer then goes to the sender of the
    // frame.
    let asker = solicitation.source_link_layer.unwrap_or(frame_source);
    if asker.is_multicast() {
        return Err(NoAnswer::GroupSender);
    }
    Ok((asker, advertisement(target, source, true, mac)))
}

fn advertisement(target: Ipv6Addr, to: Ipv6Addr, solicited: bool, mac: MacAddr) -> NeighborMessage {
    NeighborMessage::Advertisement(NeighborAdvertisement {
        source: target,
        destination: to,
        target,
        router: false,
        solicited,
        overrides: true,
        target_link_layer: Some(mac),
    })
}
