//! Two sessions, each with a host that does what `host/net` does for it: beacons, Detection Times, and the filter of
//! packets without new content. One virtual clock, and a wire with latency and loss.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use outrigger_sdk::wire::bfd::{ControlPacket, State};
use outrigger_sdk::{Datagram, DatagramBeacon, Effect, Endpoint, OffloadWork, OpenSocket};

use super::super::{BfdMode, Change, Ignored, Numbers, Session, Settings};

/// Latency in one direction.
const DELAY_US: u64 = 200;

pub(super) const NUMBERS: Numbers = Numbers { transmit: 10, receive: 11, beacon: 12, expect: 13 };

pub(super) fn settings(peer: &str, interval_us: u32, multiplier: u8) -> Settings {
    Settings {
        peer: SocketAddr::new(peer.parse().expect("an address"), 0),
        source: None,
        device: None,
        reach: BfdMode::SingleHop,
        transmit_us: interval_us,
        receive_us: interval_us,
        multiplier,
        passive: false,
    }
}

/// A session and its host.
pub(super) struct Node {
    pub(super) session: Session,
    pub(super) sockets: BTreeMap<Endpoint, OpenSocket>,
    pub(super) changes: Vec<(u64, Change)>,
    pub(super) ignored: Vec<Ignored>,
    /// Number of events that reached the session.
    pub(super) events: usize,
    /// Sent packets, each with its time.
    pub(super) sent: Vec<(u64, ControlPacket)>,
    beacon: Option<(DatagramBeacon, u64)>,
    /// The Detection Time, and the time at which it expires.
    expect: Option<(u32, u64)>,
    last: Option<Vec<u8>>,
    /// Packets on the wire, each with its time of arrival.
    pub(super) outbox: Vec<(u64, Vec<u8>)>,
}

impl Node {
    pub(super) fn new(settings: Settings, discriminator: u32) -> Self {
        let mut effects = Vec::new();
        let discriminator = NonZeroU32::new(discriminator).expect("not zero");
        let session = Session::open(settings, NUMBERS, discriminator, &mut effects);
        let mut node = Self {
            session,
            sockets: BTreeMap::new(),
            changes: Vec::new(),
            ignored: Vec::new(),
            events: 0,
            sent: Vec::new(),
            beacon: None,
            expect: None,
            last: None,
            outbox: Vec::new(),
        };
        node.carry_out(0, effects);
        node
    }

    pub(super) fn is_up(&self) -> bool {
        self.session.state() == State::Up
    }

    /// Runs `act` on the session at this time.
    pub(super) fn act(
        &mut self,
        now: u64,
        act: impl FnOnce(&mut Session, &mut Vec<Effect>) -> Option<Change>,
    ) {
        let mut effects = Vec::new();
        let change = act(&mut self.session, &mut effects);
        self.changes.extend(change.map(|change| (now, change)));
        self.carry_out(now, effects);
    }

