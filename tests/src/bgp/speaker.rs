//! What a BGP speaker is to do, in BGP's words and in nobody's syntax: each program's room turns it into its own file.
use std::net::{IpAddr, Ipv4Addr};

/// One router.
#[derive(Debug, Clone)]
pub struct Speaker {
    /// Its AS.
    pub asn: u32,
    /// Its BGP identifier.
    pub router_id: Ipv4Addr,
    /// Whom it speaks with.
    pub neighbors: Vec<Neighbor>,
    /// Prefixes it originates.
    pub networks: Vec<String>,
}

/// One neighbour, or a prefix of them.
#[derive(Debug, Clone)]
pub struct Neighbor {
    /// How it is known.
    pub who: Who,
    /// Its AS.
    pub asn: u32,
    /// The own end of the session.
    pub local: Option<IpAddr>,
    /// Address families, as they are negotiated (RFC 4760).
    pub families: Vec<Family>,
    /// TCP MD5 (RFC 2385).
    pub password: Option<String>,
    /// How far away it is.
    pub hops: Hops,
    /// Never dials.
    pub passive: bool,
    /// Hold time in seconds; keepalives come three times in it.
    pub hold: u16,
    /// BFD beside the session.
    pub bfd: Option<Bfd>,
    /// Graceful restart (RFC 4724): seconds.
    pub restart: Option<u16>,
    /// IPv4 prefixes with IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// Whether four-octet AS numbers are spoken (RFC 6793).
    pub as4: bool,
}

/// How a neighbour is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// By its address.
    Address(IpAddr),
    /// Whoever calls from this prefix.
    Range(String),
    /// Whoever is at the other end of this link (unnumbered).
    Link(String),
}

/// How far away a neighbour may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hops {
    /// On the same segment.
    One,
    /// So many hops away.
    Many(u8),
    /// On the same segment, and nobody further away can pretend to be it (RFC 5082).
    Secured,
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 unicast.
    V4,
    /// IPv6 unicast.
    V6,
}

/// Detection by BFD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bfd {
    /// Milliseconds between two packets.
    pub interval_ms: u32,
    /// So many lost ones are a failure.
    pub multiplier: u8,
}

impl Speaker {
    /// A router without neighbours.
    pub fn new(asn: u32, router_id: Ipv4Addr) -> Self {
        Self { asn, router_id, neighbors: Vec::new(), networks: Vec::new() }
    }

    /// With one more neighbour.
    pub fn with(mut self, neighbor: Neighbor) -> Self {
        self.neighbors.push(neighbor);
        self
    }
}

impl Neighbor {
    /// One that is known by its address, with IPv4 unicast and a hold time that fits a test.
    pub fn at(address: impl Into<IpAddr>, asn: u32) -> Self {
        Self::new(Who::Address(address.into()), asn)
    }

    /// One with nothing special.
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

    /// Whether IPv4 or IPv6 carries the session.
    pub fn transport(&self) -> Family {
        match &self.who {
            Who::Address(address) if address.is_ipv4() => Family::V4,
            Who::Range(prefix) if !prefix.contains(':') => Family::V4,
            _ => Family::V6,
        }
    }
}

impl Family {
    /// The family of a prefix.
    pub fn of(prefix: &str) -> Self {
        if prefix.contains(':') { Self::V6 } else { Self::V4 }
    }
}
