//! Listening sockets, one per port and routing table, and the rate limit of connections per address.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use outrigger_sdk::CloseReason;
use socket2::{Domain, Protocol, Socket, Type};

use super::devices::Bound;
use super::options::reason;
use super::state::State;
use crate::sys::Poller;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PortKey {
    pub(super) v4: bool,
    pub(super) port: u16,
    pub(super) vrf: Option<String>,
}

pub(super) struct Port {
    pub(super) socket: Socket,
    pub(super) key: u64,
    pub(super) device: Option<Bound>,
}

impl Port {
    /// Listens on every address: the address that a peer connects to is checked after it has connected.
    pub(super) fn open(port: &PortKey, key: u64, poller: &Poller) -> Result<Self, CloseReason> {
        let any: IpAddr =
            if port.v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let address = SocketAddr::new(any, port.port);
        let open = || {
            let domain = Domain::for_address(address);
            let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
            socket.set_nonblocking(true)?;
            socket.set_reuse_address(true)?;
            if !port.v4 {
                socket.set_only_v6(true)?;
            }
            if let Some(vrf) = &port.vrf {
                socket.bind_device(Some(vrf.as_bytes()))?;
            }
            socket.bind(&address.into())?;
            socket.listen(128)?;
            poller.add(socket.as_fd(), key)?;
            Ok(Self { socket, key, device: port.vrf.as_deref().map(Bound::to) })
        };
        open().map_err(|error: std::io::Error| reason(&error))
    }
}

/// A token bucket per remote address: a peer that connects repeatedly and is refused must not keep this node busy.
#[derive(Debug, Clone, Copy)]
pub(super) struct AcceptRateLimit {
    spent: u32,
    refilled_us: u64,
}

/// Number of connections that one address may make at once.
const BURST: u32 = 10;
/// Time until a used connection of the burst is available again, in microseconds.
const REFILL_US: u64 = 500_000;
/// Number of addresses that are remembered.
const REMEMBERED: usize = 4096;

impl State {
    /// Returns true if this address may connect now.
    pub(super) fn knock(&mut self, remote: IpAddr, now: u64) -> bool {
        if self.doors.len() >= REMEMBERED {
            let full = REFILL_US * u64::from(BURST);
            self.doors.retain(|_, door| now.saturating_sub(door.refilled_us) < full);
        }
        if self.doors.len() >= REMEMBERED && !self.doors.contains_key(&remote) {
            return false;
        }
        let door =
            self.doors.entry(remote).or_insert(AcceptRateLimit { spent: 0, refilled_us: now });
        let back = now.saturating_sub(door.refilled_us) / REFILL_US;
        if back > 0 {
            door.spent = door.spent.saturating_sub(u32::try_from(back).unwrap_or(BURST));
            door.refilled_us = now;
        }
        let open = door.spent < BURST;
        door.spent = (door.spent + 1).min(BURST);
        open
    }
}