    fn carry_out(&mut self, now: u64, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::OpenSocket(socket) => {
                    self.sockets.insert(socket.id, socket);
                }
                Effect::SendDatagram(datagram) => self.send(now, datagram.data),
                Effect::Offload(offload) => match offload.work {
                    OffloadWork::DatagramBeacon(beacon) => {
                        assert_eq!(offload.id, NUMBERS.beacon);
                        assert_eq!(beacon.datagram.socket, NUMBERS.transmit);
                        self.beacon = Some((beacon, now));
                    }
                    OffloadWork::Expect { within_us, endpoint, .. } => {
                        assert_eq!((offload.id, endpoint), (NUMBERS.expect, NUMBERS.receive));
                        self.expect = Some((within_us, now + u64::from(within_us)));
                    }
                    other => panic!("BFD asks for {other:?}"),
                },
                Effect::Close(number) if number == NUMBERS.beacon => self.beacon = None,
                Effect::Close(number) if number == NUMBERS.expect => self.expect = None,
                Effect::Close(number) => {
                    assert!(self.sockets.remove(&number).is_some(), "{number} is no open socket");
                }
                other => panic!("BFD asks for {other:?}"),
            }
        }
    }

    fn send(&mut self, now: u64, data: Vec<u8>) {
        assert!(self.sockets.contains_key(&NUMBERS.transmit), "sends without a socket");
        let packet = ControlPacket::decode(&data).expect("sends what may be received");
        self.sent.push((now, packet));
        self.outbox.push((now + DELAY_US, data));
    }

    /// Returns the time of the next timer event.
    fn next(&self) -> Option<u64> {
        let beacon = self.beacon.as_ref().map(|(_, at)| *at);
        beacon.into_iter().chain(self.expect.map(|(_, at)| at)).min()
    }

    fn tick(&mut self, now: u64, random: &mut impl FnMut() -> u64) {
        if let Some((beacon, at)) = self.beacon.clone().filter(|(_, at)| *at <= now) {
            let interval = u64::from(beacon.interval_us);
            let off = interval * u64::from(beacon.jitter_percent) / 100;
            self.send(at, beacon.datagram.data.clone());
            self.beacon = Some((beacon, now + interval - random() % (off + 1)));
        }
        if self.expect.is_some_and(|(_, at)| at <= now) {
            self.expect = None;
            self.last = None;
            self.events += 1;
            self.act(now, Session::expired);
        }
    }

    /// Handles an arriving packet: first the host's filter, then the session.
    pub(super) fn arrive(&mut self, now: u64, from: IpAddr, hop_limit: u8, data: Vec<u8>) {
        if !self.sockets.contains_key(&NUMBERS.receive) {
            return;
        }
        if let Some((within_us, at)) = &mut self.expect {
            *at = now + u64::from(*within_us);
        }
        let poll = data.get(1).is_some_and(|flags| flags & 0x20 != 0);
        if self.last.as_ref() == Some(&data) && !poll {
            return;
        }
        self.last = Some(data.clone());
        self.events += 1;
        let datagram = Datagram {
            socket: NUMBERS.receive,
            remote: SocketAddr::new(from, 49152),
            local: from,
            link: 2,
            hop_limit,
            data,
        };
        let mut effects = Vec::new();
        match self.session.received(&datagram, &mut effects) {
            Ok(change) => self.changes.extend(change.map(|change| (now, change))),
            Err(ignored) => self.ignored.push(ignored),
        }
        self.carry_out(now, effects);
    }
}

/// Two nodes and the wire between them.
pub(super) struct Pair {
    pub(super) now: u64,
    pub(super) nodes: [Node; 2],
    /// Directions that are cut: from node 0, from node 1.
    pub(super) cut: [bool; 2],
    /// Number of packets lost out of a thousand.
    pub(super) loss: u64,
    random: u64,
}

impl Pair {
    pub(super) fn new(first: Settings, second: Settings, seed: u64) -> Self {
        let nodes = [Node::new(first, 0x0101), Node::new(second, 0x0202)];
        Self { now: 0, nodes, cut: [false; 2], loss: 0, random: seed }
    }

    /// Advances the clock by this many microseconds.
    pub(super) fn run(&mut self, us: u64) {
        let end = self.now + us;
        loop {
            let arrivals = self.nodes.iter().flat_map(|node| node.outbox.iter().map(|it| it.0));
            let next = arrivals.chain(self.nodes.iter().filter_map(Node::next)).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = next.max(self.now);
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        for sender in [0, 1] {
            let (due, later) = std::mem::take(&mut self.nodes[sender].outbox)
                .into_iter()
                .partition::<Vec<_>, _>(|(at, _)| *at <= self.now);
            self.nodes[sender].outbox = later;
            for (_, data) in due {
                if self.cut[sender] || self.draw() % 1000 < self.loss {
                    continue;
                }
                let from = if sender == 0 { "192.0.2.1" } else { "192.0.2.2" };
                let from = from.parse().expect("an address");
                self.nodes[1 - sender].arrive(self.now, from, 255, data);
            }
        }
        for node in &mut self.nodes {
            let mut state = self.random;
            node.tick(self.now, &mut || shuffle(&mut state));
            self.random = state;
        }
    }

    fn draw(&mut self) -> u64 {
        shuffle(&mut self.random)
    }
}

/// Xorshift generator: only its reproducibility matters.
fn shuffle(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state >> 11
}
