//! The sockets of one link and their kernel filters. Does not know why an address should pass.
//!
//! Uses two sockets, one per EtherType, instead of one for all: a socket for all types sees every packet of the node
//! before its filter drops it, including outgoing ones, and its program runs for each of them.
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

use outrigger_sdk::{Family, Link, LinkIndex, MacAddr};

use super::filter::Filter;
use crate::sys::{PacketSocket, Poller};

const ETHERTYPE_ARP: u16 = libc::ETH_P_ARP as u16;
const ETHERTYPE_IPV6: u16 = libc::ETH_P_IPV6 as u16;

#[derive(Debug)]
pub(super) struct Port {
    pub(super) mac: MacAddr,
    arp: Side,
    ndp: Side,
}

#[derive(Debug)]
pub(super) struct Side {
    pub(super) socket: Arc<PacketSocket>,
    filter: Filter,
}

/// Identifies a port's socket in the reports of the poller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) link: LinkIndex,
    pub(super) family: Family,
}

impl Port {
    pub(super) fn open(link: &Link, poller: &Poller) -> io::Result<Self> {
        let side = |family, ethertype| -> io::Result<Side> {
            let mut filter = Filter::new(family);
            let (prefixes, program) = filter.program();
            let socket = PacketSocket::open(link.index, ethertype, &program)?;
            filter.installed(prefixes);
            let socket = Arc::new(socket);
            poller.add(socket.as_fd(), Key { link: link.index, family }.number())?;
            Ok(Side { socket, filter })
        };
        let arp = side(Family::Ipv4, ETHERTYPE_ARP)?;
        let ndp = side(Family::Ipv6, ETHERTYPE_IPV6)?;
        Ok(Self { mac: link.mac, arp, ndp })
    }

    pub(super) fn side(&self, family: Family) -> &Side {
        match family {
            Family::Ipv4 => &self.arp,
            Family::Ipv6 => &self.ndp,
        }
    }

    /// Makes the kernel pass, or stop passing, frames about an address.
    pub(super) fn set_wanted(&mut self, address: IpAddr, wanted: bool) -> io::Result<()> {
        let side = match Family::of(&address) {
            Family::Ipv4 => &mut self.arp,
            Family::Ipv6 => &mut self.ndp,
        };
        let outdated =
            if wanted { side.filter.insert(address) } else { side.filter.remove(address) };
        if !outdated {
            return Ok(());
        }
        let (prefixes, program) = side.filter.program();
        let set = side.socket.set_filter(&program);
        match set {
            Ok(()) => side.filter.installed(prefixes),
            // The old program stays active.
            Err(_) => _ = side.filter.remove(address),
        }
        set
    }

    /// Sends a whole frame on the socket of its EtherType, so that the kernel classifies it correctly.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        let is_arp = frame.get(12..14) == Some(&ETHERTYPE_ARP.to_be_bytes());
        self.side(if is_arp { Family::Ipv4 } else { Family::Ipv6 }).socket.send(frame)
    }

    pub(super) fn overflowed(&self) -> u64 {
        u64::from(self.arp.socket.overflowed()) + u64::from(self.ndp.socket.overflowed())
    }
}

impl Key {
    fn number(self) -> u64 {
        u64::from(self.link) << 1 | u64::from(self.family == Family::Ipv6)
    }

    pub(super) fn from_number(number: u64) -> Self {
        let family = if number & 1 == 1 { Family::Ipv6 } else { Family::Ipv4 };
        Self { link: (number >> 1) as LinkIndex, family }
    }
}
