//! UDP sockets. Several endpoints of one port share one kernel socket; the remote address decides which endpoint a
//! datagram belongs to, the longest prefix first. A BFD peer repeats its packets: a repetition counts as a sign of life
//! and is not delivered again.
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use outrigger_sdk::wire::bfd::ControlPacket;
use outrigger_sdk::{
    CloseReason, Datagram, Event, IpNet, OpenSocket, Opened, Protocol, SendDatagram,
};
use socket2::{Domain, Socket, Type};

use super::devices::Bound;
use super::options::{Keys, Options, reason};
use super::state::{Id, Source, State};
use super::{EndpointError, StreamSink};
use crate::Owner;
use crate::sys::sockets::{self, Packet};
use crate::sys::{Poller, boottime_us};

/// Interval after which a repeated packet is delivered again, in case the plugin had no room for the first one.
const SAY_AGAIN_US: u64 = 5_000_000;
/// Number of remotes per socket whose last packet is remembered.
const REMEMBERED: usize = 4096;

/// Identifies one kernel socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChannelKey {
    /// The local address. Port 0 means that the socket belongs to one endpoint alone.
    pub(super) local: SocketAddr,
    device: Option<String>,
    own: Option<Id>,
}

pub(super) struct Channel {
    socket: Socket,
    key: u64,
    pub(super) device: Option<Bound>,
    /// The endpoint whose options are currently applied to outgoing packets.
    sends_for: Option<Id>,
}

/// A datagram socket of an owner.
pub(super) struct Datagrams {
    pub(super) channel: ChannelKey,
    remotes: Vec<IpNet>,
    protocol: Protocol,
    options: Options,
    heard: BTreeMap<IpAddr, LastDatagram>,
    /// When the last packet from any remote arrived.
    pub(super) heard_us: u64,
}

struct LastDatagram {
    at_us: u64,
    told_us: u64,
    said: (u8, Vec<u8>),
}

impl Datagrams {
    fn longest(&self, remote: IpAddr) -> Option<u8> {
        let matching = self.remotes.iter().filter(|prefix| prefix.contains(&remote));
        matching.map(IpNet::prefix_len).max()
    }

    /// Returns when the last packet from a remote arrived; from any remote if `remote` is unspecified.
    pub(super) fn heard_us(&self, remote: IpAddr) -> u64 {
        match remote.is_unspecified() {
            true => self.heard_us,
            false => self.heard.get(&remote).map_or(0, |heard| heard.at_us),
        }
    }

    /// Makes the next packet from a remote count as new, even if it is a repetition.
    pub(super) fn forget(&mut self, remote: IpAddr) {
        match remote.is_unspecified() {
            true => self.heard.values_mut().for_each(|heard| heard.told_us = 0),
            false => self.heard.get_mut(&remote).into_iter().for_each(|heard| heard.told_us = 0),
        }
    }

    /// Records a sign of life, and returns true if the packet should be delivered. On a BFD socket, a packet that is not
    /// BFD is no sign of life (RFC 5880 section 6.8.6), and one with the Poll bit requires an answer each time.
    fn hear(&mut self, packet: &Packet, now: u64) -> bool {
        let remote = packet.remote.ip();
        if self.protocol != Protocol::Bfd {
            self.heard_us = now;
            return true;
        }
        let Ok(said) = ControlPacket::decode(&packet.data) else { return false };
        self.heard_us = now;
        if let Some(heard) = self.heard.get_mut(&remote) {
            heard.at_us = now;
            let same = heard.said.0 == packet.hop_limit && heard.said.1 == packet.data;
            if same && !said.poll && now.saturating_sub(heard.told_us) < SAY_AGAIN_US {
                return false;
            }
            heard.told_us = now;
            heard.said = (packet.hop_limit, packet.data.clone());
        } else if self.heard.len() < REMEMBERED {
            let said = (packet.hop_limit, packet.data.clone());
            self.heard.insert(remote, LastDatagram { at_us: now, told_us: now, said });
        }
        true
    }
}

impl State {
    pub(super) fn open_socket(
        &mut self,
        owner: Owner,
        open: OpenSocket,
        poller: &Poller,
    ) -> Result<(), EndpointError> {
        let id = (owner, open.id);
        self.free(id)?;
        if let Err(reason) = self.put_socket(id, open, poller) {
            self.closed(id, reason);
        }
        Ok(())
    }

