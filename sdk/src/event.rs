//! The events delivered to an announcer. WIT: `events`, and the parts of `network` that they use.
use std::net::IpAddr;

use ipnet::IpNet;
use outrigger_wire::MacAddr;

use crate::{
    Accepted, Closed, Datagram, Endpoint, Opened, Pair, ResumedEndpoint, Service, StreamBytes,
};

/// The host's clocks in microseconds, read once per call. WIT: `types.time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// Monotonic clock, for timers. Never goes back for one instance on one node. Its origin has no meaning.
    pub monotonic_us: u64,
    /// Wall clock, since 1970-01-01T00:00:00Z. May step.
    pub utc_us: u64,
}

/// An event delivered to an announcer, in the order of occurrence. WIT: `events.event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Lists the endpoints and offloads that are still open. First event after a start with a snapshot.
    Resumed(Resumed),
    /// The links: the full list once, then changes.
    LinksChanged(LinksChanged),
    /// The desired addresses: the full list once, then changes.
    DesiredChanged(DesiredChanged),
    /// A watched frame was received.
    Frame(Frame),
    /// A requested stream is open.
    Opened(Opened),
    /// A listener accepted a stream.
    Accepted(Accepted),
    /// Data was received on a stream.
    Data(StreamBytes),
    /// This number of additional bytes may be written to the stream.
    Credit(Endpoint, u32),
    /// A stream, listener or socket was closed or could not be opened.
    Closed(Closed),
    /// A datagram was received.
    Datagram(Datagram),
    /// An [`crate::OffloadWork::Expect`] timed out: nothing was received in time.
    Expired(Endpoint),
    /// The time requested in the last reply has passed. Holds the reason given there.
    Wake(String),
    /// The host ended this offload by itself.
    Ended(Endpoint),
    /// An effect was refused and had no effect.
    Denied(Denied),
    /// This instance is about to end. Hand over, then send [`crate::Effect::Drained`].
    Stopping(Stopping),
    /// An event that this version of the SDK does not know, by name. Ignore it.
    Other(String),
}

/// The endpoints and offloads that the host still keeps for this instance. WIT: `events.resumed`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resumed {
    /// Streams, listeners and sockets that are still open.
    pub open: Vec<ResumedEndpoint>,
    /// Numbers of the active offloads.
    pub offloads: Vec<Endpoint>,
}

/// Interface index (RFC 3493), stable until the daemon restarts. Store names, not indexes, in a snapshot.
pub type LinkIndex = u32;

/// Changes of the links: first a full list (`reset` on the first chunk, no `more` on the last), then changes. WIT: `events.links-changed`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinksChanged {
    /// True if a full list begins with this chunk.
    pub reset: bool,
    /// Indexes of removed links. Apply before `upsert`.
    pub remove: Vec<LinkIndex>,
    /// Added or changed links. Each replaces the whole entry.
    pub upsert: Vec<Link>,
    /// True if another chunk of the same list follows.
    pub more: bool,
}

/// A layer-2 segment that this instance may use. WIT: `network.link`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Interface index.
    pub index: LinkIndex,
    /// Interface name.
    pub name: String,
    /// Hardware address.
    pub mac: MacAddr,
    /// Maximum payload of a frame (MTU), in octets.
    pub mtu: u32,
    /// True if the link is administratively up and has a carrier.
    pub up: bool,
    /// True if the link uses ARP. False on point-to-point and NOARP links.
    pub arp: bool,
    /// Counter of carrier gains, MAC address changes and changes of a bond's active slave. When it changes, announce
    /// again.
    pub generation: u32,
    /// The link's own addresses with their prefix length.
    pub addresses: Vec<IpNet>,
}

/// Changes of the desired addresses: first a full list (`reset` on the first chunk, no `more` on the last), then
/// changes. A removal followed by an addition is always delivered as both. WIT: `events.desired-changed`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DesiredChanged {
    /// True if a full list begins with this chunk.
    pub reset: bool,
    /// Removed addresses. Apply before `upsert`.
    pub remove: Vec<IpAddr>,
    /// Added or changed addresses. Each replaces the whole entry.
    pub upsert: Vec<DesiredAddress>,
    /// True if another chunk of the same list follows.
    pub more: bool,
}

/// An address assigned to this instance. There is one entry per address, regardless of the number of Services that
/// share it. WIT: `events.desired-address`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredAddress {
    /// The address.
    pub address: IpAddr,
    /// Name of the pool it comes from.
    pub pool: String,
    /// The Services that use the address, at least one, ordered by namespace and name.
    pub services: Vec<Service>,
    /// The duty of this node for the address, decided by the host's leader election.
    pub duty: Duty,
    /// Endpoints on this node, counted by condition.
    pub local_endpoints: EndpointCount,
    /// Name and value pairs added by a newer host; unknown names must be ignored.
    pub ext: Vec<Pair>,
}

/// Number of endpoints on this node, by their EndpointSlice conditions. WIT: `events.endpoint-count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndpointCount {
    /// Endpoints with condition `ready`.
    pub ready: u32,
    /// Endpoints with condition `serving`.
    pub serving: u32,
    /// Endpoints with condition `terminating`.
    pub terminating: u32,
}

/// The duty of this node for an address. WIT: `events.duty`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Duty {
    /// Announce the address.
    Announce,
    /// Announce the address; the named node hands over once this node reports it as announced (make before break).
    TakeOver(String),
    /// Keep announcing until the duty becomes `Standby`: the named node takes over.
    HandOver(String),
    /// Do not announce: the named node announces the address ("" = no node can). The plugin may listen at most.
    Standby(String),
}

impl Duty {
    /// Returns true if this node answers for the address now.
    pub fn speaks(&self) -> bool {
        !matches!(self, Self::Standby(_))
    }
}

/// A whole Ethernet frame: destination, source, type, payload; no FCS, no 802.1Q tag. WIT: `network.frame`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The link the frame was received on or is sent to.
    pub link: LinkIndex,
    /// The octets of the frame.
    pub data: Vec<u8>,
}

/// A refused effect. WIT: `events.denied`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Name of the WIT case, such as "send-frame".
    pub effect: String,
    /// The address, peer, link or number that the effect was about.
    pub subject: String,
    /// Name of the reason, such as "address-not-desired".
    pub reason: String,
}

/// Announces the end of the instance. WIT: `events.stopping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopping {
    /// Reason for the end.
    pub reason: StopReason,
    /// Time to hand over, in milliseconds. After it the host acts without the plugin.
    pub within_ms: u32,
}

/// The reason an instance ends. WIT: `events.stop-reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// The daemon restarts at once.
    Restart,
    /// The node leaves: hand over.
    Leave,
    /// The Announcer was deleted: withdraw everything.
    Remove,
    /// Any other reason. Treat it as `Leave`.
    Other,
}
