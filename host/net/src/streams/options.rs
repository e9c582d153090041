//! Socket options: sorted once and applied to sockets. Keys are passed in: nothing here knows where they come from.
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use outrigger_sdk::{CloseReason, IpNet, SocketOption};
use socket2::Socket;

use crate::sys::sockets;

/// A key whose value is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(pub Vec<u8>);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

/// The keys of one endpoint. References to secrets were resolved before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    /// The TCP MD5 key (RFC 2385), at most 80 octets.
    pub md5: Option<SecretKey>,
}

/// The socket options of an endpoint; the last one of each kind counts.
#[derive(Debug, Clone, Default)]
pub(super) struct Options {
    pub(super) source: Option<SocketAddr>,
    pub(super) device: Option<String>,
    pub(super) hop_limit: Option<u8>,
    pub(super) min_hop_limit: Option<u8>,
    pub(super) dscp: Option<u8>,
    pub(super) connect_timeout_ms: Option<u32>,
    pub(super) user_timeout_ms: Option<u32>,
    pub(super) md5: Option<SecretKey>,
}

impl Options {
    pub(super) fn new(options: Vec<SocketOption>, keys: &Keys) -> Result<Self, CloseReason> {
        let mut sorted = Self { md5: keys.md5.clone(), ..Self::default() };
        for option in options {
            match option {
                SocketOption::Source(source) => sorted.source = Some(source),
                SocketOption::Device(name) => sorted.device = Some(name),
                SocketOption::HopLimit(hops) => sorted.hop_limit = Some(hops),
                SocketOption::MinHopLimit(hops) => sorted.min_hop_limit = Some(hops),
                SocketOption::Dscp(point) => sorted.dscp = Some(point & 0x3f),
                SocketOption::ConnectTimeout(ms) => sorted.connect_timeout_ms = Some(ms),
                SocketOption::UserTimeout(ms) => sorted.user_timeout_ms = Some(ms),
                SocketOption::TcpMd5(_) if sorted.md5.is_some() => {}
                SocketOption::TcpMd5(secret) => {
                    let words = format!("secret {:?} has no key {:?}", secret.name, secret.key);
                    return Err(CloseReason::Denied(words));
                }
                SocketOption::Other((name, _)) => {
                    return Err(CloseReason::Unsupported(format!("socket option {name:?}")));
                }
            }
        }
        if sorted.md5.as_ref().is_some_and(|key| key.0.len() > sockets::LONGEST_KEY) {
            let words = format!("the TCP MD5 key is longer than {} bytes", sockets::LONGEST_KEY);
            return Err(CloseReason::Unsupported(words));
        }
        Ok(sorted)
    }

    /// Applies the options that hold for every packet of a socket.
    pub(super) fn apply(&self, socket: &Socket, v4: bool) -> Result<(), CloseReason> {
        if self.hop_limit.is_some() {
            cannot("hop-limit", sockets::set_hop_limit(socket, v4, self.hop_limit))?;
        }
        if let Some(hops) = self.min_hop_limit {
            cannot("min-hop-limit", sockets::set_min_hop_limit(socket, v4, hops))?;
        }
        if let Some(point) = self.dscp {
            cannot("dscp", sockets::set_dscp(socket, v4, point))?;
        }
        if let Some(ms) = self.user_timeout_ms {
            cannot("user-timeout-ms", sockets::set_user_timeout(socket, ms))?;
        }
        Ok(())
    }

    /// Applies the options of outgoing packets only, and overwrites whatever another endpoint set before.
    pub(super) fn apply_to_sent(&self, socket: &Socket, v4: bool) -> Result<(), CloseReason> {
        cannot("hop-limit", sockets::set_hop_limit(socket, v4, self.hop_limit))?;
        cannot("dscp", sockets::set_dscp(socket, v4, self.dscp.unwrap_or(0)))
    }

    pub(super) fn bind_device(&self, socket: &Socket) -> Result<(), CloseReason> {
        let Some(name) = &self.device else { return Ok(()) };
        socket.bind_device(Some(name.as_bytes())).map_err(|error| match error.raw_os_error() {
            Some(libc::ENODEV) => no_device(name),
            _ => CloseReason::Unsupported(format!("device {name:?}: {error}")),
        })
    }

    pub(super) fn sign(&self, socket: &Socket, peers: IpNet) -> Result<(), CloseReason> {
        let Some(key) = &self.md5 else { return Ok(()) };
        cannot("tcp-md5", sockets::set_md5(socket, peers, &key.0))
    }

    /// Returns true if the local address of a connection is allowed by the source option.
    pub(super) fn suits(&self, local: IpAddr) -> bool {
        self.source.is_none_or(|source| source.ip().is_unspecified() || source.ip() == local)
    }

    /// Returns the device if it is a VRF, that is, has a routing table of its own: only then must a listening socket be
    /// bound to it. A missing device is an error unless the peers are link-local: a link may come later, but without
    /// its routing table a peer would come in from another one.
    pub(super) fn vrf(&self, peers: IpNet) -> Result<Option<&str>, CloseReason> {
        let Some(name) = self.device.as_deref() else { return Ok(None) };
        let on_link = matches!(peers.addr(), IpAddr::V6(it) if it.is_unicast_link_local());
        if !on_link && sockets::link_index(name).is_none() {
            return Err(no_device(name));
        }
        Ok(sockets::is_vrf(name).then_some(name))
    }
}

/// Returns the reason for a device name that the kernel does not know; the kernel may also lack VRF support
/// (Documentation/networking/vrf.rst).
fn no_device(name: &str) -> CloseReason {
    CloseReason::Unreachable(format!(
        "this node has no device {name:?}; if it is a VRF, create it: ip link add {name} type vrf table N (and if that fails: \
         modprobe vrf)"
    ))
}

/// Reports a failed option as unsupported, by its name.
fn cannot(option: &str, done: io::Result<()>) -> Result<(), CloseReason> {
    done.map_err(|error| match error.raw_os_error() {
        Some(libc::ENOPROTOOPT | libc::EOPNOTSUPP | libc::ENOSYS) => {
            CloseReason::Unsupported(format!("{option}: this kernel does not support it"))
        }
        _ => CloseReason::Unsupported(format!("{option}: {error}")),
    })
}

/// Returns the close reason for an error of the kernel.
pub(super) fn reason(error: &io::Error) -> CloseReason {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => CloseReason::Refused,
        Some(libc::ETIMEDOUT) => CloseReason::TimedOut,
        Some(libc::ECONNRESET | libc::EPIPE) => CloseReason::Reset,
        Some(libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ENETDOWN | libc::EHOSTDOWN) => {
            CloseReason::Unreachable(error.to_string())
        }
        Some(libc::EADDRNOTAVAIL) => {
            CloseReason::Unreachable("no link of this node has the source address".to_owned())
        }
        Some(libc::EADDRINUSE) => CloseReason::Other(
            "the port is already in use: another program listens on it".to_owned(),
        ),
        _ => CloseReason::Other(error.to_string()),
    }
}
