//! The datagrams between nodes. Carries octets; authenticating and interpreting them is left to `core` (AEAD, SWIM).
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::net::UdpSocket;

/// Longest datagram, in octets: fits a 1,500-octet link with room for tunnels.
pub const MAX_DATAGRAM: usize = 1400;

/// Requested receive buffer, in bytes; the kernel grants at most `net.core.rmem_max`. Many nodes may send at the same
/// time.
const BUFFER: usize = 4 << 20;

/// A UDP socket for gossip, IPv4 or IPv6 depending on its address.
#[derive(Debug)]
pub struct GossipSocket {
    socket: UdpSocket,
}

/// The reason why gossip cannot be bound or received.
#[derive(Debug, thiserror::Error)]
pub enum GossipError {
    /// Another process has the port.
    #[error(
        "gossip port {port} on {address} is already in use: stop the process that uses it (`ss -ulnp sport = :{port}`) or choose \
         another port", port = .0.port(), address = .0.ip()
    )]
    PortTaken(SocketAddr),
    /// The address is not on this node.
    #[error("cannot bind gossip to {0}: no interface of this node has that address")]
    NoSuchAddress(SocketAddr),
    /// Any other error of binding the socket.
    #[error("cannot bind gossip to {address}: {cause}")]
    Bind {
        /// The address that was to be bound.
        address: SocketAddr,
        /// The error of the kernel.
        cause: io::Error,
    },
    /// Receiving failed.
    #[error("gossip socket: {0}")]
    Io(#[from] io::Error),
}

impl GossipSocket {
    /// Binds exclusively, without SO_REUSEADDR, because a second daemon would otherwise take half of the datagrams
    /// unnoticed. The kernel drops every datagram that does not have `magic` after its first octet. Must be called
    /// within a runtime.
    ///
    /// # Errors
    /// Returns one of the first three variants of [`GossipError`].
    pub fn bind(address: SocketAddr, magic: [u8; 4]) -> Result<Self, GossipError> {
        let open = || {
            let socket =
                Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.set_nonblocking(true)?;
            socket.set_recv_buffer_size(BUFFER)?;
            // Attached before the socket is bound, so nothing unfiltered is ever queued.
            socket.attach_filter(&filter(magic))?;
            socket.bind(&address.into())?;
            UdpSocket::from_std(socket.into())
        };
        match open() {
            Ok(socket) => Ok(Self { socket }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(GossipError::PortTaken(address))
            }
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                Err(GossipError::NoSuchAddress(address))
            }
            Err(cause) => Err(GossipError::Bind { address, cause }),
        }
    }

    /// Returns the bound address, with the actual port when port 0 was requested.
    ///
    /// # Errors
    /// Returns [`GossipError::Io`] if the kernel does not report the address.
    pub fn local_address(&self) -> Result<SocketAddr, GossipError> {
        Ok(self.socket.local_addr()?)
    }

    /// Receives the next datagram and its sender. Datagrams longer than [`MAX_DATAGRAM`] cannot come from a member and
    /// are skipped. Cancel-safe.
    ///
    /// # Errors
    /// Returns [`GossipError::Io`] if the kernel reports an error.
    pub async fn receive(&self) -> Result<(Vec<u8>, SocketAddr), GossipError> {
        let mut buffer = [0; MAX_DATAGRAM + 1];
        loop {
            let (length, from) = self.socket.recv_from(&mut buffer).await?;
            if length <= MAX_DATAGRAM {
                return Ok((buffer[..length].to_vec(), from));
            }
        }
    }

    /// Returns a datagram that is already queued. `None` if there is none.
    pub fn try_receive(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = [0; MAX_DATAGRAM + 1];
        loop {
            let (length, from) = self.socket.try_recv_from(&mut buffer).ok()?;
            if length <= MAX_DATAGRAM {
                return Some((buffer[..length].to_vec(), from));
            }
        }
    }

    /// Sends one datagram and returns true if the kernel accepts it at once; otherwise it is lost, as datagrams are.
    /// Calls the kernel directly, because the runtime treats a socket that it has not polled yet as full, and the first
    /// message to the other nodes would always be lost.
    pub fn try_send(&self, datagram: &[u8], to: SocketAddr) -> bool {
        let socket = SockRef::from(&self.socket);
        datagram.len() <= MAX_DATAGRAM && socket.send_to(datagram, &to.into()).is_ok()
    }
}

/// Returns a classic BPF program over the UDP header and its payload: it requires the magic and at most
/// [`MAX_DATAGRAM`] octets. It does not check the source: a node may send from an address that no Node object has
/// (`--gossip-address`), and an attacker without the key can forge any source.
fn filter(magic: [u8; 4]) -> [SockFilter; 6] {
    const HEADER: u32 = 8;
    let at = |code: u32, k: u32, jt: u8, jf: u8| SockFilter::new(code as u16, jt, jf, k);
    [
        at(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, HEADER + 1, 0, 0),
        at(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, u32::from_be_bytes(magic), 0, 3),
        at(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0, 0, 0),
        at(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, HEADER + MAX_DATAGRAM as u32, 1, 0),
        at(libc::BPF_RET | libc::BPF_K, u32::MAX, 0, 0),
        at(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests;
