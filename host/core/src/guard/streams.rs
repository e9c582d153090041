//! Streams, listeners and sockets: the peers and protocols that an instance may use. Keeps the record of open
//! endpoints, which the host updates by calling [`Guard::hear`].
use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use outrigger_sdk::wire::bfd;
use outrigger_sdk::wire::bgp::{self, ErrorCode, Notification};
use outrigger_sdk::{
    Connect, DatagramBeacon, Endpoint, Event, Listen, OffloadWork, OpenSocket, Protocol,
    SendDatagram, SocketOption, StreamBytes,
};

use super::budget::ENDPOINTS;
use super::grant::Grant;
use super::session::{Filtered, RoutePolicy, Session, UPDATE};
use super::{Granted, Guard, HOST_ENDPOINTS, Reason, Refusal};

mod endpoints;
mod policy;

use endpoints::Open;
pub use endpoints::{Ended, OpenEndpoints, Withdrawal};
use policy::CurrentPolicy;

/// Destination ports of BFD, single hop (RFC 5881 section 4) and multihop (RFC 5883 section 5).
const BFD_PORTS: [u16; 2] = [3784, 4784];
/// Source ports of BFD (RFC 5881 section 4).
const BFD_SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;
/// Fastest common BFD interval (RFC 7419).
const MIN_BFD_INTERVAL_US: u32 = 3_300;
/// Shortest allowed keepalive interval: a third of the shortest possible hold time (RFC 4271 section 4.2), less a
/// margin.
const MIN_KEEPALIVE_MS: u32 = 200;
/// Time that a plugin has to withdraw a prefix that is no longer desired.
const PATIENCE_US: u64 = 200_000;
/// Maximum number of refusals reported for one write; further ones are only counted.
const REFUSALS_TOLD: usize = 50;

impl Guard {
    /// Applies the owner's grant. Returns what this ends: every endpoint with a peer that is no longer allowed.
    pub fn allow(&mut self, grant: Grant) -> Ended {
        if self.grant == grant {
            return Ended::default();
        }
        let before = std::mem::replace(&mut self.grant, grant);
        self.endpoints.doubt_all();
        let Self { grant, endpoints, .. } = self;
        let foreign = |open: &Open| !open.peers().iter().all(|peers| grant.has_peers(peers));
        let hides = before.has_link_local_peers() && !grant.has_link_local_peers();
        let why = Notification::new(ErrorCode::PEER_DECONFIGURED);
        Ended { hides, ..endpoints.end(foreign, &why) }
    }

    /// Ends all open endpoints, because no instance speaks for the announcer any more.
    pub fn end_all(&mut self) -> Ended {
        let why = Notification::with_communication(
            ErrorCode::ADMINISTRATIVE_SHUTDOWN,
            "the announcer has failed",
        );
        self.endpoints.end(|_| true, &why)
    }

    /// Applies an event about an endpoint, before it is sent to the instance. Returns true if messages of that stream
    /// may be longer than 4096 octets from now on (RFC 8654).
    pub fn hear(&mut self, event: &Event) -> bool {
        let open = &mut self.endpoints.open;
        match event {
            Event::Opened(opened) => {
                if let Some(Open::Stream(session)) = open.get_mut(&opened.id) {
                    session.local = Some(opened.local.ip());
                }
            }
            Event::Accepted(accepted) => {
                let opened = &accepted.opened;
                let session = Session::new(opened.remote, Some(opened.local.ip()));
                open.insert(opened.id, Open::Stream(session));
            }
            Event::Data(bytes) => {
                if let Some(Open::Stream(session)) = open.get_mut(&bytes.id) {
                    session.hear(&bytes.data);
                    return session.is_extended();
                }
            }
            Event::Closed(closed) => {
                open.remove(&closed.id);
                self.offloads.end_endpoint(closed.id);
            }
            Event::Ended(id) => self.offloads.end(*id),
            Event::Expired(id) => self.offloads.end(*id),
            _ => {}
        }
        false
    }

    /// Returns the prefixes announced to each peer, by stream.
    pub fn told(&self) -> impl Iterator<Item = (Endpoint, IpAddr, Vec<IpNet>)> {
        let sessions = self.endpoints.sessions();
        sessions.map(|(id, session)| (id, session.remote.ip(), session.told().copied().collect()))
    }

    /// Returns the open endpoints with the prefixes announced on them, for [`Guard::undo`] and [`Guard::taken_back`].
    pub fn endpoints(&self) -> &OpenEndpoints {
        &self.endpoints
    }

    /// Restores an earlier state of the endpoints, because the effects granted since then are not carried out.
    pub fn undo(&mut self, before: OpenEndpoints) {
        self.endpoints = before;
    }

