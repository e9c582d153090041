//! Runs the BGP plugin as native code, with a host around it that has one passive peer and no network. It treats the octets of
//! a stream as `host/net` does (one message at a time; a header that cannot be framed is delivered alone, and nothing after
//! it), without keepalives, and runs the hold timer on a simulated clock. Included by the oracle's test and by the fuzz
//! targets.
use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use outrigger_bgp::Speaker;
use outrigger_sdk::wire::bgp::{self, Family, Message, Negotiated};
use outrigger_sdk::{
    Accepted, Announcer, CloseReason, Closed, Context, DesiredAddress, DesiredChanged, Duty,
    Effect, Endpoint, EndpointCount, Event, Link, LinksChanged, MacAddr, OffloadWork, Opened,
    Origin, Reply, Service, StreamBytes, Time, Wake,
};

/// Address of the peer.
pub const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Address of the plugin.
pub const THEM: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

/// Write credit, larger than the output of any case.
const CREDIT: u32 = 1 << 20;

const CONFIG: &str = r#"{
    "asn": 64512, "routerId": "10.77.0.2",
    "peers": [{"name": "prober", "address": "10.77.0.1", "asn": 64513, "passive": true}]
}"#;

/// The plugin, one connection of the peer (or two), and the clock.
pub struct Host {
    speaker: Speaker,
    now_us: u64,
    wake_us: Option<u64>,
    listener: Option<Endpoint>,
    next: Endpoint,
    /// Open streams: octets that do not yet form a whole message, and true if nothing is read any more.
    streams: BTreeMap<Endpoint, (Vec<u8>, bool)>,
    /// Stream that is currently used.
    pub stream: Endpoint,
    /// Messages that the plugin wrote to the current stream.
    pub written: VecDeque<Vec<u8>>,
    expects: BTreeMap<Endpoint, (Endpoint, u64, u64)>,
}

impl Host {
    /// Creates a plugin that announces one address and waits for the peer.
    pub fn new() -> Self {
        let context = Context {
            instance: "oracle".to_owned(),
            node: "n1".to_owned(),
            config: CONFIG.to_owned(),
            seed: vec![7; 32],
            ext: vec![("node-ip".to_owned(), THEM.to_string())],
        };
        let speaker =
            Speaker::start(context, Origin::Fresh).expect("a configuration that is right");
        let mut host = Self {
            speaker,
            now_us: 1_000_000,
            wake_us: None,
            listener: None,
            next: 0x8000_0000,
            streams: BTreeMap::new(),
            stream: 0,
            written: VecDeque::new(),
            expects: BTreeMap::new(),
        };
        host.handle(vec![Event::LinksChanged(links()), Event::DesiredChanged(desired())]);
        host
    }

    /// Connects the peer; output of the plugin on an earlier connection is ignored from now on.
    pub fn connect(&mut self) {
        let listener = self.listener.expect("the plugin listens for a passive peer");
        self.next += 1;
        self.stream = self.next;
        self.written.clear();
        self.streams.insert(self.stream, (Vec::new(), false));
        let remote = SocketAddr::new(US.into(), 40_000);
        let local = SocketAddr::new(THEM.into(), 179);
        let opened = Opened { id: self.stream, local, remote, credit: CREDIT };
        self.handle(vec![Event::Accepted(Accepted { listener, opened })]);
    }

    /// Closes all connections of the peer.
    pub fn hang_up(&mut self) {
        for id in std::mem::take(&mut self.streams).into_keys() {
            self.expects.retain(|_, (endpoint, ..)| *endpoint != id);
            self.handle(vec![Event::Closed(Closed { id, reason: CloseReason::Remote })]);
        }
    }

    /// Returns true if the current stream is open.
    pub fn is_open(&self) -> bool {
        self.streams.contains_key(&self.stream)
    }

    /// Delivers octets from the peer, framed as the host does.
    pub fn deliver(&mut self, octets: &[u8]) {
        let id = self.stream;
        let Some((buffer, _)) = self.streams.get_mut(&id) else { return };
        buffer.extend(octets);
        while let Some(data) = self.message(id) {
            for (endpoint, within_us, due_us) in self.expects.values_mut() {
                if *endpoint == id {
                    *due_us = self.now_us + *within_us;
                }
            }
            self.handle(vec![Event::Data(StreamBytes { id, data })]);
        }
    }

