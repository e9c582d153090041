//! Path attributes as values (RFC 4271 section 5). How they are read and written is next door.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{AsPath, Community, ExtendedCommunity, LargeCommunity};

/// What is said about a set of routes, next hop apart. Lists keep their order on the wire.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Attributes {
    /// ORIGIN.
    pub origin: Origin,
    /// AS_PATH, already merged with AS4_PATH (RFC 6793).
    pub as_path: AsPath,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF: iBGP only.
    pub local_pref: Option<u32>,
    /// ATOMIC_AGGREGATE.
    pub atomic_aggregate: bool,
    /// AGGREGATOR, already merged with AS4_AGGREGATOR.
    pub aggregator: Option<Aggregator>,
    /// COMMUNITIES (RFC 1997).
    pub communities: Vec<Community>,
    /// EXTENDED COMMUNITIES (RFC 4360).
    pub extended_communities: Vec<ExtendedCommunity>,
    /// LARGE_COMMUNITY (RFC 8092).
    pub large_communities: Vec<LargeCommunity>,
    /// Only to Customer (RFC 9234).
    pub only_to_customer: Option<u32>,
    /// Every other attribute, well-formed as far as its definition is known, by type code.
    pub other: Vec<RawAttribute>,
}

/// ORIGIN (RFC 4271 section 5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Origin {
    /// 0.
    #[default]
    Igp,
    /// 1.
    Egp,
    /// 2.
    Incomplete,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Igp => "IGP",
            Self::Egp => "EGP",
            Self::Incomplete => "incomplete",
        })
    }
}

/// AGGREGATOR (RFC 4271 section 5.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aggregator {
    /// AS of the speaker that aggregated, never 0.
    pub asn: u32,
    /// Its BGP identifier.
    pub router_id: Ipv4Addr,
}

/// An attribute that is carried without being understood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawAttribute {
    /// Attribute flags without Extended Length, which follows from the value.
    pub flags: u8,
    /// Attribute type code.
    pub code: u8,
    /// Attribute value, at most 65535 octets.
    pub value: Vec<u8>,
}

/// Where traffic for a route goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// NEXT_HOP, for IPv4 routes.
    V4(Ipv4Addr),
    /// In MP_REACH_NLRI, for IPv6 routes (RFC 2545), and for IPv4 routes where negotiated (RFC 8950).
    V6 {
        /// Global, or link-local when it is the only one.
        address: Ipv6Addr,
        /// Link-local as well, on the link to the peer: 32 octets instead of 16.
        link_local: Option<Ipv6Addr>,
    },
}

impl NextHop {
    /// The address, the global one of two.
    pub fn address(self) -> IpAddr {
        match self {
            Self::V4(address) => address.into(),
            Self::V6 { address, .. } => address.into(),
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V6 { address, link_local: Some(link_local) } => {
                write!(f, "{address} {link_local}")
            }
            other => write!(f, "{}", other.address()),
        }
    }
}

/// Attribute type codes (IANA).
pub(crate) mod code {
    pub(crate) const ORIGIN: u8 = 1;
    pub(crate) const AS_PATH: u8 = 2;
    pub(crate) const NEXT_HOP: u8 = 3;
    pub(crate) const MULTI_EXIT_DISC: u8 = 4;
    pub(crate) const LOCAL_PREF: u8 = 5;
    pub(crate) const ATOMIC_AGGREGATE: u8 = 6;
    pub(crate) const AGGREGATOR: u8 = 7;
    pub(crate) const COMMUNITIES: u8 = 8;
    pub(crate) const ORIGINATOR_ID: u8 = 9;
    pub(crate) const CLUSTER_LIST: u8 = 10;
    pub(crate) const MP_REACH: u8 = 14;
    pub(crate) const MP_UNREACH: u8 = 15;
    pub(crate) const EXTENDED_COMMUNITIES: u8 = 16;
    pub(crate) const AS4_PATH: u8 = 17;
    pub(crate) const AS4_AGGREGATOR: u8 = 18;
    pub(crate) const IPV6_EXTENDED_COMMUNITIES: u8 = 25;
    pub(crate) const LARGE_COMMUNITIES: u8 = 32;
    pub(crate) const ONLY_TO_CUSTOMER: u8 = 35;

    pub(crate) const OPTIONAL: u8 = 0x80;
    pub(crate) const TRANSITIVE: u8 = 0x40;
    pub(crate) const EXTENDED_LENGTH: u8 = 0x10;

    /// The name engineers know it by.
    pub(crate) fn name(code: u8) -> &'static str {
        match code {
            ORIGIN => "ORIGIN",
            AS_PATH => "AS_PATH",
            NEXT_HOP => "NEXT_HOP",
            MULTI_EXIT_DISC => "MULTI_EXIT_DISC",
            LOCAL_PREF => "LOCAL_PREF",
            ATOMIC_AGGREGATE => "ATOMIC_AGGREGATE",
            AGGREGATOR => "AGGREGATOR",
            COMMUNITIES => "COMMUNITIES",
            ORIGINATOR_ID => "ORIGINATOR_ID",
            CLUSTER_LIST => "CLUSTER_LIST",
            MP_REACH => "MP_REACH_NLRI",
            MP_UNREACH => "MP_UNREACH_NLRI",
            EXTENDED_COMMUNITIES => "EXTENDED COMMUNITIES",
            AS4_PATH => "AS4_PATH",
            AS4_AGGREGATOR => "AS4_AGGREGATOR",
            IPV6_EXTENDED_COMMUNITIES => "IPv6 EXTENDED COMMUNITIES",
            LARGE_COMMUNITIES => "LARGE_COMMUNITY",
            ONLY_TO_CUSTOMER => "ONLY_TO_CUSTOMER",
            _ => "attribute",
        }
    }
}
