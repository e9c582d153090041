//! BGP speaker that announces routes it was not assigned, repeatedly: a default route, a foreign prefix, its own address with a
//! foreign next hop. It opens a session correctly, because a peer would not read it otherwise.
#![forbid(unsafe_code)]
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hostile::{Harm, Hostile};
use outrigger_sdk::wire::bgp::{
    self, AsPath, Attributes, Capability, Family, Message, Negotiated, NextHop, Open,
};
use outrigger_sdk::{Connect, Effect, Endpoint, Event, IpNet, Protocol, StreamBytes};

/// Number of the session.
const SESSION: Endpoint = 1;
/// Number of UPDATEs per call: far more than any legitimate cause.
const FLOOD: usize = 500;

/// Peer from the configuration: "PEER ASN", "10.0.0.2 64512".
#[derive(Default)]
struct Speaker {
    peer: Option<(IpAddr, u32)>,
    dialled: bool,
    local: Option<Ipv4Addr>,
    ours: Option<Open>,
    theirs: Option<Open>,
    up: bool,
    desired: Vec<IpNet>,
}

impl Harm for Speaker {
    /// Reads `{"peer": "10.0.0.2 64512"}` without a parser: the value between the last two quotes.
    fn start(config: &str) -> Self {
        let value = config.rsplit('"').nth(1).unwrap_or_default();
        let mut words = value.split(' ');
        let peer = words.next().and_then(|peer| peer.parse().ok());
        let asn = words.next().and_then(|asn| asn.parse().ok());
        Self { peer: peer.zip(asn), ..Self::default() }
    }

    fn strike(&mut self, events: Vec<Event>) -> Vec<Effect> {
        let mut effects = Vec::new();
        for event in events {
            match event {
                Event::DesiredChanged(desired) => {
                    self.desired.extend(desired.upsert.iter().map(|it| IpNet::from(it.address)));
                }
                Event::Opened(opened) => {
                    if let IpAddr::V4(local) = opened.local.ip() {
                        self.local = Some(local);
                        effects.extend(self.open(local).map(|open| write(open.encode())));
                    }
                }
                Event::Data(bytes) => effects.extend(self.hear(&bytes.data)),
                Event::Closed(_) => {
                    *self =
                        Self { peer: self.peer, desired: self.desired.clone(), ..Self::default() };
                }
                _ => {}
            }
        }
        if let (Some((peer, _)), false) = (self.peer, self.dialled) {
            self.dialled = true;
            let remote = SocketAddr::new(peer, 179);
            let (protocol, options) = (Protocol::Bgp, Vec::new());
            effects.push(Effect::Connect(Connect { id: SESSION, remote, protocol, options }));
        }
        if self.up {
            effects.extend(self.lies());
        }
        effects
    }
}

impl Speaker {
    fn open(&mut self, local: Ipv4Addr) -> Option<Open> {
        let (_, asn) = self.peer?;
        let capabilities =
            vec![Capability::Multiprotocol(Family::IPV4_UNICAST), Capability::FourOctetAs(asn)];
        let open = Open { asn, hold_time: 90, router_id: local, capabilities };
        self.ours = Some(open.clone());
        Some(open)
    }

    fn hear(&mut self, message: &[u8]) -> Option<Effect> {
        match bgp::decode(message, &Negotiated::default()).ok()? {
            Message::Open(open) => {
                self.theirs = Some(open);
                Some(write(bgp::keepalive()))
            }
            Message::Keepalive => {
                self.up = true;
                None
            }
            _ => None,
        }
    }

    fn lies(&self) -> Vec<Effect> {
        let (Some(ours), Some(theirs), Some(local)) = (&self.ours, &self.theirs, self.local) else {
            return Vec::new();
        };
        let negotiated = Negotiated::new(ours, theirs);
        let attributes =
            Attributes { as_path: AsPath::sequence([ours.asn]), ..Attributes::default() };
        let foreign = ["0.0.0.0/0", "0.0.0.0/1", "203.0.113.0/24", "8.8.8.8/32"];
        let foreign: Vec<IpNet> = foreign.iter().filter_map(|prefix| prefix.parse().ok()).collect();
        let elsewhere = Ipv4Addr::new(192, 0, 2, 66);
        let say = |prefixes: &[IpNet], next_hop| -> Vec<Effect> {
            bgp::announcements(&attributes, NextHop::V4(next_hop), prefixes, &negotiated)
                .map(|packed| packed.map(|it| write(it.message)).collect())
                .unwrap_or_default()
        };
        let mut effects = [say(&foreign, local), say(&self.desired, elsewhere)].concat();
        let flood = (0..FLOOD).flat_map(|_| say(&foreign[..1], local));
        effects.extend(flood);
        effects.push(write(b"neither a marker nor a length nor a type".to_vec()));
        effects
    }
}

fn write(data: Vec<u8>) -> Effect {
    Effect::Write(StreamBytes { id: SESSION, data })
}

outrigger_sdk::announcer!(Hostile<Speaker>);
