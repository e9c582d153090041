//! ARP and Neighbor Discovery on Ethernet, [`bgp`] and [`bfd`]: what the guard reads before anything leaves, what the
//! responder answers with, and what a plugin says. One decoder for all three, so that none of them reads an octet differently.
//!
//! Knows nothing of addresses that are ours, of sockets or of time. 802.1Q tags are the kernel's and never seen here.
//!
//! ```
//! use outrigger_wire::{MacAddr, Message, announcement, decode};
//!
//! let mac = MacAddr::new(2, 0, 0, 0, 0, 1);
//! let frame = announcement("192.0.2.1".parse()?, mac);
//! let decoded = decode(&frame)?;
//! assert_eq!(decoded.source, mac);
//! assert!(matches!(decoded.message, Message::Arp(arp) if arp.sender_ip == arp.target_ip));
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

/// What an Ethernet frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Destination in the Ethernet header.
    pub destination: MacAddr,
    /// Source in the Ethernet header.
    pub source: MacAddr,
    /// The payload.
    pub message: Message,
}

/// A question about, an answer for, or an announcement of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// IPv4.
    Arp(Arp),
    /// IPv6: who has the target?
    Solicitation(NeighborSolicitation),
    /// IPv6: the target is here.
    Advertisement(NeighborAdvertisement),
}

impl Message {
    /// The address it is about: ARP's target protocol address, Neighbor Discovery's target.
    pub fn address(&self) -> IpAddr {
        match self {
            Self::Arp(arp) => arp.target_ip.into(),
            Self::Solicitation(solicitation) => solicitation.target.into(),
            Self::Advertisement(advertisement) => advertisement.target.into(),
        }
    }
}

/// Address Resolution Protocol for IPv4 on Ethernet (RFC 826).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arp {
    /// Question or answer.
    pub operation: ArpOperation,
    /// ar$sha.
    pub sender_mac: MacAddr,
    /// ar$spa. 0.0.0.0 in a probe (RFC 5227).
    pub sender_ip: Ipv4Addr,
    /// ar$tha. Zero in a request: it is what is asked for.
    pub target_mac: MacAddr,
    /// ar$tpa.
    pub target_ip: Ipv4Addr,
}

/// ar$op. Reverse and inverse ARP (3, 4, 8, 9) have no place here and do not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArpOperation {
    /// 1.
    Request,
    /// 2.
    Reply,
}

/// Neighbor Solicitation (RFC 4861 section 4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighborSolicitation {
    /// IPv6 source; `::` during Duplicate Address Detection (RFC 4862).
    pub source: Ipv6Addr,
    /// IPv6 destination: the target itself or its solicited-node group.
    pub destination: Ipv6Addr,
    /// The address asked for.
    pub target: Ipv6Addr,
    /// Source Link-Layer Address option.
    pub source_link_layer: Option<MacAddr>,
}

/// Neighbor Advertisement (RFC 4861 section 4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeighborAdvertisement {
    /// IPv6 source.
    pub source: Ipv6Addr,
    /// IPv6 destination: who asked, or all nodes.
    pub destination: Ipv6Addr,
    /// The address advertised.
    pub target: Ipv6Addr,
    /// R flag: the sender is a router.
    pub router: bool,
    /// S flag: answers a solicitation.
    pub solicited: bool,
    /// O flag: replace what the neighbour has cached.
    pub overrides: bool,
    /// Target Link-Layer Address option.
    pub target_link_layer: Option<MacAddr>,
}

#[cfg(test)]
mod tests;
