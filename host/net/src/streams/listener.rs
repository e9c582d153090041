//! Listeners: the peers that an owner accepts on a port. Several listeners share one socket; the remote address decides
//! which listener a new stream belongs to, the longest prefix first.
use std::net::{IpAddr, SocketAddr};

use outrigger_sdk::{Accepted, CloseReason, Event, IpNet, Listen, Protocol};
use socket2::Socket;

use super::EndpointError;
use super::options::{Keys, Options};
use super::ports::{Port, PortKey};
use super::state::{Id, Source, State};
use super::stream::{Phase, Stream};
use crate::Owner;
use crate::sys::{Poller, boottime_us, sockets};

/// Number of streams that one address may have open with one owner: two that collide (RFC 4271 section 6.8), and two
/// more while the first are being closed.
const STREAMS_PER_REMOTE: usize = 4;

pub(super) struct Listener {
    pub(super) port: PortKey,
    pub(super) remote: IpNet,
    pub(super) protocol: Protocol,
    pub(super) options: Options,
}

impl Listener {
    fn is_for(&self, local: IpAddr, remote: SocketAddr) -> bool {
        let on_link = match (remote, &self.options.device) {
            (SocketAddr::V6(remote), Some(device)) if remote.scope_id() != 0 => {
                sockets::link_index(device) == Some(remote.scope_id())
            }
            _ => true,
        };
        on_link && self.remote.contains(&remote.ip()) && self.options.suits(local)
    }
}

impl State {
    pub(super) fn listen(
        &mut self,
        owner: Owner,
        listen: Listen,
        keys: &Keys,
        poller: &Poller,
    ) -> Result<(), EndpointError> {
        let id = (owner, listen.id);
        self.free(id)?;
        if let Err(reason) = self.put_listener(id, listen, keys, poller) {
            self.drop_unused_ports();
            self.closed(id, reason);
        }
        Ok(())
    }

    fn put_listener(
        &mut self,
        id: Id,
        listen: Listen,
        keys: &Keys,
        poller: &Poller,
    ) -> Result<(), CloseReason> {
        let options = Options::new(listen.options, keys)?;
        let v4 = listen.remote.addr().is_ipv4();
        let vrf = options.vrf(listen.remote)?.map(str::to_owned);
        let port = PortKey { v4, port: listen.port, vrf };
        let same = |other: &Listener| {
            other.port == port
                && other.remote == listen.remote
                && other.options.device == options.device
        };
        if self.listeners.values().any(same) {
            let words = format!("{} port {} already has a listener", listen.remote, listen.port);
            return Err(CloseReason::Other(words));
        }
        if !self.ports.contains_key(&port) {
            let key = self.key(Source::Port(port.clone()));
            let opened = Port::open(&port, key, poller)?;
            self.ports.insert(port.clone(), opened);
            self.look_again(boottime_us());
        }
        let (protocol, remote) = (listen.protocol, listen.remote);
        self.listeners.insert(id, Listener { port: port.clone(), remote, protocol, options });
        self.adjust(&port).inspect_err(|_| drop(self.listeners.remove(&id)))?;
        let signed = match (self.ports.get(&port), self.listeners.get(&id)) {
            (Some(port), Some(listener)) => listener.options.sign(&port.socket, remote),
            _ => Ok(()),
        };
        signed.inspect_err(|_| drop(self.listeners.remove(&id)))
    }

    pub(super) fn close_listener(&mut self, id: Id) -> bool {
        let Some(gone) = self.listeners.remove(&id) else { return false };
        if let Some(port) = self.ports.get(&gone.port)
            && gone.options.md5.is_some()
        {
            let _ = sockets::set_md5(&port.socket, gone.remote, &[]);
        }
        self.drop_unused_ports();
        let _ = self.adjust(&gone.port);
        true
    }