    /// Considers the routes in `before` that may still be announced. Returns their number, and those that a peer would
    /// no longer have if the streams in `closed` were closed. A session that its peer has ended is not counted.
    pub fn taken_back(
        &self,
        before: &OpenEndpoints,
        closed: &BTreeSet<Endpoint>,
    ) -> (u32, Vec<IpNet>) {
        let Self { grant, desired, links, endpoints, .. } = self;
        let leave = CurrentPolicy { grant, desired, links };
        let (mut count, mut taken_back) = (0, Vec::new());
        for (id, earlier) in before.sessions() {
            let Some(Open::Stream(session)) = endpoints.open.get(&id) else { continue };
            let still: BTreeSet<_> = match closed.contains(&id) {
                true => BTreeSet::new(),
                false => session.told().collect(),
            };
            for prefix in earlier.told().filter(|prefix| leave.prefix(prefix).is_ok()) {
                count += 1;
                taken_back.extend((!still.contains(prefix)).then_some(*prefix));
            }
        }
        (count, taken_back)
    }

    /// Withdraws announced prefixes that are no longer allowed and that the plugin has not withdrawn in time, whether
    /// it runs or not. Also returns the time of the next withdrawal; `None` if there is none. Must be called after each
    /// change of the desired addresses.
    pub fn overdue(&mut self, now_us: u64) -> (Vec<Withdrawal>, Option<u64>) {
        self.withdraw(now_us, now_us + PATIENCE_US)
    }

    /// Withdraws the same prefixes without waiting for the plugin, because the instance ends.
    pub fn withdraw_now(&mut self, now_us: u64) -> Vec<Withdrawal> {
        self.endpoints.doubt_all();
        self.withdraw(now_us, now_us).0
    }

    fn withdraw(&mut self, now_us: u64, due: u64) -> (Vec<Withdrawal>, Option<u64>) {
        let Self { grant, desired, links, endpoints, .. } = self;
        let leave = CurrentPolicy { grant, desired, links };
        let doubted = std::mem::take(&mut endpoints.doubted);
        let all = std::mem::take(&mut endpoints.all_doubted);
        let (mut withdrawals, mut next) = (Vec::new(), None);
        for (stream, open) in &mut endpoints.open {
            let Open::Stream(session) = open else { continue };
            doubted.iter().for_each(|address| session.doubt(*address, &leave, due));
            if all {
                session.doubt_all(&leave, due);
            }
            let (messages, prefixes) = session.withdraw(now_us, &leave);
            if !prefixes.is_empty() {
                withdrawals.push(Withdrawal { stream: *stream, messages, prefixes });
            }
            next = session.due().into_iter().chain(next).min();
        }
        (withdrawals, next)
    }

    pub(super) fn connect(&mut self, connect: Connect) -> Result<Vec<Granted>, Reason> {
        self.number(connect.id)?;
        self.protocol(&connect.protocol, &Protocol::Bgp)?;
        let remote = connect.remote.ip();
        self.options(&connect.options, &IpNet::from(remote))?;
        if !self.grant.has_peer(remote) {
            return Err(Reason::PeerNotGranted);
        }
        let session = Session::new(connect.remote, None);
        self.endpoints.open.insert(connect.id, Open::Stream(session));
        Ok(vec![Granted::Connect(connect)])
    }

    pub(super) fn listen(&mut self, listen: Listen) -> Result<Vec<Granted>, Reason> {
        self.number(listen.id)?;
        self.protocol(&listen.protocol, &Protocol::Bgp)?;
        self.options(&listen.options, &listen.remote)?;
        if !self.grant.has_peers(&listen.remote) {
            return Err(Reason::PeerNotGranted);
        }
        self.endpoints.open.insert(listen.id, Open::Listener(listen.remote));
        Ok(vec![Granted::Listen(listen)])
    }

    pub(super) fn open_socket(&mut self, open: OpenSocket) -> Result<Vec<Granted>, Reason> {
        self.number(open.id)?;
        self.protocol(&open.protocol, &Protocol::Bfd)?;
        if !BFD_PORTS.contains(&open.port)
            && !BFD_SOURCE_PORTS.contains(&open.port)
            && open.port != 0
        {
            return Err(Reason::PortNotGranted);
        }
        // A socket without named peers could communicate with any.
        if open.remotes.is_empty() {
            return Err(Reason::PeerNotGranted);
        }
        for remote in &open.remotes {
            self.options(&open.options, remote)?;
            if !self.grant.has_peers(remote) {
                return Err(Reason::PeerNotGranted);
            }
        }
        self.endpoints.open.insert(open.id, Open::Socket(open.remotes.clone()));
        Ok(vec![Granted::OpenSocket(open)])
    }

