//! BFD, asynchronous mode (RFC 5880), over one hop (RFC 5881) or several (RFC 5883): tells within milliseconds that the way to
//! a peer is gone. Knows nothing of BGP; who owns a [`Session`] does.
//!
//! No packet passes through here while nothing changes. What is to be sent at which interval is a beacon that the host
//! repeats, the detection time is an `expect` that the host runs, and of the packets that come the host delivers those that
//! say something new ([`outrigger_sdk::Speech::Bfd`]). So neither a busy nor a trapped nor a swapped plugin makes a session flap,
//! and 3 × 10 ms costs the plugin nothing. Echo, demand mode of our own and authentication are not spoken.
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use outrigger_sdk::Endpoint;
use outrigger_sdk::wire::bfd::{Diagnostic, Discard};
use serde::{Deserialize, Serialize};

mod offloads;
mod session;

pub use session::Session;

/// Where packets for one hop go (RFC 5881 section 4).
const SINGLE_HOP_PORT: u16 = 3784;
/// Where packets for several hops go (RFC 5883 section 5).
const MULTIHOP_PORT: u16 = 4784;
/// Source ports are from here to the end, one for each session (RFC 5881 section 4).
const FIRST_SOURCE_PORT: u16 = 49152;

/// What is configured about one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The peer. The port is 0, for BFD has its own; the scope of a link-local address is the link's index.
    pub peer: SocketAddr,
    /// Our address, if one is configured.
    pub source: Option<IpAddr>,
    /// Link or VRF device, if one is configured.
    pub device: Option<String>,
    /// How many hops away.
    pub reach: Reach,
    /// Send at most so often, microseconds.
    pub transmit_us: u32,
    /// Receive at most so often, microseconds.
    pub receive_us: u32,
    /// So many packets lost are a failure.
    pub multiplier: u8,
    /// Wait for the peer's first packet (RFC 5880 section 6.1).
    pub passive: bool,
}

/// How many routers may be between us and the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// None: what arrives with another TTL than 255 is forged (RFC 5881 section 5).
    SingleHop,
    /// What arrives with a smaller TTL than this is dropped (RFC 5883 section 5).
    Multihop {
        /// The least TTL.
        minimum_ttl: u8,
    },
}

/// The host's numbers for what a session uses. The caller hands them out and knows by them whom an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbers {
    /// The socket that packets leave from.
    pub transmit: Endpoint,
    /// The socket that packets come to.
    pub receive: Endpoint,
    /// The beacon.
    pub beacon: Endpoint,
    /// The detection time.
    pub expect: Endpoint,
}

impl Numbers {
    /// Whether an event with this number is for this session.
    pub fn contains(&self, number: Endpoint) -> bool {
        [self.transmit, self.receive, self.beacon, self.expect].contains(&number)
    }
}

/// What BGP is to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Both ends hear each other.
    Up,
    /// It was up and is no more.
    Down(Reason),
}

/// Why a session went down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing came for the detection time.
    Expired,
    /// The peer says so: it does not hear us, or restarted. Its diagnostic.
    Neighbor(Diagnostic),
    /// The peer's administrator took BFD down. This says nothing about the path: BGP goes on (RFC 5882 section 3.2).
    NeighborAdminDown,
    /// Our configuration took it down. The same.
    AdminDown,
    /// The host could not keep the sockets: nothing is known about the path. BGP goes on.
    NoSocket,
}

impl Reason {
    /// Whether the BGP session is to end with Cease/BFD Down (RFC 9384).
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

/// Why a packet did nothing. A name for counters: [`Ignored::reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ignored {
    /// RFC 5880 section 6.8.6.
    Discard(Discard),
    /// It is for another session: Your Discriminator is neither ours nor 0.
    OtherSession,
    /// Too few hops are left for who it says it is.
    HopLimit,
    /// This end is administratively down.
    AdminDown,
}

impl Ignored {
    /// A name for counters.
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
