//! Streams, listeners and datagram sockets. The host owns every socket; a plugin holds numbers. WIT: `network`.
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::{Endpoint, LinkIndex, Pair};

/// What the octets mean. It selects the guard that reads what leaves, and for streams the framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Speech {
    /// BGP-4 over TCP (RFC 4271): one [`crate::Event::Data`] and one [`crate::Effect::Write`] is exactly one message,
    /// header included. A header that cannot be framed arrives alone (19 octets), and nothing after it is read.
    Bgp,
    /// BFD control packets over UDP (RFC 5881, RFC 5883). Every packet of a peer that passes the socket's least hop limit
    /// and is one by RFC 5880 section 6.8.6 feeds an [`crate::OffloadWork::Expect`]; delivered are those alone that say
    /// something: the first of a remote address on this socket, each that differs from the one before, each with the
    /// Poll bit, and the first after [`crate::Event::Expired`]. What is dropped for its hop limit or its form is counted.
    Bfd,
    /// Unread octets: the grant must name this peer and port.
    Raw,
    /// One that this version does not know.
    Other(String),
}

/// The last of a kind wins. WIT: `network.socket-option`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketOption {
    /// Local address, port 0 = any. It must be on this node.
    Source(SocketAddr),
    /// Interface or VRF device (SO_BINDTODEVICE).
    Device(String),
    /// Outgoing TTL or hop limit: 255 with GTSM.
    HopLimit(u8),
    /// Packets below this are dropped in the kernel: GTSM (RFC 5082), BFD single hop (RFC 5881 section 5).
    MinHopLimit(u8),
    /// Differentiated services code point (RFC 2474): 48 is CS6.
    Dscp(u8),
    /// TCP MD5 (RFC 2385), by the Secret that holds the key.
    TcpMd5(SecretRef),
    /// For `connect`, in milliseconds.
    ConnectTimeout(u32),
    /// TCP_USER_TIMEOUT in milliseconds (RFC 5482).
    UserTimeout(u32),
    /// One that this version does not know: its name and value. Refused.
    Other(Pair),
}

/// Names a Secret without holding it: an entry of the Announcer's `secretRefs`, and a key in its `data`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretRef {
    /// The entry's name.
    pub name: String,
    /// The key in the Secret's `data`.
    pub key: String,
}

/// Opens a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Its number, below `0x8000_0000`.
    pub id: Endpoint,
    /// Whom to. The scope of a link-local address is the link's index.
    pub remote: SocketAddr,
    /// What it carries.
    pub protocol: Speech,
    /// How.
    pub options: Vec<SocketOption>,
}

/// Accepts streams from one peer, or one prefix of peers (dynamic neighbours), each with its own key and TTL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Its number, below `0x8000_0000`.
    pub id: Endpoint,
    /// The local port. The host holds one socket per port for all instances, and shares it out by remote address.
    pub port: u16,
    /// Who may connect.
    pub remote: IpNet,
    /// What the streams carry.
    pub protocol: Speech,
    /// How.
    pub options: Vec<SocketOption>,
}

/// Octets of a stream, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamBytes {
    /// The stream.
    pub id: Endpoint,
    /// The octets: exactly one message, if the protocol has messages.
    pub data: Vec<u8>,
}

/// Opens a UDP socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSocket {
    /// Its number, below `0x8000_0000`.
    pub id: Endpoint,
    /// The local port, 0 = any.
    pub port: u16,
    /// Who may send to it.
    pub remotes: Vec<IpNet>,
    /// What the datagrams carry.
    pub protocol: Speech,
    /// How.
    pub options: Vec<SocketOption>,
}

/// A datagram to send. Dropped without a word when the queue is full, as networks do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendDatagram {
    /// From this socket.
    pub socket: Endpoint,
    /// Whom to.
    pub remote: SocketAddr,
    /// The payload.
    pub data: Vec<u8>,
}

/// A datagram that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// To this socket.
    pub socket: Endpoint,
    /// From whom.
    pub remote: SocketAddr,
    /// The address it was sent to.
    pub local: IpAddr,
    /// The link it came by.
    pub link: LinkIndex,
    /// TTL or hop limit it arrived with.
    pub hop_limit: u8,
    /// The payload.
    pub data: Vec<u8>,
}

/// A stream that is up. `credit` octets may be written now; each [`crate::Event::Credit`] adds to that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The stream.
    pub id: Endpoint,
    /// Its own end.
    pub local: SocketAddr,
    /// The peer's end.
    pub remote: SocketAddr,
    /// Octets that may be written now.
    pub credit: u32,
}

/// A stream that a listener accepted; the host chose its number, with the top bit set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The listener.
    pub listener: Endpoint,
    /// The stream.
    pub opened: Opened,
}

/// A stream, listener or socket that is gone, or could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Which.
    pub id: Endpoint,
    /// Why.
    pub reason: CloseReason,
}

/// WIT: `network.close-reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The plugin asked.
    Local,
    /// The peer sent FIN.
    Remote,
    /// The peer sent RST.
    Reset,
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// No way there.
    Unreachable(String),
    /// No grant, or the guard refused what was written.
    Denied(String),
    /// This kernel or host cannot do what an option asked for.
    Unsupported(String),
    /// More was written than credit allowed.
    Overrun,
    /// One that this version does not know.
    Other(String),
}

/// An endpoint that outlived the instance before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumedEndpoint {
    /// For a listener or a socket, `remote` is the unspecified address.
    pub opened: Opened,
    /// Whether it is a listener.
    pub listener: bool,
}
