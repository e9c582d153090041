//! Streams, listeners and datagram sockets. The host owns every socket; a plugin holds only numbers. WIT: `network`.
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::{Endpoint, LinkIndex, Pair};

/// The protocol of a stream or socket. It selects the guard that checks outgoing data, and on streams the framing.
/// WIT: `network.protocol`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// BGP-4 over TCP (RFC 4271). Every [`crate::Event::Data`] and every [`crate::Effect::Write`] is exactly one
    /// message, header included. A header that cannot be framed is delivered alone (19 octets), and nothing after it
    /// is read.
    Bgp,
    /// BFD control packets over UDP (RFC 5881, RFC 5883). Every packet of a peer that passes the socket's minimum hop
    /// limit and the checks of RFC 5880 section 6.8.6 restarts an [`crate::OffloadWork::Expect`]. Only packets that
    /// carry news are delivered: the first of a remote address on this socket, each that differs from the previous
    /// one, each with the Poll bit, and the first after [`crate::Event::Expired`]. Packets dropped for their hop
    /// limit or format are counted.
    Bfd,
    /// Uninterpreted bytes. The grant must name this peer and port.
    Raw,
    /// A protocol that this version does not know.
    Other(String),
}

/// An option of a stream, listener or socket. If an option occurs more than once, the last one applies. WIT: `network.socket-option`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketOption {
    /// Local address and port; port 0 = any. The address must be on this node.
    Source(SocketAddr),
    /// Interface or VRF device (SO_BINDTODEVICE).
    Device(String),
    /// Outgoing TTL or hop limit; 255 with GTSM.
    HopLimit(u8),
    /// Minimum TTL or hop limit: packets below it are dropped in the kernel. Used for GTSM (RFC 5082) and BFD single
    /// hop (RFC 5881 section 5).
    MinHopLimit(u8),
    /// Differentiated services code point (RFC 2474); 48 is CS6.
    Dscp(u8),
    /// TCP MD5 signatures (RFC 2385), with the key from this Secret.
    TcpMd5(SecretRef),
    /// Timeout of [`Connect`], in milliseconds.
    ConnectTimeout(u32),
    /// TCP_USER_TIMEOUT in milliseconds (RFC 5482).
    UserTimeout(u32),
    /// An option that this version does not know, as name and value. Refused.
    Other(Pair),
}

/// A reference to a Secret, which the plugin never sees: an entry of the Announcer's `secretRefs`, and a key in the
/// Secret's `data`. WIT: `types.secret-ref`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretRef {
    /// Name of the entry in `secretRefs`.
    pub name: String,
    /// The key in the Secret's `data`.
    pub key: String,
}

/// Opens a stream. WIT: `network.connect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// Number of the stream, below `0x8000_0000`.
    pub id: Endpoint,
    /// Address and port to connect to. The scope of a link-local address is the link's index.
    pub remote: SocketAddr,
    /// Protocol of the stream.
    pub protocol: Protocol,
    /// Socket options.
    pub options: Vec<SocketOption>,
}

/// Accepts streams from one peer, or from one prefix of peers (dynamic neighbours), each with its own key and TTL.
/// WIT: `network.listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// Number of the listener, below `0x8000_0000`.
    pub id: Endpoint,
    /// Local port. The host holds one socket per port for all instances and dispatches streams by remote address.
    pub port: u16,
    /// Prefix of the peers that may connect.
    pub remote: IpNet,
    /// Protocol of the accepted streams.
    pub protocol: Protocol,
    /// Socket options.
    pub options: Vec<SocketOption>,
}

/// Bytes read from or written to a stream. WIT: `network.stream-bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamBytes {
    /// The stream.
    pub id: Endpoint,
    /// The bytes: exactly one message if the protocol has messages.
    pub data: Vec<u8>,
}

/// Opens a UDP socket. WIT: `network.open-socket`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSocket {
    /// Number of the socket, below `0x8000_0000`.
    pub id: Endpoint,
    /// Local port; 0 = any.
    pub port: u16,
    /// Prefixes of the peers that may send to the socket.
    pub remotes: Vec<IpNet>,
    /// Protocol of the datagrams.
    pub protocol: Protocol,
    /// Socket options.
    pub options: Vec<SocketOption>,
}

/// A datagram to send. It is dropped without an event when the queue is full. WIT: `network.send-datagram`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendDatagram {
    /// The socket to send from.
    pub socket: Endpoint,
    /// Address and port to send to.
    pub remote: SocketAddr,
    /// The payload.
    pub data: Vec<u8>,
}

/// A received datagram. WIT: `network.datagram`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// The socket that received it.
    pub socket: Endpoint,
    /// Address and port of the sender.
    pub remote: SocketAddr,
    /// The address the datagram was sent to.
    pub local: IpAddr,
    /// The link the datagram was received on.
    pub link: LinkIndex,
    /// TTL or hop limit of the received packet.
    pub hop_limit: u8,
    /// The payload.
    pub data: Vec<u8>,
}

/// An open stream. `credit` bytes may be written at once; each [`crate::Event::Credit`] adds to that. WIT: `network.opened`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The stream.
    pub id: Endpoint,
    /// Local address and port.
    pub local: SocketAddr,
    /// Address and port of the peer.
    pub remote: SocketAddr,
    /// Number of bytes that may be written at once.
    pub credit: u32,
}

/// A stream accepted by a listener. The host chose its number, with the top bit set. WIT: `network.accepted`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The listener.
    pub listener: Endpoint,
    /// The accepted stream.
    pub opened: Opened,
}

/// A stream, listener or socket that was closed or could not be opened. WIT: `network.closed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Number of the stream, listener or socket.
    pub id: Endpoint,
    /// Reason for the close.
    pub reason: CloseReason,
}

/// The reason a stream, listener or socket was closed. WIT: `network.close-reason`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// The plugin closed it.
    Local,
    /// The peer sent FIN.
    Remote,
    /// The peer sent RST.
    Reset,
    /// The connection was refused: no process listens on the remote port.
    Refused,
    /// The peer did not answer in time.
    TimedOut,
    /// The remote address cannot be reached; holds the error message.
    Unreachable(String),
    /// No grant covers the request, or the guard refused written data; holds the reason.
    Denied(String),
    /// This kernel or host does not support a requested option; holds the details.
    Unsupported(String),
    /// More data was written than the credit allowed.
    Overrun,
    /// A reason that this version does not know.
    Other(String),
}

/// An endpoint that stayed open while the instance was replaced. WIT: `events.resumed-endpoint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumedEndpoint {
    /// The endpoint. For a listener or a socket, `remote` is the unspecified address.
    pub opened: Opened,
    /// True if the endpoint is a listener.
    pub listener: bool,
}