    fn drop_unused_ports(&mut self) {
        let Self { ports, listeners, sources, .. } = self;
        ports.retain(|key, port| {
            let used = listeners.values().any(|listener| listener.port == *key);
            if !used {
                sources.remove(&port.key);
            }
            used
        });
    }

    /// Applies the listeners' options to the shared socket. The listening socket sends the first answer to a peer, so
    /// its hop limit must satisfy the strictest listener.
    fn adjust(&mut self, key: &PortKey) -> Result<(), CloseReason> {
        let Some(port) = self.ports.get(key) else { return Ok(()) };
        let of_port = || self.listeners.values().filter(|listener| listener.port == *key);
        let options = Options {
            hop_limit: of_port().filter_map(|it| it.options.hop_limit).max(),
            min_hop_limit: of_port().map(|it| it.options.min_hop_limit.unwrap_or(0)).min(),
            dscp: of_port().filter_map(|it| it.options.dscp).max(),
            ..Options::default()
        };
        options.apply(&port.socket, key.v4)
    }

    /// Accepts the connections that are pending on a port, a few at a time.
    pub(super) fn accept(&mut self, key: &PortKey, poller: &Poller) {
        const AT_ONCE: usize = 16;
        for _ in 0..AT_ONCE {
            let Some(port) = self.ports.get(key) else { return };
            let Ok((socket, remote)) = port.socket.accept() else { return };
            let local = socket.local_addr().ok().and_then(|local| local.as_socket());
            let Some((local, remote)) = local.zip(remote.as_socket()) else { continue };
            if self.admit(key, &socket, local, remote) {
                self.accepted(key, socket, local, remote, poller);
            } else {
                let _ = socket.set_linger(Some(std::time::Duration::ZERO));
            }
        }
    }

    fn admit(
        &mut self,
        key: &PortKey,
        socket: &Socket,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> bool {
        let now = boottime_us();
        let Some(id) = self.whose(key, local, remote) else {
            tracing::debug!(%remote, port = key.port, "no listener accepts this peer; connection refused");
            return false;
        };
        if !self.knock(remote.ip(), now) {
            tracing::debug!(%remote, port = key.port, "the peer connects too often; connection refused");
            return false;
        }
        let all = (id.0, 0)..=(id.0, u32::MAX);
        let of_remote =
            self.streams.range(all).filter(|(_, stream)| stream.remote.ip() == remote.ip()).count();
        let Some(listener) = self.listeners.get(&id) else { return false };
        of_remote < STREAMS_PER_REMOTE
            && socket.set_nonblocking(true).is_ok()
            && socket.set_tcp_nodelay(true).is_ok()
            && listener.options.apply(socket, key.v4).is_ok()
    }

    fn whose(&self, key: &PortKey, local: SocketAddr, remote: SocketAddr) -> Option<Id> {
        let suits = |(_, listener): &(&Id, &Listener)| {
            listener.port == *key && listener.is_for(local.ip(), remote)
        };
        let best = |(_, listener): &(&Id, &Listener)| listener.remote.prefix_len();
        self.listeners.iter().filter(suits).max_by_key(best).map(|(id, _)| *id)
    }

    fn accepted(
        &mut self,
        key: &PortKey,
        socket: Socket,
        local: SocketAddr,
        remote: SocketAddr,
        poller: &Poller,
    ) {
        let Some((owner, listener)) = self.whose(key, local, remote) else { return };
        let id = (owner, self.accepted_number(owner));
        let stream_key = self.key(Source::Stream(id));
        let Some(entry) = self.listeners.get(&(owner, listener)) else { return };
        let now = boottime_us();
        let mut stream = Stream::new(socket, stream_key, &entry.protocol, (local, remote), now);
        stream.phase = Phase::Open;
        stream.watch(poller);
        let opened = stream.opened(id.1);
        self.news.push((owner, Event::Accepted(Accepted { listener, opened })));
        self.streams.insert(id, stream);
    }
}
