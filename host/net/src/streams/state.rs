//! All open endpoints by owner and number, and the events that the thread has not yet reported.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use outrigger_sdk::{
    CloseReason, Closed, Connect, Endpoint, Event, IpNet, Opened, ResumedEndpoint,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::datagrams::{Channel, ChannelKey, Datagrams};
use super::listener::Listener;
use super::offload::Offload;
use super::options::{Keys, Options, reason};
use super::ports::{AcceptRateLimit, Port, PortKey};
use super::stream::{Phase, Stream};
use super::{EndpointError, StreamSink};
use crate::Owner;
use crate::sys::{Poller, boottime_us};

/// The owner of an endpoint or offload, and the number that the owner gave it.
pub(super) type Id = (Owner, Endpoint);

/// Largest number of endpoints of one owner; far more than a node has peers.
const MOST: usize = 4096;
/// Timeout of `connect` if the options set none, in milliseconds.
const CONNECT_TIMEOUT_MS: u32 = 10_000;
/// Time within which the last written data must be sent and the peer must close, in microseconds.
const LINGER_US: u64 = 2_000_000;

/// The object that a key of the poller stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Stream(Id),
    Port(PortKey),
    Channel(ChannelKey),
    Linger,
}

/// The action of a timer. A timer whose object has changed since does nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Offload(Id),
    /// Ends the stream with this key if it is still connecting.
    Connect(Id, u64),
    Linger(u64),
    /// Lets the stream give credit back again.
    Credit(Id),
    Devices,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) streams: BTreeMap<Id, Stream>,
    pub(super) listeners: BTreeMap<Id, Listener>,
    pub(super) ports: BTreeMap<PortKey, Port>,
    pub(super) doors: BTreeMap<IpAddr, AcceptRateLimit>,
    pub(super) sockets: BTreeMap<Id, Datagrams>,
    pub(super) channels: BTreeMap<ChannelKey, Channel>,
    pub(super) offloads: BTreeMap<Id, Offload>,
    pub(super) sources: BTreeMap<u64, Source>,
    pub(super) timers: BTreeSet<(u64, Timer)>,
    /// Streams that no owner uses any more, but that still have data to send or wait for the peer's FIN.
    pub(super) lingering: BTreeMap<u64, Stream>,
    /// Events in order, to be reported by the thread.
    pub(super) news: Vec<(Owner, Event)>,
    /// The time at which the thread ends at the latest. `None` if it is not stopping.
    pub(super) stopping: Option<u64>,
    last_key: u64,
    accepted: BTreeMap<Owner, Endpoint>,
}

impl State {
    pub(super) fn key(&mut self, source: Source) -> u64 {
        self.last_key += 1;
        self.sources.insert(self.last_key, source);
        self.last_key
    }

    /// Returns the number of the next accepted stream.
    pub(super) fn accepted_number(&mut self, owner: Owner) -> Endpoint {
        const FIRST: Endpoint = 0x8000_0000;
        let last = self.accepted.entry(owner).or_insert(FIRST);
        *last = last.checked_add(1).unwrap_or(FIRST + 1);
        *last
    }

    pub(super) fn due_sooner(&self) -> Option<u64> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Returns an error if a number cannot be given to a new endpoint or offload.
    pub(super) fn free(&self, id: Id) -> Result<(), EndpointError> {
        let used = self.streams.contains_key(&id)
            || self.listeners.contains_key(&id)
            || self.sockets.contains_key(&id)
            || self.offloads.contains_key(&id);
        let all = (id.0, 0)..=(id.0, Endpoint::MAX);
        let count = self.streams.range(all.clone()).count()
            + self.listeners.range(all.clone()).count()
            + self.sockets.range(all).count();
        match (used, count >= MOST) {
            (true, _) => Err(EndpointError::InUse),
            (_, true) => Err(EndpointError::TooMany),
            _ => Ok(()),
        }
    }

    pub(super) fn connect(
        &mut self,
        owner: Owner,
        connect: Connect,
        keys: &Keys,
        poller: &Poller,
    ) -> Result<(), EndpointError> {
        let id = (owner, connect.id);
        self.free(id)?;
        match self.dial(id, connect, keys) {
            Ok(()) => self.streams.get_mut(&id).into_iter().for_each(|it| it.watch(poller)),
            Err(reason) => self.closed(id, reason),
        }
        Ok(())
    }

