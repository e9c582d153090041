//! What happens to an announcer. WIT: `events`, and of `network` what layer 2 needs.
use std::net::IpAddr;

use ipnet::IpNet;
use outrigger_wire::MacAddr;

use crate::{
    Accepted, Closed, Datagram, Endpoint, Opened, Pair, ResumedEndpoint, Service, StreamBytes,
};

/// The host's clocks in microseconds, read once per call. WIT: `types.time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// For timers. Never goes back for one instance on one node. Its origin means nothing.
    pub monotonic_us: u64,
    /// Since 1970-01-01T00:00:00Z. May step.
    pub utc_us: u64,
}

/// Something that happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// First event after a start with a snapshot: what is still open.
    Resumed(Resumed),
    /// The full list once, then changes.
    LinksChanged(LinksChanged),
    /// The full list once, then changes.
    DesiredChanged(DesiredChanged),
    /// A watched frame.
    Frame(Frame),
    /// A stream that was asked for is up.
    Opened(Opened),
    /// A listener has accepted a stream.
    Accepted(Accepted),
    /// Octets came.
    Data(StreamBytes),
    /// So many octets more may be written to this stream.
    Credit(Endpoint, u32),
    /// A stream, listener or socket is gone, or could not be opened.
    Closed(Closed),
    /// A datagram came.
    Datagram(Datagram),
    /// An [`crate::OffloadWork::Expect`] ran out: nothing came in time.
    Expired(Endpoint),
    /// The time asked for in the last reply has passed. Its reason.
    Wake(String),
    /// The host ended this offload by itself.
    Ended(Endpoint),
    /// An effect was not allowed. It had no effect.
    Denied(Denied),
    /// This instance will end. Hand over, then send [`crate::Effect::Drained`].
    Stopping(Stopping),
    /// One that this version of the SDK does not know. Ignore it.
    Other(String),
}

/// What the host still carries for this instance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resumed {
    /// Streams, listeners and sockets that are still open.
    pub open: Vec<ResumedEndpoint>,
    /// Numbers of the offloads in force.
    pub offloads: Vec<Endpoint>,
}

/// Interface index (RFC 3493). Stable until the daemon restarts; put names, not indexes, in a snapshot.
pub type LinkIndex = u32;

/// Links: first a full list (`reset` on the first chunk, no `more` on the last), then changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinksChanged {
    /// A full list begins.
    pub reset: bool,
    /// Apply before `upsert`.
    pub remove: Vec<LinkIndex>,
    /// Each replaces the whole entry.
    pub upsert: Vec<Link>,
    /// Another chunk of the same list follows.
    pub more: bool,
}

/// One layer-2 segment this instance may use. WIT: `network.link`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Interface index.
    pub index: LinkIndex,
    /// Interface name.
    pub name: String,
    /// Hardware address.
    pub mac: MacAddr,
    /// Octets of payload.
    pub mtu: u32,
    /// Administratively up with carrier.
    pub up: bool,
    /// False on point-to-point and NOARP links.
    pub arp: bool,
    /// Counts carrier gains, MAC changes and changes of a bond's active slave: announce again when it moves.
    pub generation: u32,
    /// Own addresses with their prefix length.
    pub addresses: Vec<IpNet>,
}

/// Desired addresses: first a full list (`reset` on the first chunk, no `more` on the last), then changes. A removal
/// followed by an addition is never merged into nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredChanged {
    /// A full list begins.
    pub reset: bool,
    /// Apply before `upsert`.
    pub remove: Vec<IpAddr>,
    /// Each replaces the whole entry.
    pub upsert: Vec<DesiredAddress>,
    /// Another chunk of the same list follows.
    pub more: bool,
}

/// An address this instance is told about. One entry per address, however many Services share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredAddress {
    /// The address.
    pub address: IpAddr,
    /// Name of the pool it comes from.
    pub pool: String,
    /// At least one, by namespace and name.
    pub services: Vec<Service>,
    /// What this node is to do about it. The host elects.
    pub duty: Duty,
    /// Endpoints on this node.
    pub local_endpoints: EndpointCount,
    /// What a newer host adds.
    pub ext: Vec<Pair>,
}

/// Endpoints on this node by their EndpointSlice conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndpointCount {
    /// Condition `ready`.
    pub ready: u32,
    /// Condition `serving`.
    pub serving: u32,
    /// Condition `terminating`.
    pub terminating: u32,
}

/// What this node is to do about an address. WIT: `events.duty`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Duty {
    /// Announce it.
    Announce,
    /// Announce it; the named node hands over once this one reports it announced (make before break).
    TakeOver(String),
    /// Go on announcing until this becomes `Standby`: the named node takes over.
    HandOver(String),
    /// The named node announces it ("" = none can). Listen at most.
    Standby(String),
}

impl Duty {
    /// Whether this node answers for the address now.
    pub fn speaks(&self) -> bool {
        !matches!(self, Self::Standby(_))
    }
}

/// A whole Ethernet frame: destination, source, type, payload; no FCS, no 802.1Q tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The link it came from or goes to.
    pub link: LinkIndex,
    /// The octets.
    pub data: Vec<u8>,
}

/// An effect that was refused. WIT: `events.denied`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The effect's WIT case: "send-frame".
    pub effect: String,
    /// Address, peer, link or number.
    pub subject: String,
    /// Named reason: "address-not-desired".
    pub reason: String,
}

/// The instance will end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopping {
    /// Why.
    pub reason: StopReason,
    /// After this the host acts alone.
    pub within_ms: u32,
}

/// Why an instance ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The daemon comes back at once.
    Restart,
    /// The node leaves: hand over.
    Leave,
    /// The Announcer was deleted: withdraw everything.
    Remove,
    /// Treat as leave.
    Other,
}
