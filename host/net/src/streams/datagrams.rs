//! UDP sockets. Several of one port share one kernel socket; whose a datagram is goes by its remote address, the longest
//! prefix first. A BFD peer repeats itself: what it says again counts as a sign of life and is not delivered again.
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use outrigger_sdk::wire::bfd::ControlPacket;
use outrigger_sdk::{
    CloseReason, Datagram, Event, IpNet, OpenSocket, Opened, SendDatagram, Speech,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::devices::Bound;
use super::options::{Keys, Options, reason};
use super::state::{Id, Source, State};
use super::{EndpointError, StreamSink};
use crate::Owner;
use crate::sys::sockets::{self, Packet};
use crate::sys::{Poller, boottime_us};

/// Said again after so long all the same, in case a plugin had no room when it was said first.
const SAY_AGAIN_US: u64 = 5_000_000;
/// Remotes whose last words are remembered, per socket.
const REMEMBERED: usize = 4096;

/// One kernel socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChannelKey {
    /// Port 0: the endpoint's own.
    pub(super) local: SocketAddr,
    device: Option<String>,
    own: Option<Id>,
}

pub(super) struct Channel {
    socket: Socket,
    key: u64,
    pub(super) device: Option<Bound>,
    /// The endpoint whose options are in force for what leaves.
    sends_for: Option<Id>,
}

/// What an owner calls a socket.
pub(super) struct Datagrams {
    pub(super) channel: ChannelKey,
    remotes: Vec<IpNet>,
    speech: Speech,
    options: Options,
    heard: BTreeMap<IpAddr, Heard>,
    /// From anybody.
    pub(super) heard_us: u64,
}

struct Heard {
    at_us: u64,
    told_us: u64,
    said: (u8, Vec<u8>),
}

impl Datagrams {
    fn longest(&self, remote: IpAddr) -> Option<u8> {
        let matching = self.remotes.iter().filter(|prefix| prefix.contains(&remote));
        matching.map(IpNet::prefix_len).max()
    }

    /// When something came last; from everybody if `remote` is unspecified.
    pub(super) fn heard_us(&self, remote: IpAddr) -> u64 {
        match remote.is_unspecified() {
            true => self.heard_us,
            false => self.heard.get(&remote).map_or(0, |heard| heard.at_us),
        }
    }

    /// What comes next from there is news, whatever it says.
    pub(super) fn forget(&mut self, remote: IpAddr) {
        match remote.is_unspecified() {
            true => self.heard.values_mut().for_each(|heard| heard.told_us = 0),
            false => self.heard.get_mut(&remote).into_iter().for_each(|heard| heard.told_us = 0),
        }
    }

    /// Notes a sign of life; whether it is to be delivered. What is no BFD packet is none (RFC 5880 section 6.8.6), and one
    /// with the Poll bit wants an answer each time.
    fn hear(&mut self, packet: &Packet, now: u64) -> bool {
        let remote = packet.remote.ip();
        if self.speech != Speech::Bfd {
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
            self.heard.insert(remote, Heard { at_us: now, told_us: now, said });
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
        let (remotes, speech) = (open.remotes, open.protocol);
        let (heard, heard_us) = (BTreeMap::new(), boottime_us());
        let entry = Datagrams { channel, remotes, speech, options, heard, heard_us };
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
        // They took when it was opened.
        let _ = channel.send_for((owner, sent.socket), &socket.options);
        // As networks do: one that the kernel has no room for is lost. An error that an earlier datagram caused (nobody
        // listens there) is told by the next call and says nothing of this one.
        let to = sent.remote.into();
        if channel.socket.send_to(&sent.data, &to).is_err() {
            let _ = channel.socket.send_to(&sent.data, &to);
        }
        Ok(())
    }

    /// Takes what waits on a kernel socket, a batch at most.
    pub(super) fn receive(&mut self, key: &ChannelKey, sink: &dyn StreamSink) {
        const AT_ONCE: usize = 64;
        for _ in 0..AT_ONCE {
            let Some(channel) = self.channels.get(key) else { return };
            match sockets::receive(&channel.socket) {
                Ok(Some(packet)) => self.deliver(key, packet, sink),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An earlier datagram of ours came back as an error: reading takes it off.
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
        let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)).map_err(io)?;
        socket.set_nonblocking(true).map_err(io)?;
        if !v4 {
            socket.set_only_v6(true).map_err(io)?;
        }
        options.bind_device(&socket)?;
        // For one device beside all others, and for one address beside all others: the kernel gives each what is closest. No other
        // user's program can share it.
        socket.set_reuse_port(true).map_err(io)?;
        sockets::want_packet_info(&socket, v4).map_err(io)?;
        socket.bind(&key.local.into()).map_err(io)?;
        poller.add(socket.as_fd(), number).map_err(io)?;
        let device = key.device.as_deref().map(Bound::to);
        Ok(Self { socket, key: number, device, sends_for: None })
    }

    /// Several endpoints may share it, each with options of its own: those of whoever sends now are put in force. How near a datagram
    /// must come from is looked at one by one.
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