    fn put_socket(&mut self, id: Id, open: OpenSocket, poller: &Poller) -> Result<(), CloseReason> {
        let options = Options::new(open.options, &Keys::default())?;
        let v4 = open.remotes.first().is_none_or(|remote| remote.addr().is_ipv4());
        let any: IpAddr =
            if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let mut local = options.source.unwrap_or(SocketAddr::new(any, 0));
        local.set_port(open.port);
        let own = (open.port == 0).then_some(id);
        let channel = ChannelKey { local, device: options.device.clone(), own };
        if !self.channels.contains_key(&channel) {
            let key = self.key(Source::Channel(channel.clone()));
            let opened = Channel::open(&channel, &options, key, poller);
            let opened = opened.inspect_err(|_| drop(self.sources.remove(&key)))?;
            self.channels.insert(channel.clone(), opened);
            self.look_again(boottime_us());
        }
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.send_for(id, &options)?;
        }
        let socket = self.channels.get(&channel).map(|channel| &channel.socket);
        let bound = socket.and_then(|socket| socket.local_addr().ok()?.as_socket());
        let remote = SocketAddr::new(any, 0);
        let opened = Opened { id: id.1, local: bound.unwrap_or(local), remote, credit: 0 };
        let (remotes, protocol) = (open.remotes, open.protocol);
        let (heard, heard_us) = (BTreeMap::new(), boottime_us());
        let entry = Datagrams { channel, remotes, protocol, options, heard, heard_us };
        self.sockets.insert(id, entry);
        self.news.push((id.0, Event::Opened(opened)));
        Ok(())
    }

    pub(super) fn close_socket(&mut self, id: Id) -> bool {
        let Some(gone) = self.sockets.remove(&id) else { return false };
        if !self.sockets.values().any(|socket| socket.channel == gone.channel)
            && let Some(channel) = self.channels.remove(&gone.channel)
        {
            self.sources.remove(&channel.key);
        }
        true
    }

    pub(super) fn send_datagram(
        &mut self,
        owner: Owner,
        sent: &SendDatagram,
    ) -> Result<(), EndpointError> {
        let socket = self.sockets.get(&(owner, sent.socket)).ok_or(EndpointError::Unknown)?;
        let channel = self.channels.get_mut(&socket.channel).ok_or(EndpointError::Unknown)?;
        // The options were already accepted when the socket was opened.
        let _ = channel.send_for((owner, sent.socket), &socket.options);
        // A datagram that the kernel has no room for is lost, as in any network. An error that an earlier datagram
        // caused (no listener at the remote) is reported by the next call and does not concern this one.
        let to = sent.remote.into();
        if channel.socket.send_to(&sent.data, &to).is_err() {
            let _ = channel.socket.send_to(&sent.data, &to);
        }
        Ok(())
    }

    /// Receives what is queued on a kernel socket, at most one batch.
    pub(super) fn receive(&mut self, key: &ChannelKey, sink: &dyn StreamSink) {
        const AT_ONCE: usize = 64;
        for _ in 0..AT_ONCE {
            let Some(channel) = self.channels.get(key) else { return };
            match sockets::receive(&channel.socket) {
                Ok(Some(packet)) => self.deliver(key, packet, sink),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An earlier datagram of ours came back as an error; reading clears it.
                Err(_) => {}
            }
        }
    }

    fn deliver(&mut self, key: &ChannelKey, packet: Packet, sink: &dyn StreamSink) {
        let remote = packet.remote.ip();
        let matching = self.sockets.iter().filter(|(_, socket)| socket.channel == *key);
        let lengths = matching.filter_map(|(id, socket)| Some((socket.longest(remote)?, *id)));
        let Some((_, id)) = lengths.max_by_key(|(length, _)| *length) else { return };
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        if packet.hop_limit < socket.options.min_hop_limit.unwrap_or(0) {
            return;
        }
        let is_new = socket.hear(&packet, boottime_us());
        if is_new && sink.has_room(id.0) {
            let Packet { remote, local, link, hop_limit, data } = packet;
            let datagram = Datagram { socket: id.1, remote, local, link, hop_limit, data };
            self.news.push((id.0, Event::Datagram(datagram)));
        } else if is_new {
            socket.forget(remote);
        }
    }
}

impl Channel {
    fn open(
        key: &ChannelKey,
        options: &Options,
        number: u64,
        poller: &Poller,
    ) -> Result<Self, CloseReason> {
        let io = |error: io::Error| reason(&error);
        let v4 = key.local.is_ipv4();
        let domain = Domain::for_address(key.local);
        let socket = Socket::new(domain, Type::DGRAM, Some(socket2::Protocol::UDP)).map_err(io)?;
        socket.set_nonblocking(true).map_err(io)?;
        if !v4 {
            socket.set_only_v6(true).map_err(io)?;
        }
        options.bind_device(&socket)?;
        // Allows one socket per device next to one for all devices, and one per address next to one for all addresses:
        // the kernel delivers to the most specific. Programs of other users cannot share the port.
        socket.set_reuse_port(true).map_err(io)?;
        sockets::want_packet_info(&socket, v4).map_err(io)?;
        socket.bind(&key.local.into()).map_err(io)?;
        poller.add(socket.as_fd(), number).map_err(io)?;
        let device = key.device.as_deref().map(Bound::to);
        Ok(Self { socket, key: number, device, sends_for: None })
    }

    /// Applies the options of the endpoint that sends now, since several endpoints with different options may share the
    /// socket. The minimum hop limit of received datagrams is checked for each of them separately.
    fn send_for(&mut self, id: Id, options: &Options) -> Result<(), CloseReason> {
        if self.sends_for != Some(id) {
            let v4 = self.socket.local_addr().is_ok_and(|local| local.is_ipv4());
            self.sends_for = None;
            options.apply_to_sent(&self.socket, v4)?;
            self.sends_for = Some(id);
        }
        Ok(())
    }
}