    fn dial(&mut self, id: Id, connect: Connect, keys: &Keys) -> Result<(), CloseReason> {
        let (remote, now) = (connect.remote, boottime_us());
        let options = Options::new(connect.options, keys)?;
        let timeout_ms = options.connect_timeout_ms.unwrap_or(CONNECT_TIMEOUT_MS);
        let socket = dialing(remote, &options)?;
        let key = self.key(Source::Stream(id));
        let local = match remote {
            SocketAddr::V4(_) => SocketAddr::from(([0; 4], 0)),
            SocketAddr::V6(_) => SocketAddr::from(([0_u16; 8], 0)),
        };
        let stream = Stream::new(socket, key, &connect.protocol, (local, remote), now);
        self.streams.insert(id, stream);
        let due = now + u64::from(timeout_ms) * 1_000;
        self.timers.insert((due, Timer::Connect(id, key)));
        Ok(())
    }

    /// Writes to a stream with the given function: on the plugin's credit, or on the host's own behalf.
    pub(super) fn write(
        &mut self,
        owner: Owner,
        number: Endpoint,
        poller: &Poller,
        write: impl FnOnce(&mut Stream, u64) -> Result<(), CloseReason>,
    ) -> Result<(), EndpointError> {
        let id = (owner, number);
        let stream = self.streams.get_mut(&id).ok_or(EndpointError::Unknown)?;
        match write(stream, boottime_us()) {
            Ok(()) => self.wrote(id, poller),
            Err(reason) => self.lose(id, reason),
        }
        Ok(())
    }

    pub(super) fn hold(&mut self, id: Id, until_us: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.held_until_us < until_us {
            self.timers.remove(&(stream.held_until_us, Timer::Credit(id)));
            stream.held_until_us = until_us;
            self.timers.insert((until_us, Timer::Credit(id)));
        }
    }

