//! Configuration of a BGP speaker in BGP's terms, independent of any syntax: the module of each program translates it into its
//! own file.
use std::net::{IpAddr, Ipv4Addr};

/// BGP router.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// AS number of the router.
    pub asn: u32,
    /// BGP identifier of the router.
    pub router_id: Ipv4Addr,
    /// Neighbours of the router.
    pub neighbors: Vec<Neighbor>,
    /// Prefixes that the router originates.
    pub networks: Vec<String>,
}

/// Neighbour, or a prefix of neighbours.
#[derive(Debug, Clone)]
pub struct Neighbor {
    /// Identification of the neighbour.
    pub who: Who,
    /// AS number of the neighbour.
    pub asn: u32,
    /// Local address of the session.
    pub local: Option<IpAddr>,
    /// Address families to negotiate (RFC 4760).
    pub families: Vec<Family>,
    /// Key for TCP MD5 (RFC 2385).
    pub password: Option<String>,
    /// Distance of the neighbour.
    pub hops: Hops,
    /// True if the speaker never connects by itself.
    pub passive: bool,
    /// Hold time in seconds; keepalives are sent at a third of it.
    pub hold: u16,
    /// BFD for the session.
    pub bfd: Option<Bfd>,
    /// Restart time of graceful restart (RFC 4724) in seconds.
    pub restart: Option<u16>,
    /// True if IPv4 prefixes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// True if four-octet AS numbers are used (RFC 6793).
    pub as4: bool,
}

/// Identification of a neighbour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Its address.
    Address(IpAddr),
    /// Any peer that connects from this prefix.
    Range(String),
    /// The peer at the other end of this link (unnumbered).
    Link(String),
}

/// Distance allowed for a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hops {
    /// On the same segment.
    One,
    /// Up to this number of hops away.
    Many(u8),
    /// On the same segment, protected against spoofing from further away (RFC 5082).
    Secured,
}

/// Address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 unicast.
    V4,
    /// IPv6 unicast.
    V6,
}

/// Parameters of BFD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bfd {
    /// Interval between two packets in milliseconds.
    pub interval_ms: u32,
    /// Number of lost packets that count as a failure.
    pub multiplier: u8,
}

impl Speaker {
    /// Creates a router without neighbours.
    pub fn new(asn: u32, router_id: Ipv4Addr) -> Self {
        Self { asn, router_id, neighbors: Vec::new(), networks: Vec::new() }
    }

    /// Adds a neighbour.
    pub fn with(mut self, neighbor: Neighbor) -> Self {
        self.neighbors.push(neighbor);
        self
    }
}

impl Neighbor {
    /// Creates a neighbour identified by its address, with IPv4 unicast and a hold time that fits a test.
    pub fn at(address: impl Into<IpAddr>, asn: u32) -> Self {
        Self::new(Who::Address(address.into()), asn)
    }

    /// Creates a neighbour with default options.
    pub fn new(who: Who, asn: u32) -> Self {
        Self {
            who,
            asn,
            local: None,
            families: vec![Family::V4],
            password: None,
            hops: Hops::One,
            passive: false,
            hold: 9,
            bfd: None,
            restart: None,
            extended_next_hop: false,
            as4: true,
        }
    }

    /// Returns the family of the address that carries the session.
    pub fn transport(&self) -> Family {
        match &self.who {
            Who::Address(address) if address.is_ipv4() => Family::V4,
            Who::Range(prefix) if !prefix.contains(':') => Family::V4,
            _ => Family::V6,
        }
    }
}

impl Family {
    /// Returns the family of a prefix.
    pub fn of(prefix: &str) -> Self {
        if prefix.contains(':') { Self::V6 } else { Self::V4 }
    }
}
