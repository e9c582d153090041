//! The effects an announcer may request. WIT: `effects`, and the parts of `network` that they use.
use std::net::{IpAddr, Ipv6Addr};

use crate::{
    Connect, Endpoint, Frame, LinkIndex, Listen, OpenSocket, Report, SendDatagram, StreamBytes,
};

/// An action requested from the host. Effects are carried out in order. An effect that the guard refuses is skipped
/// and reported as [`crate::Event::Denied`]; the remaining effects still take place. WIT: `effects.effect`.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Delivers frames about these topics from this link; all other frames are dropped in the kernel.
    WatchFrames(FrameWatch),
    /// Stops delivering frames about these topics.
    UnwatchFrames(FrameWatch),
    /// Sends one frame.
    SendFrame(Frame),
    /// Joins a multicast group on a link; the kernel sends the MLD report.
    JoinGroup {
        /// The link to join on.
        link: LinkIndex,
        /// The group to join.
        group: Ipv6Addr,
    },
    /// Leaves a multicast group on a link.
    LeaveGroup {
        /// The link to leave on.
        link: LinkIndex,
        /// The group to leave.
        group: Ipv6Addr,
    },
    /// Starts work that the host carries on without the plugin until it is done or closed.
    Offload(Offload),
    /// Opens a stream.
    Connect(Connect),
    /// Accepts streams.
    Listen(Listen),
    /// Writes to a stream. Must not exceed the stream's credit.
    Write(StreamBytes),
    /// Opens a UDP socket.
    OpenSocket(OpenSocket),
    /// Sends a datagram.
    SendDatagram(SendDatagram),
    /// Closes the stream, listener, socket or offload of this number. On a stream, queued data is sent first, then
    /// FIN.
    Close(Endpoint),
    /// Closes at once and discards queued data; on a stream, RST is sent.
    Abort(Endpoint),
    /// Reports the plugin's own status.
    Report(Report),
    /// Answers [`crate::Event::Stopping`]: nothing is left to hand over.
    Drained,
    /// An effect of the WIT world that this host does not carry out. Always denied.
    Unsupported {
        /// Name of the WIT case, such as "http-request".
        effect: String,
        /// The subject that the denial names.
        subject: String,
    },
}

/// The ARP and Neighbor Discovery messages the plugin wants to see on a link. WIT: `network.frame-watch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameWatch {
    /// The link to watch.
    pub link: LinkIndex,
    /// The addresses to watch.
    pub topics: Vec<Topic>,
}

/// The subject of ARP or Neighbor Discovery messages: one address. WIT: `network.frame-topic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// ARP messages whose target or sender protocol address is this IPv4 address (RFC 826, RFC 5227).
    Arp(std::net::Ipv4Addr),
    /// Neighbor Solicitations and Advertisements for this IPv6 target (RFC 4861).
    Ndp(Ipv6Addr),
}

impl Topic {
    /// Returns the topic for an address: ARP for IPv4, Neighbor Discovery for IPv6.
    pub fn about(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Arp(address),
            IpAddr::V6(address) => Self::Ndp(address),
        }
    }

    /// Returns the address of this topic.
    pub fn address(&self) -> IpAddr {
        match *self {
            Self::Arp(address) => address.into(),
            Self::Ndp(address) => address.into(),
        }
    }
}

/// Work that the host carries on without the plugin. Setting the same number again replaces the old work at once.
/// WIT: `network.offload`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offload {
    /// Number of the offload, below `0x8000_0000`.
    pub id: Endpoint,
    /// The work to carry on.
    pub work: OffloadWork,
}

/// The kinds of work that can be offloaded to the host. WIT: `network.offload-work`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OffloadWork {
    /// Answers ARP requests or Neighbor Solicitations for an address with the link's MAC address.
    AnswerNeighbor {
        /// The link to answer on.
        link: LinkIndex,
        /// The address to answer for.
        address: IpAddr,
    },
    /// Sends a frame periodically.
    Beacon(Beacon),
    /// Sends a datagram periodically, such as BFD control packets (RFC 5880).
    DatagramBeacon(DatagramBeacon),
    /// Writes a message whenever nothing was written on the stream for the interval: BGP KEEPALIVE.
    Keepalive {
        /// The stream to write to.
        endpoint: Endpoint,
        /// One whole message.
        data: Vec<u8>,
        /// Longest time without a write, in milliseconds.
        interval_ms: u32,
    },
    /// Delivers [`crate::Event::Expired`] when nothing was received within the given time: the BGP hold timer (RFC 4271),
    /// the BFD detection time (RFC 5880 section 6.8.4). The timer fires once, after which its number is free
    /// again; every received message restarts it.
    Expect {
        /// The stream or socket to watch.
        endpoint: Endpoint,
        /// On a socket, only datagrams from this address restart the timer; the unspecified address stands for any
        /// sender.
        remote: IpAddr,
        /// Longest time without a received message, in microseconds.
        within_us: u32,
        /// True if the stream is also closed when no instance is running to receive the event.
        then_close: bool,
    },
}

/// A frame that is sent periodically; the first one is sent at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon {
    /// The frame to send.
    pub frame: Frame,
    /// Interval between two frames, in microseconds.
    pub interval_us: u32,
    /// Largest random reduction of each interval, in percent.
    pub jitter_percent: u8,
    /// Number of frames to send; 0 = until the offload is closed.
    pub count: u32,
}

/// A datagram that is sent periodically; the first one is sent at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatagramBeacon {
    /// The datagram to send.
    pub datagram: SendDatagram,
    /// Interval between two datagrams, in microseconds.
    pub interval_us: u32,
    /// Largest random reduction of each interval, in percent (RFC 5880 section 6.8.7).
    pub jitter_percent: u8,
    /// Number of datagrams to send; 0 = until the offload is closed.
    pub count: u32,
}

/// The result of [`crate::Announcer::handle`]. WIT: `effects.reply`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// Requested effects, carried out in this order.
    pub effects: Vec<Effect>,
    /// The next wake, which replaces the one requested before.
    pub wake: Wake,
}

/// The instance's only timer. WIT: `effects.wake`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Wake {
    /// No timer runs.
    #[default]
    Never,
    /// Requests an [`crate::Event::Wake`] with this reason, `ms` milliseconds after this call's `now`.
    After {
        /// Delay in milliseconds; 0 = after the events that are already queued.
        ms: u32,
        /// A few words for metrics and traces.
        reason: String,
    },
}