    /// Gives credit back after a write, and has the poller report when unsent data can be written.
    pub(super) fn wrote(&mut self, id: Id, poller: &Poller) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if let Some(credit) = stream.take_credit(boottime_us()) {
            self.news.push((id.0, Event::Credit(id.1, credit)));
        }
        stream.watch(poller);
    }

    pub(super) fn close(&mut self, owner: Owner, number: Endpoint, poller: &Poller) -> bool {
        let id = (owner, number);
        if let Some(stream) = self.streams.remove(&id) {
            self.linger(stream, poller);
            self.ended_with(id);
            self.closed(id, CloseReason::Local);
            return true;
        }
        self.end_other(id)
    }

    pub(super) fn abort(&mut self, owner: Owner, number: Endpoint) -> bool {
        let id = (owner, number);
        if self.streams.contains_key(&id) {
            self.lose(id, CloseReason::Local);
            return true;
        }
        self.end_other(id)
    }

    fn end_other(&mut self, id: Id) -> bool {
        if self.offloads.remove(&id).is_some() {
            return true;
        }
        let gone = self.close_listener(id) || self.close_socket(id);
        if gone {
            self.ended_with(id);
            self.closed(id, CloseReason::Local);
        }
        gone
    }

    /// Ends a stream, with RST unless the peer closed it.
    pub(super) fn lose(&mut self, id: Id, reason: CloseReason) {
        let Some(stream) = self.streams.remove(&id) else { return };
        self.sources.remove(&stream.key);
        if reason != CloseReason::Remote {
            // With a linger time of zero, closing sends RST.
            let _ = stream.socket.set_linger(Some(std::time::Duration::ZERO));
        }
        self.ended_with(id);
        self.closed(id, reason);
    }

    /// Ends the offloads of an endpoint, which is reported before the end of the endpoint itself.
    pub(super) fn ended_with(&mut self, (owner, endpoint): Id) {
        let uses = |(id, offload): (&Id, &Offload)| {
            (id.0 == owner && offload.endpoint == endpoint).then_some(*id)
        };
        for id in self.offloads.iter().filter_map(uses).collect::<Vec<_>>() {
            self.offloads.remove(&id);
            self.news.push((owner, Event::Ended(id.1)));
        }
    }

    pub(super) fn closed(&mut self, (owner, id): Id, reason: CloseReason) {
        self.news.push((owner, Event::Closed(Closed { id, reason })));
    }

    /// Sends what is queued, then FIN, and reads until the peer closes: closing with octets unread would send RST,
    /// which may overtake the last data.
    fn linger(&mut self, mut stream: Stream, poller: &Poller) {
        let gone = stream.phase == Phase::Connecting || stream.flush().is_err();
        if gone {
            self.sources.remove(&stream.key);
            return;
        }
        if !stream.has_unsent() {
            let _ = stream.socket.shutdown(std::net::Shutdown::Write);
        }
        stream.paused = false;
        stream.watch(poller);
        let key = stream.key;
        self.sources.insert(key, Source::Linger);
        self.timers.insert((boottime_us() + LINGER_US, Timer::Linger(key)));
        self.lingering.insert(key, stream);
    }

    pub(super) fn resume(&mut self, owner: Owner, poller: &Poller) {
        for (_, stream) in self.streams.range_mut((owner, 0)..=(owner, Endpoint::MAX)) {
            if std::mem::take(&mut stream.paused) {
                stream.watch(poller);
            }
        }
    }

    pub(super) fn open(&self, owner: Owner) -> Vec<ResumedEndpoint> {
        let all = (owner, 0)..=(owner, Endpoint::MAX);
        let streams = self.streams.range(all.clone());
        let open = streams.filter(|(_, stream)| stream.phase == Phase::Open);
        let open = open.map(|((_, id), stream)| (stream.opened(*id), false));
        let nobody = |v4| match v4 {
            true => SocketAddr::from(([0; 4], 0)),
            false => SocketAddr::from(([0_u16; 8], 0)),
        };
        let still = |id, v4, port| {
            let remote = nobody(v4);
            let mut local = remote;
            local.set_port(port);
            Opened { id, local, remote, credit: 0 }
        };
        let listeners = self.listeners.range(all.clone()).map(|((_, id), listener)| {
            let key = &listener.port;
            (still(*id, key.v4, key.port), true)
        });
        let sockets = self.sockets.range(all).map(|((_, id), socket)| {
            let local = socket.channel.local;
            (still(*id, local.is_ipv4(), local.port()), false)
        });
        open.chain(listeners)
            .chain(sockets)
            .map(|(opened, listener)| ResumedEndpoint { opened, listener })
            .collect()
    }

    pub(super) fn offloads_of(&self, owner: Owner) -> Vec<Endpoint> {
        self.offloads.range((owner, 0)..=(owner, Endpoint::MAX)).map(|((_, id), _)| *id).collect()
    }

    pub(super) fn end_owner(&mut self, owner: Owner, poller: &Poller) -> Vec<Endpoint> {
        let all = (owner, 0)..=(owner, Endpoint::MAX);
        let offloads = self.offloads_of(owner);
        let keys = self.streams.range(all.clone()).map(|(id, _)| id.1);
        let keys = keys.chain(self.listeners.range(all.clone()).map(|(id, _)| id.1));
        let endpoints: Vec<_> = keys.chain(self.sockets.range(all).map(|(id, _)| id.1)).collect();
        for number in offloads.iter().chain(&endpoints) {
            self.close(owner, *number, poller);
        }
        // Numbering starts again: no stream of this owner is left.
        self.accepted.remove(&owner);
        [offloads, endpoints].concat()
    }

    /// Returns true if the owner accepts more data; if not, pauses the stream until it does.
    pub(super) fn may_read(&mut self, id: Id, sink: &dyn StreamSink) -> bool {
        let room = sink.has_room(id.0);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.paused = !room;
        }
        room
    }
}

/// Opens a socket and starts to connect it to a peer.
fn dialing(remote: SocketAddr, options: &Options) -> Result<Socket, CloseReason> {
    let io = |error: std::io::Error| reason(&error);
    let v4 = remote.is_ipv4();
    let socket =
        Socket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP)).map_err(io)?;
    socket.set_nonblocking(true).map_err(io)?;
    socket.set_tcp_nodelay(true).map_err(io)?;
    options.bind_device(&socket)?;
    options.apply(&socket, v4)?;
    options.sign(&socket, IpNet::from(remote.ip()))?;
    if let Some(source) = options.source {
        // A source port may still be in use by a stream that has just ended.
        socket.set_reuse_address(true).map_err(io)?;
        socket.bind(&source.into()).map_err(io)?;
    }
    match socket.connect(&remote.into()) {
        Ok(()) => Ok(socket),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket),
        Err(error) => Err(io(error)),
    }
}
