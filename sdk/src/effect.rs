//! What an announcer may ask for. WIT: `effects`, and of `network` what layer 2 needs.
use std::net::{IpAddr, Ipv6Addr};

use crate::{
    Connect, Endpoint, Frame, LinkIndex, Listen, OpenSocket, Report, SendDatagram, StreamBytes,
};

/// Something the host is to do. Carried out in order; one that the guard refuses is left out and comes back as
/// [`crate::Event::Denied`], the others take place.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Deliver frames about these topics from this link; everything else is dropped in the kernel.
    WatchFrames(FrameWatch),
    /// Stop delivering them.
    UnwatchFrames(FrameWatch),
    /// Send one frame.
    SendFrame(Frame),
    /// Join a multicast group on a link (MLD goes out).
    JoinGroup {
        /// On this link.
        link: LinkIndex,
        /// This group.
        group: Ipv6Addr,
    },
    /// Leave it.
    LeaveGroup {
        /// On this link.
        link: LinkIndex,
        /// This group.
        group: Ipv6Addr,
    },
    /// Work the host carries on alone until ended.
    Offload(Offload),
    /// Open a stream.
    Connect(Connect),
    /// Accept streams.
    Listen(Listen),
    /// Write to a stream: no more octets than credit allows.
    Write(StreamBytes),
    /// Open a UDP socket.
    OpenSocket(OpenSocket),
    /// Send a datagram.
    SendDatagram(SendDatagram),
    /// End the stream, listener, socket or offload of this number; what is queued on a stream is sent, then FIN.
    Close(Endpoint),
    /// The same at once: RST on a stream.
    Abort(Endpoint),
    /// What the plugin says about itself.
    Report(Report),
    /// Answer to [`crate::Event::Stopping`]: nothing more to hand over.
    Drained,
    /// A case of the WIT world that this host does not carry out: its name and subject. Always denied.
    Unsupported {
        /// The WIT case: "http-request".
        effect: String,
        /// What it was about.
        subject: String,
    },
}

/// Which questions on the wire the plugin wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameWatch {
    /// On this link.
    pub link: LinkIndex,
    /// About these.
    pub topics: Vec<Topic>,
}

/// A question on the wire. WIT: `network.frame-topic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// ARP whose target or sender protocol address is this IPv4 address (RFC 826, RFC 5227).
    Arp(std::net::Ipv4Addr),
    /// Neighbor Solicitation or Advertisement for this IPv6 target (RFC 4861).
    Ndp(Ipv6Addr),
}

impl Topic {
    /// The topic that is about this address.
    pub fn about(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Arp(address),
            IpAddr::V6(address) => Self::Ndp(address),
        }
    }

    /// The address it is about.
    pub fn address(&self) -> IpAddr {
        match *self {
            Self::Arp(address) => address.into(),
            Self::Ndp(address) => address.into(),
        }
    }
}

/// Work the host carries on alone. The same number replaces the old work at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offload {
    /// Its number, below `0x8000_0000`.
    pub id: Endpoint,
    /// The work.
    pub work: OffloadWork,
}

/// WIT: `network.offload-work`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OffloadWork {
    /// Answer ARP requests or Neighbor Solicitations for this address with the link's MAC.
    AnswerNeighbor {
        /// On this link.
        link: LinkIndex,
        /// For this address.
        address: IpAddr,
    },
    /// Send this frame again and again.
    Beacon(Beacon),
    /// Send this datagram again and again: BFD control packets (RFC 5880).
    DatagramBeacon(DatagramBeacon),
    /// Write this message whenever nothing was written on the stream for so long: BGP KEEPALIVE.
    Keepalive {
        /// The stream.
        endpoint: Endpoint,
        /// One whole message.
        data: Vec<u8>,
        /// Milliseconds.
        interval_ms: u32,
    },
    /// Deliver [`crate::Event::Expired`] when nothing was received for so long: the hold timer (RFC 4271), the BFD
    /// detection time (RFC 5880 section 6.8.4). It runs once and is then free again; what arrives starts it anew.
    Expect {
        /// The stream or the socket.
        endpoint: Endpoint,
        /// Only what comes from here counts on a socket; unspecified = everybody.
        remote: IpAddr,
        /// Microseconds.
        within_us: u32,
        /// Close the stream as well when no instance runs to hear it.
        then_close: bool,
    },
}

/// A frame that is sent again and again. The first goes out at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beacon {
    /// What to send.
    pub frame: Frame,
    /// Microseconds between two of them.
    pub interval_us: u32,
    /// Up to so much of the interval is taken off at random.
    pub jitter_percent: u8,
    /// How many, 0 = until ended.
    pub count: u32,
}

/// A datagram that is sent again and again. The first goes out at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatagramBeacon {
    /// What to send.
    pub datagram: SendDatagram,
    /// Microseconds between two of them.
    pub interval_us: u32,
    /// Up to so much of the interval is taken off at random (RFC 5880 section 6.8.7).
    pub jitter_percent: u8,
    /// How many, 0 = until ended.
    pub count: u32,
}

/// What [`crate::Announcer::handle`] answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reply {
    /// In order.
    pub effects: Vec<Effect>,
    /// Replaces the wake asked for before.
    pub wake: Wake,
}

/// The one timer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Wake {
    /// None.
    #[default]
    Never,
    /// An [`crate::Event::Wake`] with this reason, `ms` milliseconds after this call's `now`.
    After {
        /// 0 = after the events that already wait.
        ms: u32,
        /// A few words, for metrics and traces.
        reason: String,
    },
}
