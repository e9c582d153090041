//! Tests of the speaker as a whole, from the point of view of its host.
use std::collections::BTreeMap;
use std::net::IpAddr;

use outrigger_sdk::wire::bgp::{self, ErrorCode, Message, Negotiated, Notification};
use outrigger_sdk::*;

use super::*;
use crate::scripts::{desired, entry, link, links};

mod fsm;
mod net;
mod places;
mod property;
mod refused;
mod sessions;
mod speaking;

/// One speaker whose host is the test itself.
pub(crate) struct Bench {
    pub(crate) speaker: Speaker,
    pub(crate) now_us: u64,
    pub(crate) wake: Wake,
}

pub(crate) fn context(config: &str) -> Context {
    Context {
        instance: "bgp".into(),
        node: "node-a".into(),
        config: config.into(),
        seed: vec![7; 32],
        ext: vec![("node-ip".into(), "192.0.2.10".into())],
    }
}

impl Bench {
    pub(crate) fn new(config: &str) -> Self {
        let speaker = Speaker::start(context(config), Origin::Fresh).unwrap();
        Self { speaker, now_us: 1_000_000, wake: Wake::Never }
    }

    pub(crate) fn call(&mut self, events: Vec<Event>) -> Vec<Effect> {
        self.now_us += 1_000;
        let now = Time { monotonic_us: self.now_us, utc_us: 0 };
        let reply = self.speaker.handle(now, events);
        self.wake = reply.wake;
        reply.effects
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now_us += seconds * 1_000_000;
    }
}

/// Returns the capabilities of an external peer that accepts everything, to decode our messages with.
pub(crate) fn as_the_peer() -> Negotiated {
    Negotiated {
        local_as: 64512,
        remote_as: 64513,
        families: vec![bgp::Family::IPV4_UNICAST, bgp::Family::IPV6_UNICAST],
        four_octet_as: true,
        ipv6_next_hop: true,
        ..Negotiated::default()
    }
}

/// Returns a short description of each outgoing effect.
pub(crate) fn said(effects: &[Effect]) -> Vec<String> {
    let negotiated = as_the_peer();
    let mut said = Vec::new();
    for effect in effects {
        said.push(match effect {
            Effect::Connect(connect) => format!("connect {} to {}", connect.id, connect.remote),
            Effect::Listen(listen) => format!("listen {} for {}", listen.id, listen.remote),
            Effect::Write(bytes) => match bgp::decode(&bytes.data, &negotiated).unwrap() {
                Message::Open(open) => format!("{} OPEN AS {}", bytes.id, open.asn),
                Message::Keepalive => format!("{} KEEPALIVE", bytes.id),
                Message::Notification(why) => format!("{} NOTIFICATION {}", bytes.id, code(&why)),
                Message::RouteRefresh(refresh) => format!("{} {:?}", bytes.id, refresh.kind),
                Message::Update(update) => format!("{} {}", bytes.id, update_words(&update)),
            },
            Effect::Close(id) => format!("close {id}"),
            Effect::Abort(id) => format!("abort {id}"),
            Effect::Offload(offload) => match &offload.work {
                OffloadWork::Keepalive { interval_ms, .. } => {
                    format!("keepalive {} {interval_ms}ms", offload.id)
                }
                OffloadWork::Expect { within_us, .. } => {
                    format!("expect {} {}s", offload.id, within_us / 1_000_000)
                }
                other => format!("{other:?}"),
            },
            Effect::Drained => "drained".into(),
            Effect::Report(_) => continue,
            other => format!("{other:?}"),
        });
    }
    said
}

fn code(notification: &Notification) -> String {
    let ErrorCode { code, subcode } = notification.error;
    format!("{code}/{subcode}")
}

fn update_words(update: &bgp::Update) -> String {
    if let Some(family) = update.end_of_rib {
        return format!("end of {family}");
    }
    let list =
        |prefixes: &[IpNet]| prefixes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    let mut words = Vec::new();
    if !update.withdrawn.is_empty() {
        words.push(format!("withdraw {}", list(&update.withdrawn)));
    }
    for announced in &update.announced {
        words.push(format!("announce {} via {}", list(&announced.prefixes), announced.next_hop));
    }
    words.join(", ")
}

/// Returns the reports about addresses.
pub(crate) fn addresses(effects: &[Effect]) -> BTreeMap<IpAddr, String> {
    let mut standing = BTreeMap::new();
    for effect in effects {
        if let Effect::Report(Report::Address(report)) = effect {
            let via = report.via.join(" ");
            let words = format!("{:?} {}{via}", report.state, report.reason);
            standing.insert(report.address, words.trim_end().to_owned());
        }
    }
    standing
}

/// Returns the last report about each peer.
pub(crate) fn peers(effects: &[Effect]) -> BTreeMap<String, PeerReport> {
    let mut peers = BTreeMap::new();
    for effect in effects {
        if let Effect::Report(Report::Peer(report)) = effect {
            peers.insert(report.peer.clone(), report.clone());
        }
    }
    peers
}
