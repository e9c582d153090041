//! Conversions for streams, listeners and datagram sockets, in both directions. WIT: `network`.
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use outrigger_sdk as sdk;

use super::allocator::outrigger::plugin::types::{IpPrefix, SocketAddress};
use super::announcer::outrigger::plugin::{events, network as wit};
use super::convert::each;
use super::effects::unsupported;

impl From<SocketAddr> for SocketAddress {
    fn from(socket: SocketAddr) -> Self {
        let scope = match socket {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(socket) => socket.scope_id(),
        };
        Self { address: socket.ip().into(), port: socket.port(), scope }
    }
}

impl From<SocketAddress> for SocketAddr {
    fn from(socket: SocketAddress) -> Self {
        match socket.address.into() {
            IpAddr::V4(ip) => Self::new(ip.into(), socket.port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, socket.port, 0, socket.scope).into(),
        }
    }
}

impl From<wit::Protocol> for sdk::Protocol {
    fn from(protocol: wit::Protocol) -> Self {
        match protocol {
            wit::Protocol::Bgp => Self::Bgp,
            wit::Protocol::Bfd => Self::Bfd,
            wit::Protocol::Raw => Self::Raw,
            wit::Protocol::Other(name) => Self::Other(name),
        }
    }
}

impl From<wit::SocketOption> for sdk::SocketOption {
    fn from(option: wit::SocketOption) -> Self {
        match option {
            wit::SocketOption::Source(source) => Self::Source(source.into()),
            wit::SocketOption::Device(name) => Self::Device(name),
            wit::SocketOption::HopLimit(hops) => Self::HopLimit(hops),
            wit::SocketOption::MinHopLimit(hops) => Self::MinHopLimit(hops),
            wit::SocketOption::Dscp(point) => Self::Dscp(point),
            wit::SocketOption::TcpMd5(secret) => {
                Self::TcpMd5(sdk::SecretRef { name: secret.name, key: secret.key })
            }
            wit::SocketOption::TcpAo(option) => Self::Other(("tcp-ao".into(), option.secret.name)),
            wit::SocketOption::ConnectTimeoutMs(ms) => Self::ConnectTimeout(ms),
            wit::SocketOption::UserTimeoutMs(ms) => Self::UserTimeout(ms),
            wit::SocketOption::Other(pair) => Self::Other(pair),
        }
    }
}

pub(super) fn connect(connect: wit::Connect) -> sdk::Effect {
    sdk::Effect::Connect(sdk::Connect {
        id: connect.id,
        remote: connect.remote.into(),
        protocol: connect.protocol.into(),
        options: each(connect.options),
    })
}

pub(super) fn listen(listen: wit::Listen) -> sdk::Effect {
    match prefix(listen.remote) {
        Ok(remote) => sdk::Effect::Listen(sdk::Listen {
            id: listen.id,
            port: listen.port,
            remote,
            protocol: listen.protocol.into(),
            options: each(listen.options),
        }),
        Err(written) => unsupported("listen", written),
    }
}

pub(super) fn open_socket(open: wit::OpenSocket) -> sdk::Effect {
    let remotes: Result<Vec<_>, String> = open.remotes.into_iter().map(prefix).collect();
    match remotes {
        Ok(remotes) => sdk::Effect::OpenSocket(sdk::OpenSocket {
            id: open.id,
            port: open.port,
            remotes,
            protocol: open.protocol.into(),
            options: each(open.options),
        }),
        Err(written) => unsupported("open-socket", written),
    }
}

pub(super) fn write(bytes: wit::StreamBytes) -> sdk::Effect {
    sdk::Effect::Write(sdk::StreamBytes { id: bytes.id, data: bytes.data })
}

pub(super) fn close(close: wit::Close) -> sdk::Effect {
    if close.abort { sdk::Effect::Abort(close.id) } else { sdk::Effect::Close(close.id) }
}

pub(super) fn datagram(sent: wit::SendDatagram) -> sdk::SendDatagram {
    sdk::SendDatagram { socket: sent.socket, remote: sent.remote.into(), data: sent.data }
}

/// Converts a prefix of the WIT, without its host bits. Returns the prefix as text if its length is invalid.
fn prefix(written: IpPrefix) -> Result<sdk::IpNet, String> {
    let (address, length) = (IpAddr::from(written.address), written.length);
    let prefix = sdk::IpNet::new(address, length).map_err(|_| format!("{address}/{length}"))?;
    Ok(prefix.trunc())
}

impl From<&sdk::Opened> for wit::Opened {
    fn from(opened: &sdk::Opened) -> Self {
        Self {
            id: opened.id,
            local: opened.local.into(),
            remote: opened.remote.into(),
            credit: opened.credit,
        }
    }
}

impl From<&sdk::Accepted> for wit::Accepted {
    fn from(accepted: &sdk::Accepted) -> Self {
        Self { listener: accepted.listener, opened: (&accepted.opened).into() }
    }
}

impl From<&sdk::StreamBytes> for wit::StreamBytes {
    fn from(bytes: &sdk::StreamBytes) -> Self {
        Self { id: bytes.id, data: bytes.data.clone() }
    }
}

impl From<&sdk::Datagram> for wit::Datagram {
    fn from(datagram: &sdk::Datagram) -> Self {
        Self {
            socket: datagram.socket,
            remote: datagram.remote.into(),
            local: datagram.local.into(),
            link: datagram.link,
            hop_limit: datagram.hop_limit,
            data: datagram.data.clone(),
        }
    }
}

impl From<&sdk::Closed> for wit::Closed {
    fn from(closed: &sdk::Closed) -> Self {
        let reason = match &closed.reason {
            sdk::CloseReason::Local => wit::CloseReason::Local,
            sdk::CloseReason::Remote => wit::CloseReason::Remote,
            sdk::CloseReason::Reset => wit::CloseReason::Reset,
            sdk::CloseReason::Refused => wit::CloseReason::Refused,
            sdk::CloseReason::TimedOut => wit::CloseReason::TimedOut,
            sdk::CloseReason::Unreachable(why) => wit::CloseReason::Unreachable(why.clone()),
            sdk::CloseReason::Denied(why) => wit::CloseReason::Denied(why.clone()),
            sdk::CloseReason::Unsupported(why) => wit::CloseReason::Unsupported(why.clone()),
            sdk::CloseReason::Overrun => wit::CloseReason::Overrun,
            sdk::CloseReason::Other(word) => wit::CloseReason::Other(word.clone()),
        };
        Self { id: closed.id, reason }
    }
}

impl From<&sdk::ResumedEndpoint> for events::ResumedEndpoint {
    fn from(resumed: &sdk::ResumedEndpoint) -> Self {
        Self { opened: (&resumed.opened).into(), listener: resumed.listener }
    }
}
