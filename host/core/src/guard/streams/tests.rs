//! A peer receives only what was granted, whatever a plugin writes.
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;
use outrigger_sdk::wire::bgp::{
    self, AsPath, Attributes, Capability, Community, Family, Message, Negotiated, NextHop, Open,
};
use outrigger_sdk::{
    Closed, Connect, Duty, Effect, Event, Link, LinksChanged, Listen, Offload, OffloadWork, Opened,
    Protocol, SecretRef, SocketOption, StreamBytes,
};
use outrigger_wire::MacAddr;
use proptest::prelude::*;

use crate::desired::Desired;
use crate::guard::{Grant, Granted, Guard, Reason};

mod ended;
mod peer;

use peer::Peer;

const STREAM: u32 = 7;
const OURS: &str = "192.0.2.1";
const STANDBY: &str = "192.0.2.2";
const SELF: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn grant() -> Grant {
    Grant {
        peers: vec!["10.0.0.0/24".parse().unwrap()],
        aggregates: vec!["192.0.2.0/24".parse().unwrap(), "198.51.0.0/16".parse().unwrap()],
        communities: Some(vec!["64512:*".into(), "no-export".into()]),
        secrets: [("md5".to_owned(), vec!["10.0.0.9/32".parse().unwrap()])].into(),
        ..Grant::default()
    }
}

fn entry(address: &str, duty: Duty) -> Arc<Desired> {
    Desired::bare(address.parse().unwrap(), duty)
}

fn open(asn: u32) -> Open {
    let capabilities =
        vec![Capability::Multiprotocol(Family::IPV4_UNICAST), Capability::FourOctetAs(asn)];
    Open { asn, hold_time: 90, router_id: SELF, capabilities }
}

fn connect(remote: &str) -> Effect {
    let remote = SocketAddr::new(remote.parse().unwrap(), 179);
    Effect::Connect(Connect { id: STREAM, remote, protocol: Protocol::Bgp, options: vec![] })
}

fn write(data: Vec<u8>) -> Effect {
    Effect::Write(StreamBytes { id: STREAM, data })
}

/// Adds the only link, with this node's address.
fn link(guard: &mut Guard) {
    let link = Link {
        index: 1,
        name: "eth0".into(),
        mac: MacAddr(2, 0, 0, 0, 0, 1),
        mtu: 1500,
        up: true,
        arp: true,
        generation: 1,
        addresses: vec!["10.0.0.1/24".parse().unwrap()],
    };
    guard.link(&LinksChanged { reset: true, upsert: vec![link], ..Default::default() });
}

/// Returns a guard with one established session on which nothing was announced yet.
fn session() -> Guard {
    let mut guard = Guard::default();
    guard.allow(grant());
    link(&mut guard);
    let upsert = [entry(OURS, Duty::Announce), entry(STANDBY, Duty::Standby("b".into()))];
    guard.desire(&[], &upsert);
    guard.check(0, connect("10.0.0.9")).unwrap();
    let (local, remote) = (SocketAddr::new(SELF.into(), 1), "10.0.0.9:179".parse().unwrap());
    guard.hear(&Event::Opened(Opened { id: STREAM, local, remote, credit: 1 }));
    guard.check(0, write(open(64512).encode())).unwrap();
    guard.hear(&Event::Data(StreamBytes { id: STREAM, data: open(64513).encode() }));
    guard
}

fn sending() -> Negotiated {
    Negotiated::new(&open(64512), &open(64513))
}

fn attributes() -> Attributes {
    Attributes { as_path: AsPath::sequence([64512]), ..Attributes::default() }
}

fn update(attributes: &Attributes, next_hop: Ipv4Addr, prefixes: &[&str]) -> Vec<u8> {
    let prefixes: Vec<IpNet> = prefixes.iter().map(|prefix| prefix.parse().unwrap()).collect();
    let mut packed =
        bgp::announcements(attributes, NextHop::V4(next_hop), &prefixes, &sending()).unwrap();
    packed.next().unwrap().message
}

