//! The remainder of an effect once the guard has judged it: exactly what the host does.
use std::net::{IpAddr, Ipv6Addr};

use outrigger_sdk::{
    Beacon, Connect, Endpoint, Frame, LinkIndex, Listen, OffloadWork, OpenSocket, Report,
    SendDatagram, StreamBytes, Topic,
};

use super::Refusal;

/// An effect that may take place.
#[derive(Debug, Clone, PartialEq)]
pub enum Granted {
    /// Deliver frames about this topic.
    Watch(LinkIndex, Topic),
    /// Stop delivering them.
    Unwatch(LinkIndex, Topic),
    /// Send this frame.
    Send(Frame),
    /// Join this group.
    Join(LinkIndex, Ipv6Addr),
    /// Leave it.
    Leave(LinkIndex, Ipv6Addr),
    /// Answer for this address.
    Answer {
        /// The plugin's number.
        id: Endpoint,
        /// On this link.
        link: LinkIndex,
        /// For this address.
        address: IpAddr,
    },
    /// Repeat this frame, which speaks for `address`.
    Beacon {
        /// The plugin's number.
        id: Endpoint,
        /// The address it announces.
        address: IpAddr,
        /// The frame, and its interval.
        beacon: Beacon,
    },
    /// Open a stream.
    Connect(Connect),
    /// Accept streams.
    Listen(Listen),
    /// Open a UDP socket.
    OpenSocket(OpenSocket),
    /// Write to a stream: whole messages that were read.
    Write(StreamBytes),
    /// Give back no credit for what is written to this stream before then (monotonic microseconds).
    Hold(Endpoint, u64),
    /// Send a datagram.
    Datagram(SendDatagram),
    /// Work on a stream or a socket.
    Work {
        /// The plugin's number.
        id: Endpoint,
        /// What.
        work: OffloadWork,
    },
    /// Part of an effect was refused; the rest is granted.
    Refused(Refusal),
    /// End whatever has this number.
    Close(Endpoint),
    /// The same at once.
    Abort(Endpoint),
    /// Keep this report.
    Report(Report),
    /// The plugin has nothing more to hand over.
    Drained,
}