    fn message(&mut self, id: Endpoint) -> Option<Vec<u8>> {
        let (buffer, broken) = self.streams.get_mut(&id).filter(|(_, broken)| !broken)?;
        let length = match bgp::frame(buffer, bgp::MAX_MESSAGE) {
            Ok(framed) => framed?.1,
            Err(_) => {
                *broken = true;
                bgp::HEADER
            }
        };
        (buffer.len() >= length).then(|| buffer.drain(..length).collect())
    }

    /// Advances the clock to the next due timer within this time, or to its end; returns true if a timer was due.
    pub fn pass(&mut self, us: u64) -> bool {
        let end = self.now_us + us;
        let expects = self.expects.values().map(|(_, _, due_us)| *due_us);
        let Some(next) = expects.chain(self.wake_us).min().filter(|next| *next <= end) else {
            self.now_us = end;
            return false;
        };
        self.now_us = next.max(self.now_us);
        if self.wake_us.is_some_and(|due_us| due_us <= self.now_us) {
            self.wake_us = None;
            self.handle(vec![Event::Wake("due".to_owned())]);
        }
        let due = |it: &(Endpoint, u64, u64)| it.2 <= self.now_us;
        let expired = self.expects.iter().find(|(_, it)| due(it)).map(|(id, _)| *id);
        if let Some(id) = expired {
            self.expects.remove(&id);
            self.handle(vec![Event::Expired(id)]);
        }
        true
    }

    fn handle(&mut self, events: Vec<Event>) {
        let now = Time { monotonic_us: self.now_us, utc_us: 0 };
        let Reply { effects, wake } = self.speaker.handle(now, events);
        self.wake_us = match wake {
            Wake::Never => None,
            Wake::After { ms, .. } => Some(self.now_us + u64::from(ms.max(1)) * 1000),
        };
        let mut closed = Vec::new();
        for effect in effects {
            self.carry_out(effect, &mut closed);
        }
        if !closed.is_empty() {
            self.handle(closed);
        }
    }

    fn carry_out(&mut self, effect: Effect, closed: &mut Vec<Event>) {
        match effect {
            Effect::Listen(listen) => self.listener = Some(listen.id),
            Effect::Write(StreamBytes { id, data }) => {
                assert!(self.streams.contains_key(&id), "writes to a stream that is closed");
                // The plugin may only write messages that its peer can read.
                let framed = bgp::frame(&data, bgp::MAX_MESSAGE).expect("writes whole messages");
                assert_eq!(framed.map(|it| it.1), Some(data.len()), "writes one message at a time");
                if id == self.stream {
                    self.written.push_back(data);
                }
            }
            Effect::Close(id) | Effect::Abort(id) => {
                self.expects.remove(&id);
                if self.streams.remove(&id).is_some() {
                    self.expects.retain(|_, (endpoint, ..)| *endpoint != id);
                    closed.push(Event::Closed(Closed { id, reason: CloseReason::Local }));
                }
            }
            Effect::Offload(offload) => {
                if let OffloadWork::Expect { endpoint, within_us, .. } = offload.work {
                    let within_us = u64::from(within_us);
                    let expect = (endpoint, within_us, self.now_us + within_us);
                    self.expects.insert(offload.id, expect);
                }
            }
            _ => {}
        }
    }

    /// Returns true if a reader of this UPDATE, on a session such as the prober's, would have the route afterwards.
    pub fn announces(update: &[u8], route: &str) -> bool {
        let negotiated = Negotiated {
            local_as: 64512,
            remote_as: 64513,
            families: vec![Family::IPV4_UNICAST, Family::IPV6_UNICAST],
            four_octet_as: true,
            ..Negotiated::default()
        };
        let Ok(Message::Update(update)) = bgp::decode(update, &negotiated) else { return false };
        let mut prefixes = update.announced.iter().flat_map(|it| &it.prefixes);
        prefixes.any(|prefix| prefix.to_string() == route)
    }
}

fn links() -> LinksChanged {
    let link = Link {
        index: 2,
        name: "eth0".to_owned(),
        mac: MacAddr::new(2, 0, 0, 0, 0, 1),
        mtu: 1500,
        up: true,
        arp: true,
        generation: 1,
        addresses: vec!["10.77.0.2/24".parse().expect("a prefix")],
    };
    LinksChanged { reset: true, upsert: vec![link], ..LinksChanged::default() }
}

fn desired() -> DesiredChanged {
    let address = DesiredAddress {
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        pool: "pool".to_owned(),
        services: Vec::<Service>::new(),
        duty: Duty::Announce,
        local_endpoints: EndpointCount { ready: 1, serving: 1, terminating: 0 },
        ext: vec![],
    };
    DesiredChanged { reset: true, upsert: vec![address], ..DesiredChanged::default() }
}
