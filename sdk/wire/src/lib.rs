//! ARP and Neighbor Discovery on Ethernet, [`bgp`] and [`bfd`]. The guard that checks outgoing data, the responder
//! and the plugins share this one codec, so that all of them read every octet the same way.
//!
//! This crate does not know the node's own addresses, sockets or time. 802.1Q tags are handled by the kernel and
//! never appear here.
//!
//! ```
//! use outrigger_wire::{MacAddr, NeighborMessage, announcement, decode};
//!
//! let mac = MacAddr::new(2, 0, 0, 0, 0, 1);
//! let frame = announcement("192.0.2.1".parse()?, mac);
//! let decoded = decode(&frame)?;
//! assert_eq!(decoded.source, mac);
//! assert!(matches!(decoded.message, NeighborMessage::Arp(arp) if arp.sender_ip == arp.target_ip));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub mod bfd;
pub mod bgp;

mod answer;
mod arp;
mod frame;
mod ndp;

pub use answer::{NoAnswer, announcement, answer};
pub use frame::{DecodeError, decode, encode};
pub use ndp::{multicast_mac, solicited_node_group};
pub use pnet_base::MacAddr;

/// A decoded Ethernet frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Destination in the Ethernet header.
    pub destination: MacAddr,
    /// Source in the Ethernet header.
    pub source: MacAddr,
    /// The ARP or Neighbor Discovery message.
    pub message: NeighborMessage,
}

/// A question about, an answer for, or an announcement of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeighborMessage {
    /// ARP request or reply, for IPv4.
    Arp(Arp),
    /// Neighbor Solicitation: asks for the owner of an IPv6 target.
    Solicitation(NeighborSolicitation),
    /// Neighbor Advertisement: announces the owner of an IPv6 target.
    Advertisement(NeighborAdvertisement),
}

impl NeighborMessage {
    /// Returns the address the message is about: ARP's target protocol address or Neighbor Discovery's target.
    pub fn address(&self) -> IpAddr {
        match self {
            Self::Arp(arp) => arp.target_ip.into(),
            Self::Solicitation(solicitation) => solicitation.target.into(),
            Self::Advertisement(advertisement) => advertisement.target.into(),
        }
    }
}

/// An ARP packet for IPv4 on Ethernet (RFC 826).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// ar$op: request or reply.
    pub operation: ArpOperation,
    /// ar$sha: MAC address of the sender.
    pub sender_mac: MacAddr,
    /// ar$spa: address of the sender; 0.0.0.0 in a probe (RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// ar$tha: MAC address of the target; zero in a request, which asks for it.
    pub target_mac: MacAddr,
    /// ar$tpa: address of the target.
    pub target_ip: Ipv4Addr,
}

/// The ARP operation, ar$op. Reverse and inverse ARP (3, 4, 8, 9) are not supported and do not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArpOperation {
    /// 1: request.
    Request,
    /// 2: reply.
    Reply,
}

/// A Neighbor Solicitation (RFC 4861 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighborSolicitation {
    /// IPv6 source; `::` during Duplicate Address Detection (RFC 4862).
    pub source: Ipv6Addr,
    /// IPv6 destination: the target itself or its solicited-node group.
    pub destination: Ipv6Addr,
    /// The address that is asked for.
    pub target: Ipv6Addr,
    /// Source Link-Layer Address option; `None` if absent.
    pub source_link_layer: Option<MacAddr>,
}

/// A Neighbor Advertisement (RFC 4861 section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighborAdvertisement {
    /// IPv6 source.
    pub source: Ipv6Addr,
    /// IPv6 destination: the sender of the solicitation, or all nodes.
    pub destination: Ipv6Addr,
    /// The address advertised.
    pub target: Ipv6Addr,
    /// R flag: the sender is a router.
    pub router: bool,
    /// S flag: the message answers a solicitation.
    pub solicited: bool,
    /// O flag: the neighbour must replace its cached entry.
    pub overrides: bool,
    /// Target Link-Layer Address option; `None` if absent.
    pub target_link_layer: Option<MacAddr>,
}

#[cfg(test)]
mod tests;
