//! What this host says about an address: the answer to a question, and the announcement without one. Does not know
//! whether the address is ours: the caller does.
use std::net::{IpAddr, Ipv6Addr};

use pnet_base::MacAddr;

use crate::{
    Arp, ArpOperation, Decoded, Message, NeighborAdvertisement, NeighborSolicitation, encode,
    multicast_mac,
};

/// ff02::1.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Why a message gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum NoAnswer {
    /// A reply or an advertisement.
    #[error("not a question")]
    NotAQuestion,
    /// The sender speaks for the address itself: an announcement, or a conflict (RFC 5227 section 2.4).
    #[error("the sender claims the address itself")]
    Gratuitous,
    /// Unicast to another MAC address.
    #[error("sent to another MAC address")]
    NotForUs,
    /// The answer would go to a group: nobody's hardware address is one (RFC 1812 section 3.3.2).
    #[error("the sender's MAC address is a group")]
    GroupSender,
}

impl NoAnswer {
    /// A name for counters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotAQuestion => "not-a-question",
            Self::Gratuitous => "gratuitous",
            Self::NotForUs => "not-for-us",
            Self::GroupSender => "group-sender",
        }
    }
}

/// The answer to a question about an address that is announced with `mac`: the whole frame.
///
/// # Errors
/// When no answer is due.
pub fn answer(question: &Decoded, mac: MacAddr) -> Result<Vec<u8>, NoAnswer> {
    if question.destination.is_unicast() && question.destination != mac {
        return Err(NoAnswer::NotForUs);
    }
    let (destination, message) = match &question.message {
        Message::Arp(arp) => answer_arp(arp, mac)?,
        Message::Solicitation(solicitation) => {
            answer_solicitation(solicitation, question.source, mac)?
        }
        Message::Advertisement(_) => return Err(NoAnswer::NotAQuestion),
    };
    Ok(encode(destination, mac, &message))
}

/// The frame that tells a segment, unasked, that `address` is at `mac`.
pub fn announcement(address: IpAddr, mac: MacAddr) -> Vec<u8> {
    match address {
        // RFC 5227 section 3 asks for the request form. Linux ignores the reply form while an entry is younger than
        // its locktime of 1 s, which is when an address moves.
        IpAddr::V4(address) => {
            let arp = Arp {
                operation: ArpOperation::Request,
                sender_mac: mac,
                sender_ip: address,
                target_mac: MacAddr::zero(),
                target_ip: address,
            };
            encode(MacAddr::broadcast(), mac, &Message::Arp(arp))
        }
        // RFC 4861 section 7.2.6; without the O flag neighbours keep the old MAC address.
        IpAddr::V6(address) => {
            let message = advertisement(address, ALL_NODES, false, mac);
            encode(multicast_mac(ALL_NODES), mac, &message)
        }
    }
}

/// RFC 826. A probe (sender address 0.0.0.0) is answered like any other request, or its sender would take the address
/// (RFC 5227 section 2.1.1).
fn answer_arp(request: &Arp, mac: MacAddr) -> Result<(MacAddr, Message), NoAnswer> {
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
    Ok((request.sender_mac, Message::Arp(reply)))
}

/// RFC 4861 section 7.2.4.
fn answer_solicitation(
    solicitation: &NeighborSolicitation,
    frame_source: MacAddr,
    mac: MacAddr,
) -> Result<(MacAddr, Message), NoAnswer> {
    let NeighborSolicitation { source, target, .. } = *solicitation;
    if source == target {
        return Err(NoAnswer::Gratuitous);
    }
    if source.is_unspecified() {
        let message = advertisement(target, ALL_NODES, false, mac);
        return Ok((multicast_mac(ALL_NODES), message));
    }
    // Unicast solicitations may leave the option out (RFC 4861 section 4.3): who sent the frame is who asked.
    let asker = solicitation.source_link_layer.unwrap_or(frame_source);
    if asker.is_multicast() {
        return Err(NoAnswer::GroupSender);
    }
    Ok((asker, advertisement(target, source, true, mac)))
}

fn advertisement(target: Ipv6Addr, to: Ipv6Addr, solicited: bool, mac: MacAddr) -> Message {
    Message::Advertisement(NeighborAdvertisement {
        source: target,
        destination: to,
        target,
        router: false,
        solicited,
        overrides: true,
        target_link_layer: Some(mac),
    })
}
