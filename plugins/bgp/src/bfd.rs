//! BFD, asynchronous mode (RFC 5880), over one hop (RFC 5881) or several (RFC 5883): detects within milliseconds that
//! the path to a peer is down. Independent of BGP, which is left to the owner of a [`Session`].
//!
//! No packet passes through this plugin while nothing changes. Packets sent at an interval are a beacon that the host
//! repeats, the Detection Time is an `expect` that the host runs, and of the received packets the host delivers only
//! those with new content ([`outrigger_sdk::Protocol::Bfd`]). Therefore a busy, trapped or swapped plugin does not make a
//! session flap, and 3 × 10 ms costs the plugin nothing. Echo, demand mode on our side and authentication are not
//! supported.
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use outrigger_sdk::Endpoint;
use outrigger_sdk::wire::bfd::{Diagnostic, Discard};
use serde::{Deserialize, Serialize};

mod offloads;
mod session;

pub use session::Session;

/// Destination port for one hop (RFC 5881 section 4).
const SINGLE_HOP_PORT: u16 = 3784;
/// Destination port for several hops (RFC 5883 section 5).
const MULTIHOP_PORT: u16 = 4784;
/// First port of the range of source ports, of which each session has one (RFC 5881 section 4).
const FIRST_SOURCE_PORT: u16 = 49152;

/// Configuration of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The peer. The port is 0, because BFD has its own; the scope of a link-local address is the link's index.
    pub peer: SocketAddr,
    /// Our address, `None` if none is configured.
    pub source: Option<IpAddr>,
    /// Link or VRF device, `None` if none is configured.
    pub device: Option<String>,
    /// Number of hops to the peer.
    pub reach: BfdMode,
    /// Minimum interval between sent packets, in microseconds.
    pub transmit_us: u32,
    /// Minimum interval between received packets, in microseconds.
    pub receive_us: u32,
    /// Number of lost packets that are a failure.
    pub multiplier: u8,
    /// True if this end waits for the peer's first packet (RFC 5880 section 6.1).
    pub passive: bool,
}

/// Number of routers allowed between this node and the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BfdMode {
    /// None: a packet that arrives with a TTL other than 255 is forged (RFC 5881 section 5).
    SingleHop,
    /// Several: a packet that arrives with a TTL below the minimum is dropped (RFC 5883 section 5).
    Multihop {
        /// The minimum TTL.
        minimum_ttl: u8,
    },
}

/// Endpoint numbers that a session uses with the host. The caller allocates them, and finds by them the session of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// The socket that packets are sent from.
    pub transmit: Endpoint,
    /// The socket that packets are received on.
    pub receive: Endpoint,
    /// The beacon.
    pub beacon: Endpoint,
    /// The Detection Time.
    pub expect: Endpoint,
}

impl Numbers {
    /// Returns true if an event with this number is for this session.
    pub fn contains(&self, number: Endpoint) -> bool {
        [self.transmit, self.receive, self.beacon, self.expect].contains(&number)
    }
}

/// A change of the session that BGP must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Both ends receive each other's packets.
    Up,
    /// The session was up and is no longer.
    Down(Reason),
}

/// Reason why a session went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No packet arrived within the Detection Time.
    Expired,
    /// The peer signaled it, with this diagnostic: it does not receive our packets, or it restarted.
    Neighbor(Diagnostic),
    /// The peer's administrator took BFD down. This does not mean that the path is down: BGP continues (RFC 5882 section 3.2).
    NeighborAdminDown,
    /// Our configuration took BFD down. This does not mean that the path is down either: BGP continues.
    AdminDown,
    /// The host could not keep the sockets, so the state of the path is unknown. BGP continues.
    NoSocket,
}

impl Reason {
    /// Returns true if the BGP session must end with Cease/BFD Down (RFC 9384).
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Expired | Self::Neighbor(_))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("control detection time expired"),
            Self::Neighbor(Diagnostic::None) => f.write_str("neighbor signaled session down"),
            Self::Neighbor(why) => write!(f, "neighbor signaled session down ({why})"),
            Self::NeighborAdminDown => f.write_str("neighbor is administratively down"),
            Self::AdminDown => f.write_str("administratively down"),
            Self::NoSocket => f.write_str("the host closed the socket"),
        }
    }
}

/// Reason why a packet had no effect. [`Ignored::reason`] is its name for counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// The packet is discarded by the rules of RFC 5880 section 6.8.6.
    Discard(Discard),
    /// The packet is for another session: Your Discriminator is neither ours nor 0.
    OtherSession,
    /// The remaining TTL is too low for the claimed sender.
    HopLimit,
    /// This end is administratively down.
    AdminDown,
}

impl Ignored {
    /// Returns the name for counters.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Discard(discard) => discard.reason(),
            Self::OtherSession => "other-session",
            Self::HopLimit => "hop-limit",
            Self::AdminDown => "admin-down",
        }
    }
}

#[cfg(test)]
mod tests;