fn refused(guard: &mut Guard, effect: Effect) -> Option<Reason> {
    guard.check(0, effect).err().map(|refusal| refusal.reason)
}

#[test]
fn a_route_to_a_desired_address_passes_as_it_was_written() {
    let mut guard = session();
    let message = update(&attributes(), SELF, &["192.0.2.1/32"]);
    let granted = guard.check(0, write(message.clone())).unwrap();
    assert_eq!(granted, [Granted::Write(StreamBytes { id: STREAM, data: message })]);
    let told: Vec<_> = guard.told().collect();
    assert_eq!(told[0].2, ["192.0.2.1/32".parse::<IpNet>().unwrap()]);
}

#[test]
fn what_is_not_granted_is_cut_out_and_the_rest_of_the_message_passes() {
    let mut guard = session();
    let prefixes = [
        "0.0.0.0/0",
        "192.0.2.1/32",
        "192.0.2.2/32",
        "192.0.2.3/32",
        "192.0.2.0/24",
        "198.51.100.0/24",
    ];
    let granted = guard.check(0, write(update(&attributes(), SELF, &prefixes))).unwrap();
    let mut peer = Peer::default();
    peer.hear(&granted);
    let expected = ["192.0.2.1/32", "192.0.2.0/24"].map(|prefix| prefix.parse::<IpNet>().unwrap());
    assert_eq!(peer.0, expected.into());
    let refusals: Vec<String> = granted
        .iter()
        .filter_map(|one| match one {
            Granted::Refused(refusal) => {
                Some(format!("{} {}", refusal.subject, refusal.reason.name()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        refusals,
        [
            "7 0.0.0.0/0 prefix-not-desired",
            "7 192.0.2.2/32 not-this-nodes-duty",
            "7 192.0.2.3/32 prefix-not-desired",
            "7 198.51.100.0/24 prefix-not-desired",
        ]
    );
}

#[test]
fn a_route_with_a_foreign_next_hop_attribute_or_community_is_not_told() {
    let plain = attributes();
    let with = |communities: Vec<Community>| Attributes { communities, ..attributes() };
    let foreign = Attributes { as_path: AsPath::sequence([64512, 64999]), ..attributes() };
    for (message, expected) in [
        (
            update(&plain, Ipv4Addr::new(10, 0, 0, 77), &["192.0.2.1/32"]),
            Some(Reason::NextHopNotSelf),
        ),
        (update(&foreign, SELF, &["192.0.2.1/32"]), Some(Reason::AttributeNotAllowed)),
        (
            update(&with(vec!["65000:1".parse().unwrap()]), SELF, &["192.0.2.1/32"]),
            Some(Reason::CommunityNotAllowed),
        ),
        (
            update(
                &with(vec!["64512:1".parse().unwrap(), Community::NO_EXPORT]),
                SELF,
                &["192.0.2.1/32"],
            ),
            None,
        ),
        (update(&with(vec![Community::GRACEFUL_SHUTDOWN]), SELF, &["192.0.2.1/32"]), None),
    ] {
        let mut guard = session();
        let granted = guard.check(0, write(message)).unwrap();
        let reason = granted.iter().find_map(|one| match one {
            Granted::Refused(refusal) => Some(refusal.reason),
            _ => None,
        });
        assert_eq!(reason, expected);
        let mut peer = Peer::default();
        peer.hear(&granted);
        assert_eq!(peer.0.is_empty(), expected.is_some());
    }
}

#[test]
fn what_is_no_bgp_or_comes_too_early_is_not_written() {
    let mut guard = session();
    let mut cut = update(&attributes(), SELF, &["192.0.2.1/32"]);
    cut.pop();
    assert_eq!(refused(&mut guard, write(cut)), Some(Reason::NotWellFormed));
    assert_eq!(refused(&mut guard, write(b"GET / HTTP/1.1".to_vec())), Some(Reason::NotWellFormed));
    let twice = [bgp::keepalive(), bgp::keepalive()].concat();
    assert_eq!(refused(&mut guard, write(twice)), Some(Reason::NotWellFormed));
    assert_eq!(refused(&mut guard, write(open(64512).encode())), Some(Reason::NotWellFormed));
    assert_eq!(refused(&mut guard, write(bgp::keepalive())), None);
    guard.hear(&Event::Closed(Closed { id: STREAM, reason: outrigger_sdk::CloseReason::Remote }));
    assert_eq!(refused(&mut guard, write(bgp::keepalive())), Some(Reason::NoSuchEndpoint));
    guard.check(0, connect("10.0.0.9")).unwrap();
    let early = update(&attributes(), SELF, &["192.0.2.1/32"]);
    assert_eq!(refused(&mut guard, write(early)), Some(Reason::SessionNotOpen));
}

#[test]
fn only_granted_peers_ports_devices_and_secrets_are_used() {
    let mut guard = Guard::default();
    assert_eq!(refused(&mut guard, connect("10.0.0.9")), Some(Reason::PeerNotGranted));
    guard.allow(Grant { devices: vec!["eth0".into()], ..grant() });
    assert_eq!(refused(&mut guard, connect("10.0.1.9")), Some(Reason::PeerNotGranted));
    let listen = |remote: &str, options| {
        Effect::Listen(Listen {
            id: 8,
            port: 179,
            remote: remote.parse().unwrap(),
            protocol: Protocol::Bgp,
            options,
        })
    };
    let md5 = |name: &str| {
        vec![SocketOption::TcpMd5(SecretRef { name: name.into(), key: "password".into() })]
    };
    assert_eq!(refused(&mut guard, listen("10.0.0.0/16", vec![])), Some(Reason::PeerNotGranted));
    assert_eq!(
        refused(&mut guard, listen("10.0.0.8/32", md5("md5"))),
        Some(Reason::SecretNotGranted)
    );
    assert_eq!(
        refused(&mut guard, listen("10.0.0.9/32", md5("other"))),
        Some(Reason::SecretNotGranted)
    );
    let device = vec![SocketOption::Device("eth1".into())];
    assert_eq!(refused(&mut guard, listen("10.0.0.9/32", device)), Some(Reason::LinkNotGranted));
    assert_eq!(refused(&mut guard, listen("10.0.0.9/32", md5("md5"))), None);
    assert_eq!(refused(&mut guard, listen("10.0.0.9/32", vec![])), Some(Reason::NumberInUse));
    let work = OffloadWork::Keepalive { endpoint: 99, data: bgp::keepalive(), interval_ms: 1_000 };
    let offload = Effect::Offload(Offload { id: 9, work });
    assert_eq!(refused(&mut guard, offload), Some(Reason::NoSuchEndpoint));
}

#[test]
fn what_the_plugin_does_not_withdraw_in_time_the_host_withdraws() {
    let mut guard = session();
    let message = update(&attributes(), SELF, &["192.0.2.1/32", "192.0.2.0/24"]);
    let mut peer = Peer::default();
    peer.hear(&guard.check(0, write(message)).unwrap());
    guard.desire(&[OURS.parse().unwrap()], &[]);
    assert_eq!(guard.overdue(1_000), (vec![], Some(201_000)));
    let (withdrawals, next) = guard.overdue(201_000);
    assert_eq!((withdrawals.len(), next), (1, None));
    withdrawals[0].messages.iter().for_each(|message| peer.read(message));
    assert!(peer.0.is_empty(), "{:?}", peer.0);
    assert_eq!(guard.overdue(900_000), (vec![], None));
}

#[test]
fn what_the_plugin_withdraws_in_time_is_not_withdrawn_again_and_what_comes_back_stays() {
    for in_time in [true, false] {
        let mut guard = session();
        guard.check(0, write(update(&attributes(), SELF, &["192.0.2.1/32"]))).unwrap();
        guard.desire(&[OURS.parse().unwrap()], &[]);
        guard.overdue(0);
        if in_time {
            let prefixes = ["192.0.2.1/32".parse().unwrap()];
            let message = bgp::withdrawals(&prefixes, &sending()).next().unwrap().message;
            guard.check(0, write(message)).unwrap();
        } else {
            guard.desire(&[], &[entry(OURS, Duty::Announce)]);
        }
        assert_eq!(guard.overdue(1_000_000), (vec![], None));
    }
}

#[test]
fn a_flood_of_updates_is_cut_off() {
    let mut guard = session();
    let message = update(&attributes(), SELF, &["192.0.2.1/32"]);
    let passed = (0..10_000).filter(|_| guard.check(0, write(message.clone())).is_ok()).count();
    assert!(passed < 1_000, "{passed}");
    assert_eq!(refused(&mut guard, write(message)), Some(Reason::ChurnLimit));
}

mod budgets;
mod opens;

/// One action of a plugin or of the cluster.
#[derive(Debug, Clone)]
enum Step {
    Announce { next_hop: u8, prefixes: Vec<(u8, u8)>, flips: Vec<(usize, u8)> },
    Desire { last: u8, speaks: bool },
    Remove { last: u8 },
    Later,
}

fn step() -> impl Strategy<Value = Step> {
    let prefix = (0u8..6, prop_oneof![4 => Just(32u8), 1 => 0u8..=32]);
    prop_oneof![
        4 => (
            1u8..3,
            proptest::collection::vec(prefix, 1..6),
            proptest::collection::vec((19usize..80, any::<u8>()), 0..3),
        )
            .prop_map(|(next_hop, prefixes, flips)| Step::Announce { next_hop, prefixes, flips }),
        1 => (0u8..6, any::<bool>()).prop_map(|(last, speaks)| Step::Desire { last, speaks }),
        1 => (0u8..6).prop_map(|last| Step::Remove { last }),
        1 => Just(Step::Later),
    ]
}

proptest! {
    /// A peer has no routes other than the granted ones, whatever is written, once the host has had its time.
    #[test]
    fn a_peer_is_told_nothing_but_what_is_granted(steps in proptest::collection::vec(step(), 1..40)) {
        let (mut guard, mut peer, mut now) = (session(), Peer::default(), 0);
        for step in steps {
            match step {
                Step::Announce { next_hop, prefixes, flips } => {
                    let prefixes: Vec<String> = prefixes
                        .iter()
                        .map(|(last, length)| {
                            let net: IpNet = format!("192.0.2.{last}/{length}").parse().unwrap();
                            net.trunc().to_string()
                        })
                        .collect();
                    let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
                    let next_hop = Ipv4Addr::new(10, 0, 0, next_hop);
                    let mut message = update(&attributes(), next_hop, &prefixes);
                    for (at, octet) in flips {
                        let at = at % message.len();
                        message[at] = octet;
                    }
                    peer.hear(&guard.check(now, write(message)).unwrap_or_default());
                }
                Step::Desire { last, speaks } => {
                    let duty = if speaks { Duty::Announce } else { Duty::Standby("b".into()) };
                    let entry = entry(&format!("192.0.2.{last}"), duty);
                    guard.desire(&[], &[entry]);
                }
                Step::Remove { last } => {
                    guard.desire(&[IpAddr::from([192, 0, 2, last])], &[]);
                }
                Step::Later => now += 500_000,
            }
            let told: BTreeSet<IpNet> = guard.told().flat_map(|(_, _, told)| told).collect();
            prop_assert_eq!(&told, &peer.0, "the record is what the peer knows");
        }
        guard.overdue(now);
        for withdrawal in guard.overdue(now + 200_000).0 {
            withdrawal.messages.iter().for_each(|message| peer.read(message));
        }
        let speaks = |address: &IpAddr| guard.desired().get(address).is_some_and(|it| it.duty.speaks());
        for prefix in &peer.0 {
            let inside = guard.desired().keys().any(|address| prefix.contains(address) && speaks(address));
            prop_assert!(inside && prefix.prefix_len() >= 16, "{prefix}");
        }
    }
}