    pub(super) fn write(
        &mut self,
        now_us: u64,
        StreamBytes { id, data }: StreamBytes,
    ) -> Result<Vec<Granted>, Reason> {
        let Self { grant, desired, links, endpoints, .. } = self;
        let Some(Open::Stream(session)) = endpoints.open.get_mut(&id) else {
            return Err(Reason::NoSuchEndpoint);
        };
        // The stream may have been opened just before the owner removed the peer.
        if !grant.has_peer(session.remote.ip()) {
            return Err(Reason::PeerNotGranted);
        }
        let is_within = match data.get(bgp::HEADER - 1) {
            // Withdrawing announced routes never exceeds the budget.
            Some(&UPDATE) => {
                session.updates.spend(now_us, desired.len()) || session.only_takes_back(&data)
            }
            _ => session.control.spend(now_us, 0),
        };
        if !is_within {
            return Err(Reason::ChurnLimit);
        }
        let leave = CurrentPolicy { grant, desired, links };
        let Filtered { messages, refused, capability, routes } = session.judge(data, &leave)?;
        // Routes beyond the budget are sent, but later writes wait. Nothing is lost, and no other stream pays for it.
        let hold = session.routes.owe(now_us, routes, desired.len());
        let write = |data| Granted::Write(StreamBytes { id, data });
        let mut granted: Vec<_> = messages.into_iter().map(write).collect();
        granted.extend(hold.map(|until_us| Granted::Hold(id, until_us)));
        if let Some(capability) = capability {
            let reason = Reason::CapabilityNotAllowed;
            *self.denied.entry(reason).or_default() += 1;
            let subject = format!("{id} {capability}");
            granted.push(Granted::Refused(Refusal { effect: "write", subject, reason }));
        }
        for (index, (prefix, reason)) in refused.into_iter().enumerate() {
            *self.denied.entry(reason).or_default() += 1;
            if index < REFUSALS_TOLD {
                let subject = format!("{id} {prefix}");
                granted.push(Granted::Refused(Refusal { effect: "write", subject, reason }));
            }
        }
        Ok(granted)
    }

    pub(super) fn send_datagram(&self, sent: &SendDatagram) -> Result<(), Reason> {
        if !matches!(self.endpoints.open.get(&sent.socket), Some(Open::Socket(_))) {
            return Err(Reason::NoSuchEndpoint);
        }
        if !self.grant.has_peer(sent.remote.ip()) {
            return Err(Reason::PeerNotGranted);
        }
        if !BFD_PORTS.contains(&sent.remote.port()) {
            return Err(Reason::PortNotGranted);
        }
        bfd::ControlPacket::decode(&sent.data).map(drop).map_err(|_| Reason::NotWellFormed)
    }

    /// Judges an offload on an endpoint.
    pub(super) fn work(&self, id: Endpoint, work: OffloadWork) -> Result<Granted, Reason> {
        match &work {
            OffloadWork::DatagramBeacon(DatagramBeacon { datagram, interval_us, .. }) => {
                self.send_datagram(datagram)?;
                if *interval_us < MIN_BFD_INTERVAL_US {
                    return Err(Reason::BeaconTooFast);
                }
            }
            OffloadWork::Keepalive { endpoint, data, interval_ms } => {
                self.known(*endpoint)?;
                if *data != bgp::keepalive() {
                    return Err(Reason::NotWellFormed);
                }
                if *interval_ms < MIN_KEEPALIVE_MS {
                    return Err(Reason::BeaconTooFast);
                }
            }
            OffloadWork::Expect { endpoint, .. } => self.known(*endpoint)?,
            OffloadWork::AnswerNeighbor { .. } | OffloadWork::Beacon(_) => {
                return Err(Reason::Unsupported);
            }
        }
        Ok(Granted::Work { id, work })
    }

    fn known(&self, endpoint: Endpoint) -> Result<(), Reason> {
        self.endpoints.open.get(&endpoint).map(drop).ok_or(Reason::NoSuchEndpoint)
    }

    /// Removes an endpoint that was granted but that the host could not open.
    pub fn not_opened(&mut self, id: Endpoint) {
        self.endpoints.open.remove(&id);
    }

    fn number(&self, id: Endpoint) -> Result<(), Reason> {
        match (id >= HOST_ENDPOINTS, self.endpoints.open.contains_key(&id)) {
            (true, _) => Err(Reason::NumberReserved),
            (_, true) => Err(Reason::NumberInUse),
            _ if self.endpoints.open.len() >= ENDPOINTS => Err(Reason::TooManyEndpoints),
            _ => Ok(()),
        }
    }

    fn protocol(&self, protocol: &Protocol, wanted: &Protocol) -> Result<(), Reason> {
        if protocol == wanted { Ok(()) } else { Err(Reason::ProtocolNotGranted) }
    }

    fn options(&self, options: &[SocketOption], peers: &IpNet) -> Result<(), Reason> {
        for option in options {
            match option {
                SocketOption::Device(name) if !self.grant.has_device(name) => {
                    return Err(Reason::LinkNotGranted);
                }
                SocketOption::TcpMd5(secret) if !self.grant.has_secret(&secret.name, peers) => {
                    return Err(Reason::SecretNotGranted);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
