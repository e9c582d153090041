//! World `announcer`, streams and datagrams: conversions of the socket types of interface `network`, in both
//! directions.
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use ipnet::IpNet;

use super::announcer::outrigger::plugin::{events, network as wit};
use super::service::{address, wit_address};
use super::wit as words;
use crate::{
    Accepted, CloseReason, Closed, Connect, Datagram, Listen, OpenSocket, Opened, Protocol,
    ResumedEndpoint, SendDatagram, SocketOption, StreamBytes,
};

pub fn connect(connect: Connect) -> wit::Connect {
    wit::Connect {
        id: connect.id,
        remote: wit_socket(connect.remote),
        protocol: protocol(connect.protocol),
        options: options(connect.options),
    }
}

pub fn listen(listen: Listen) -> wit::Listen {
    wit::Listen {
        id: listen.id,
        port: listen.port,
        remote: wit_prefix(listen.remote),
        protocol: protocol(listen.protocol),
        options: options(listen.options),
    }
}

pub fn open_socket(open: OpenSocket) -> wit::OpenSocket {
    wit::OpenSocket {
        id: open.id,
        port: open.port,
        remotes: open.remotes.into_iter().map(wit_prefix).collect(),
        protocol: protocol(open.protocol),
        options: options(open.options),
    }
}

pub fn write(bytes: StreamBytes) -> wit::StreamBytes {
    wit::StreamBytes { id: bytes.id, data: bytes.data }
}

pub fn send_datagram(sent: SendDatagram) -> wit::SendDatagram {
    wit::SendDatagram { socket: sent.socket, remote: wit_socket(sent.remote), data: sent.data }
}

pub fn opened(opened: wit::Opened) -> Opened {
    Opened {
        id: opened.id,
        local: socket(opened.local),
        remote: socket(opened.remote),
        credit: opened.credit,
    }
}

pub fn accepted(accepted: wit::Accepted) -> Accepted {
    Accepted { listener: accepted.listener, opened: opened(accepted.opened) }
}

pub fn resumed(endpoint: events::ResumedEndpoint) -> ResumedEndpoint {
    ResumedEndpoint { opened: opened(endpoint.opened), listener: endpoint.listener }
}

pub fn data(bytes: wit::StreamBytes) -> StreamBytes {
    StreamBytes { id: bytes.id, data: bytes.data }
}

pub fn closed(closed: wit::Closed) -> Closed {
    Closed {
        id: closed.id,
        reason: match closed.reason {
            wit::CloseReason::Local => CloseReason::Local,
            wit::CloseReason::Remote => CloseReason::Remote,
            wit::CloseReason::Reset => CloseReason::Reset,
            wit::CloseReason::Refused => CloseReason::Refused,
            wit::CloseReason::TimedOut => CloseReason::TimedOut,
            wit::CloseReason::Unreachable(why) => CloseReason::Unreachable(why),
            wit::CloseReason::Denied(why) => CloseReason::Denied(why),
            wit::CloseReason::Unsupported(why) => CloseReason::Unsupported(why),
            wit::CloseReason::Overrun => CloseReason::Overrun,
            wit::CloseReason::Other(word) => CloseReason::Other(word),
        },
    }
}

pub fn datagram(datagram: wit::Datagram) -> Datagram {
    Datagram {
        socket: datagram.socket,
        remote: socket(datagram.remote),
        local: address(datagram.local),
        link: datagram.link,
        hop_limit: datagram.hop_limit,
        data: datagram.data,
    }
}

fn protocol(protocol: Protocol) -> wit::Protocol {
    match protocol {
        Protocol::Bgp => wit::Protocol::Bgp,
        Protocol::Bfd => wit::Protocol::Bfd,
        Protocol::Raw => wit::Protocol::Raw,
        Protocol::Other(name) => wit::Protocol::Other(name),
    }
}

fn options(options: Vec<SocketOption>) -> Vec<wit::SocketOption> {
    let option = |option| match option {
        SocketOption::Source(source) => wit::SocketOption::Source(wit_socket(source)),
        SocketOption::Device(name) => wit::SocketOption::Device(name),
        SocketOption::HopLimit(hops) => wit::SocketOption::HopLimit(hops),
        SocketOption::MinHopLimit(hops) => wit::SocketOption::MinHopLimit(hops),
        SocketOption::Dscp(point) => wit::SocketOption::Dscp(point),
        SocketOption::TcpMd5(secret) => {
            wit::SocketOption::TcpMd5(words::SecretRef { name: secret.name, key: secret.key })
        }
        SocketOption::ConnectTimeout(ms) => wit::SocketOption::ConnectTimeoutMs(ms),
        SocketOption::UserTimeout(ms) => wit::SocketOption::UserTimeoutMs(ms),
        SocketOption::Other(pair) => wit::SocketOption::Other(pair),
    };
    options.into_iter().map(option).collect()
}

fn wit_prefix(prefix: IpNet) -> words::IpPrefix {
    words::IpPrefix { address: wit_address(prefix.network()), length: prefix.prefix_len() }
}

fn wit_socket(socket: SocketAddr) -> words::SocketAddress {
    let scope = match socket {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(socket) => socket.scope_id(),
    };
    words::SocketAddress { address: wit_address(socket.ip()), port: socket.port(), scope }
}

fn socket(socket: words::SocketAddress) -> SocketAddr {
    match address(socket.address) {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), socket.port),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, socket.port, 0, socket.scope).into(),
    }
}
