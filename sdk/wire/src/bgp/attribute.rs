//! Path attributes as values (RFC 4271 section 5). They are decoded in `path` and encoded in `pack`.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{AsPath, Community, ExtendedCommunity, LargeCommunity};

/// The path attributes of a set of routes, except the next hop. Lists keep their order on the wire.
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
    /// All other attributes, ordered by type code. Those with a known definition are well-formed.
    pub other: Vec<RawAttribute>,
}

/// The ORIGIN attribute (RFC 4271 section 5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Origin {
    /// 0: IGP.
    #[default]
    Igp,
    /// 1: EGP.
    Egp,
    /// 2: INCOMPLETE.
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

/// The AGGREGATOR attribute (RFC 4271 section 5.1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Aggregator {
    /// AS number of the speaker that aggregated the route, never 0.
    pub asn: u32,
    /// BGP identifier of that speaker.
    pub router_id: Ipv4Addr,
}

/// An attribute that is passed on without being interpreted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RawAttribute {
    /// Attribute flags without Extended Length, which depends on the length of the value.
    pub flags: u8,
    /// Attribute type code.
    pub code: u8,
    /// Attribute value, at most 65535 octets.
    pub value: Vec<u8>,
}

/// The next hop of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// NEXT_HOP attribute, for IPv4 routes.
    V4(Ipv4Addr),
    /// Next hop in MP_REACH_NLRI, for IPv6 routes (RFC 2545), and for IPv4 routes where negotiated (RFC 8950).
    V6 {
        /// The global address, or the link-local one if it is the only one.
        address: Ipv6Addr,
        /// Additional link-local address on the link to the peer, which makes the field 32 octets long instead of 16.
        /// `None` if absent.
        link_local: Option<Ipv6Addr>,
    },
}

impl NextHop {
    /// Returns the address; if there are two, the global one.
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

    /// Returns the common name of an attribute, such as "ORIGIN".
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
