//! The datagrams between nodes. Carries octets; whether they are true is `core`'s matter (AEAD, SWIM).
use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::net::UdpSocket;

/// Longest datagram: fits a 1,500-octet link with room for tunnels.
pub const MAX_DATAGRAM: usize = 1400;

/// Asked for; the kernel gives as much of it as `net.core.rmem_max` allows. Many nodes may have much to say at once.
const BUFFER: usize = 4 << 20;

/// One UDP port of this node, IPv4 or IPv6 as its address says.
#[derive(Debug)]
pub struct GossipSocket {
    socket: UdpSocket,
}

/// Why gossip does not go.
#[derive(Debug, thiserror::Error)]
pub enum GossipError {
    /// Somebody else has the port.
    #[error(
        "gossip port {port} on {address} is taken: stop the process that has it (`ss -ulnp sport = :{port}`) or choose \
         another port", port = .0.port(), address = .0.ip()
    )]
    PortTaken(SocketAddr),
    /// The address is not on this node.
    #[error("cannot bind gossip to {0}: no interface of this node has that address")]
    NoSuchAddress(SocketAddr),
    /// Anything else at binding.
    #[error("cannot bind gossip to {address}: {cause}")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The kernel did not receive.
    #[error("gossip socket: {0}")]
    Io(#[from] io::Error),
}

impl GossipSocket {
    /// Binds exclusively: no SO_REUSEADDR, or a second daemon would take half of the datagrams unseen. The kernel drops every datagram
    /// that does not have `magic` after its first octet. Call within a runtime.
    ///
    /// # Errors
    /// The first three of [`GossipError`].
    pub fn bind(address: SocketAddr, magic: [u8; 4]) -> Result<Self, GossipError> {
        let open = || {
            let socket =
                Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
            if address.is_ipv6() {
                socket.set_only_v6(true)?;
            }
            socket.set_nonblocking(true)?;
            socket.set_recv_buffer_size(BUFFER)?;
            // Before it is bound: nothing unfiltered is ever queued.
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

    /// Where it is bound: tells the port when 0 was asked for.
    ///
    /// # Errors
    /// [`GossipError::Io`].
    pub fn local_address(&self) -> Result<SocketAddr, GossipError> {
        Ok(self.socket.local_addr()?)
    }

    /// The next datagram and its sender. Longer ones than [`MAX_DATAGRAM`] are nobody's of ours and are skipped.
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`GossipError::Io`].
    pub async fn receive(&self) -> Result<(Vec<u8>, SocketAddr), GossipError> {
        let mut buffer = [0; MAX_DATAGRAM + 1];
        loop {
            let (length, from) = self.socket.recv_from(&mut buffer).await?;
            if length <= MAX_DATAGRAM {
                return Ok((buffer[..length].to_vec(), from));
            }
        }
    }

    /// One that waits already, if any.
    pub fn try_receive(&self) -> Option<(Vec<u8>, SocketAddr)> {
        let mut buffer = [0; MAX_DATAGRAM + 1];
        let (length, from) = self.socket.try_recv_from(&mut buffer).ok()?;
        Some((buffer.get(..length)?.to_vec(), from))
    }

    /// Sends one datagram if the kernel takes it at once; else it is lost, as datagrams are. Says which. The kernel itself
    /// is asked: the runtime takes a socket that it has not polled yet for one that is full, and the first word to the others
    /// would always be lost.
    pub fn try_send(&self, datagram: &[u8], to: SocketAddr) -> bool {
        let socket = SockRef::from(&self.socket);
        datagram.len() <= MAX_DATAGRAM && socket.send_to(datagram, &to.into()).is_ok()
    }
}

/// Classic BPF over a UDP header and its payload: magic, and no longer than [`MAX_DATAGRAM`]. Not the source: a node may send from an
/// address that no Node object has (`--gossip-address`), and who lacks the key can forge any.
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
