//! The effect that remains after the guard has judged it: exactly what the host carries out.
use std::net::{IpAddr, Ipv6Addr};

use outrigger_sdk::{
    Beacon, Connect, Endpoint, Frame, LinkIndex, Listen, OffloadWork, OpenSocket, Report,
    SendDatagram, StreamBytes, Topic,
};

use super::Refusal;

/// An effect that is granted.
#[derive(Debug, Clone, PartialEq)]
pub enum Granted {
    /// Deliver frames about this topic.
    Watch(LinkIndex, Topic),
    /// Stop delivering frames about this topic.
    Unwatch(LinkIndex, Topic),
    /// Send this frame.
    Send(Frame),
    /// Join this group.
    Join(LinkIndex, Ipv6Addr),
    /// Leave this group.
    Leave(LinkIndex, Ipv6Addr),
    /// Answer for this address.
    Answer {
        /// The number that the plugin chose.
        id: Endpoint,
        /// The link on which to answer.
        link: LinkIndex,
        /// The address to answer for.
        address: IpAddr,
    },
    /// Repeat a frame, which speaks for `address`.
    Beacon {
        /// The number that the plugin chose.
        id: Endpoint,
        /// The address that the frame announces.
        address: IpAddr,
        /// The frame and its interval.
        beacon: Beacon,
    },
    /// Open a stream.
    Connect(Connect),
    /// Accept streams.
    Listen(Listen),
    /// Open a UDP socket.
    OpenSocket(OpenSocket),
    /// Write to a stream: complete messages that the guard has parsed.
    Write(StreamBytes),
    /// Return no credit for writes to this stream before this time (monotonic microseconds).
    Hold(Endpoint, u64),
    /// Send a datagram.
    Datagram(SendDatagram),
    /// Run an offload on a stream or a socket.
    Work {
        /// The number that the plugin chose.
        id: Endpoint,
        /// The offload to run.
        work: OffloadWork,
    },
    /// Part of an effect was refused; the rest is granted.
    Refused(Refusal),
    /// Close the endpoint or offload with this number.
    Close(Endpoint),
    /// End the endpoint or offload with this number at once.
    Abort(Endpoint),
    /// Keep this report.
    Report(Report),
    /// The plugin has nothing more to hand over.
    Drained,
}
