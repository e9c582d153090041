//! Tests of the routes that peers were sent before the candidate took over.
use std::net::Ipv4Addr;

use outrigger_core::guard::Grant;
use outrigger_sdk::wire::bgp::{
    self, AsPath, Attributes, Capability, Family, Negotiated, NextHop, Open,
};
use outrigger_sdk::{Connect, Event, IpNet, Opened, Protocol, StreamBytes};

use super::*;

const STREAM: Endpoint = 7;
const SELF: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn open(asn: u32) -> Open {
    let ipv4 = Capability::Multiprotocol(Family::IPV4_UNICAST);
    let capabilities = vec![ipv4, Capability::FourOctetAs(asn)];
    Open { asn, hold_time: 90, router_id: SELF, capabilities }
}

fn write(data: Vec<u8>) -> Effect {
    Effect::Write(StreamBytes { id: STREAM, data })
}

fn routes(which: std::ops::RangeInclusive<u8>) -> Vec<IpNet> {
    which.map(|last| IpNet::from(address(last))).collect()
}

/// Returns a guard with a session on which this many routes were announced.
fn told(count: u8) -> Guard {
    let (mut guard, _) = stage(count);
    let peer = "192.0.2.9:179".parse().unwrap();
    guard.allow(Grant { peers: vec!["192.0.2.9/32".parse().unwrap()], ..Grant::default() });
    let mut link = guard.links()[&1].clone();
    link.addresses = vec!["192.0.2.1/24".parse().unwrap()];
    guard.link(&LinksChanged { reset: true, upsert: vec![link], ..Default::default() });
    let connect = Connect { id: STREAM, remote: peer, protocol: Protocol::Bgp, options: vec![] };
    guard.check(0, Effect::Connect(connect)).unwrap();
    let local = "192.0.2.1:1".parse().unwrap();
    guard.hear(&Event::Opened(Opened { id: STREAM, local, remote: peer, credit: 1 }));
    guard.check(0, write(open(64512).encode())).unwrap();
    guard.hear(&Event::Data(StreamBytes { id: STREAM, data: open(64513).encode() }));
    let attributes = Attributes { as_path: AsPath::sequence([64512]), ..Attributes::default() };
    let (next_hop, routes) = (NextHop::V4(SELF), routes(1..=count));
    for packed in bgp::announcements(&attributes, next_hop, &routes, &sending()).unwrap() {
        guard.check(0, write(packed.message)).unwrap();
    }
    assert_eq!(guard.told().flat_map(|(_, _, told)| told).count(), usize::from(count));
    guard
}

fn sending() -> Negotiated {
    Negotiated::new(&open(64512), &open(64513))
}

fn withdraw(guard: &mut Guard, which: std::ops::RangeInclusive<u8>) -> Vec<Granted> {
    let routes = routes(which);
    let messages: Vec<_> = bgp::withdrawals(&routes, &sending()).map(|one| one.message).collect();
    messages.into_iter().flat_map(|message| guard.check(0, write(message)).unwrap()).collect()
}

#[test]
fn a_candidate_that_withdraws_routes_fails_and_what_was_known_of_its_peers_stays() {
    for (last, reason) in [(1, ""), (2, "Withdrawing"), (8, "Withdrawing")] {
        let mut guard = told(8);
        let mut trial = Trial::new("d", &guard);
        let before = guard.endpoints().clone();
        let granted = withdraw(&mut guard, 1..=last);
        let now = trial.review(granted, &AnswerOffloads::new(), &guard);
        assert_eq!(trial.failed().map_or("", |it| it.1.reason), reason, "{last} of 8");
        assert_eq!(now.is_empty(), !reason.is_empty());
        guard.undo(before);
        assert_eq!(guard.told().flat_map(|(_, _, told)| told).count(), 8);
    }
}

#[test]
fn routes_add_up_over_replies_and_what_is_no_longer_desired_may_go() {
    let mut guard = told(8);
    let mut trial = Trial::new("d", &guard);
    desire(&mut guard, 3..=8);
    let granted = withdraw(&mut guard, 1..=3);
    assert_eq!(trial.review(granted, &AnswerOffloads::new(), &guard).len(), 1);
    assert_eq!(trial.failed(), None, "two of the three nobody wants any more");
    let granted = withdraw(&mut guard, 4..=4);
    trial.review(granted, &AnswerOffloads::new(), &guard);
    assert_eq!(trial.failed().expect("two of six").1.reason, "Withdrawing");
}

#[test]
fn a_candidate_that_ends_a_session_takes_its_routes_back() {
    let mut guard = told(8);
    let mut trial = Trial::new("d", &guard);
    let closed = guard.check(0, Effect::Close(STREAM)).unwrap();
    assert!(trial.review(closed, &AnswerOffloads::new(), &guard).is_empty());
    let message = &trial.failed().expect("it ends the session").1.message;
    assert!(message.contains("8 of 8 routes"), "{message}");
}
