use std::net::IpAddr;

use proptest::prelude::*;
use rand::SeedableRng;

use super::claims::{Log, Peer};
use super::message::Chunk;
use super::*;
use crate::readiness::Readiness;

const SECOND: u64 = 1_000_000;

fn socket(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 7950))
}

fn membership(last: u8, incarnation: u64, key: u8, peers: &[u8]) -> Membership {
    let config = MembershipConfig::default();
    let name = format!("node-{last}");
    let seed = [last ^ incarnation as u8; 32];
    let mut one = Membership::new(config, name, socket(last), incarnation, [key; 32], seed, 0);
    let peers = peers.iter().map(|peer| (format!("node-{peer}"), socket(*peer))).collect();
    one.set_peers(0, &peers);
    one
}

/// Runs nodes on a network without loss or delay until `end`, and returns every datagram.
fn run(nodes: &mut [Membership], from: u64, end: u64) -> Vec<Vec<u8>> {
    let mut now = from;
    let mut seen = Vec::new();
    loop {
        let mut wire = Vec::new();
        for node in nodes.iter_mut() {
            while let Some(output) = node.poll() {
                if let Output::Send { to, data } = output {
                    wire.push((to, data));
                }
            }
        }
        if wire.is_empty() {
            let next = nodes.iter().filter_map(Membership::next_deadline).min();
            let Some(next) = next.filter(|next| *next < end) else { return seen };
            now = now.max(next);
            nodes.iter_mut().for_each(|node| node.handle_timeout(now));
        }
        for (to, data) in wire {
            for node in nodes.iter_mut().filter(|node| node.swim.me().address == to) {
                node.handle_datagram(now, socket(0), &data);
            }
            seen.push(data);
        }
    }
}

fn members(node: &Membership) -> Vec<&str> {
    node.view().members.keys().map(String::as_str).collect()
}

fn claim(term: u32) -> Option<Claim> {
    Some(Claim { term, announced: true })
}

#[test]
fn nodes_find_each_other_and_share_claims() {
    let mut nodes =
        [membership(1, 5, 7, &[1, 2, 3]), membership(2, 5, 7, &[1]), membership(3, 5, 7, &[1])];
    assert!(!nodes[0].outlook(0).settled, "peers have not answered yet");
    let many = (0..200u8).map(|last| (IpAddr::from([10, 0, 0, last]), claim(1))).collect();
    nodes[0].set_claims(0, &many);
    run(&mut nodes, 0, SECOND / 2);
    for node in &nodes {
        assert_eq!(members(node), ["node-1", "node-2", "node-3"]);
        assert!(node.outlook(SECOND / 2).settled);
        assert_eq!(node.view().claims.len(), 200);
        assert_eq!(node.view(), nodes[0].view());
    }
    nodes[0].set_claims(SECOND / 2, &[(IpAddr::from([10, 0, 0, 3]), None)].into());
    nodes[0].leave(SECOND / 2);
    run(&mut nodes, SECOND / 2, SECOND / 2 + 1);
    assert_eq!(nodes[2].view().claims.len(), 199);
    assert!(nodes[2].view().members["node-1"].leaving, "told at once");
    nodes[0].goodbye(SECOND);
    run(&mut nodes, SECOND, SECOND + SECOND / 10);
    assert_eq!(members(&nodes[1]), ["node-2", "node-3"]);
    assert!(nodes[1].view().claims.is_empty());
}

#[test]
fn who_has_another_key_never_joins() {
    let mut nodes = [membership(1, 5, 7, &[2]), membership(2, 5, 8, &[1])];
    run(&mut nodes, 0, 5 * SECOND);
    for node in &nodes {
        assert_eq!(node.view().members.len(), 1);
        assert!(node.dropped()[&DropReason::WrongKey] >= 4);
        assert!(node.outlook(5 * SECOND).settled, "it goes on alone");
    }
}

#[test]
fn garbage_is_dropped_with_a_reason() {
    let mut nodes = [membership(1, 5, 7, &[2]), membership(2, 5, 7, &[1])];
    let genuine = run(&mut nodes, 0, 1).remove(0);
    let with = |index: usize, octet: u8| {
        let mut bytes = genuine.clone();
        bytes[index] = octet;
        bytes
    };
    let mut seal = Seal::new([7; 32], ChaCha12Rng::seed_from_u64(1));
    let mut sealed = |message: &[u8]| seal.close(message).unwrap();
    let chunk = Chunk { log: 0, base: 0, upto: 9, version: 9, leaving: true, entries: vec![] };
    for (bytes, reason) in [
        (vec![], DropReason::TooShort),
        (genuine[..20].to_vec(), DropReason::TooShort),
        (with(1, b'?'), DropReason::Foreign),
        (with(0, 9), DropReason::OtherVersion),
        (with(60, 1), DropReason::WrongKey),
        (genuine[..50].to_vec(), DropReason::WrongKey),
        (sealed(b"\xff\xff"), DropReason::Malformed),
        (sealed(&Message::Swim(b"nonsense").encode()), DropReason::Refused),
        (sealed(&claims("stranger", 1, chunk.clone())), DropReason::NotMember),
        (sealed(&claims("node-2", 4, chunk)), DropReason::NotMember),
    ] {
        let before = nodes[0].dropped().get(&reason).copied().unwrap_or(0);
        nodes[0].handle_datagram(1, socket(9), &bytes);
        assert_eq!(nodes[0].dropped().get(&reason), Some(&(before + 1)), "{reason:?}");
    }
    assert_eq!(members(&nodes[0]), ["node-1", "node-2"]);
}

fn claims(name: &str, generation: u64, chunk: Chunk) -> Vec<u8> {
    Message::Claims { from: message::Sender { name, generation }, chunk }.encode()
}

#[test]
fn replayed_datagrams_change_nothing() {
    let mut nodes = [membership(1, 5, 7, &[2]), membership(2, 5, 7, &[1])];
    let address = IpAddr::from([10, 0, 0, 1]);
    let mut seen = run(&mut nodes, 0, SECOND);
    nodes[0].set_claims(SECOND, &[(address, claim(1))].into());
    seen.extend(run(&mut nodes, SECOND, 2 * SECOND));
    nodes[0].set_claims(2 * SECOND, &[(address, None)].into());
    seen.extend(run(&mut nodes, 2 * SECOND, 3 * SECOND));
    for data in &seen {
        for node in &mut nodes {
            node.handle_datagram(3 * SECOND, socket(9), data);
        }
    }
    run(&mut nodes, 3 * SECOND, 4 * SECOND);
    for node in &nodes {
        assert_eq!(members(node), ["node-1", "node-2"]);
        assert!(node.view().claims.is_empty());
    }
}

#[test]
fn a_node_whose_clock_went_back_is_let_in_again() {
    let day = 86_400 * SECOND;
    let mut nodes = [membership(1, 400 * day, 7, &[2]), membership(2, 400 * day, 7, &[1])];
    nodes[1].set_claims(0, &[(IpAddr::from([10, 0, 0, 1]), claim(1))].into());
    run(&mut nodes, 0, SECOND);
    assert_eq!(nodes[0].view().claims.len(), 1);
    nodes[1] = membership(2, 1, 7, &[1]);
    run(&mut nodes, SECOND, 3 * SECOND);
    for node in &nodes {
        assert_eq!(members(node), ["node-1", "node-2"]);
        assert!(node.view().claims.is_empty(), "claims of the former life are gone");
    }
}

#[test]
fn alone_means_settled_at_once_and_silence_means_settled_after_a_second() {
    assert!(membership(1, 5, 7, &[]).outlook(0).settled);
    assert!(membership(1, 5, 7, &[1]).outlook(0).settled, "itself is no peer");
    let mut silent = membership(1, 5, 7, &[2]);
    assert!(!silent.outlook(SECOND - 1).settled);
    let mut changed = 0;
    while let Some(now) = silent.next_deadline().filter(|at| *at <= 2 * SECOND) {
        silent.handle_timeout(now);
        while let Some(output) = silent.poll() {
            changed += usize::from(matches!(output, Output::Changed(change) if change.members));
        }
    }
    assert!(silent.outlook(SECOND).settled);
    assert_eq!(changed, 1);
    let fresh = Membership::new(
        MembershipConfig::default(),
        "node-1".into(),
        socket(1),
        5,
        [0; 32],
        [0; 32],
        0,
    );
    assert!(!fresh.outlook(9 * SECOND).settled, "peers are not known yet");
}

#[test]
fn who_is_alone_may_answer_for_ever_and_does_nothing() {
    let mut alone = membership(1, 5, 7, &[]);
    alone.set_readiness(0, BTreeMap::from([("layer2".into(), Readiness::default())]));
    while let Some(now) = alone.next_deadline().filter(|at| *at < 9 * SECOND) {
        alone.handle_timeout(now);
    }
    assert!(alone.next_deadline().is_none_or(|at| at > 60 * SECOND), "{:?}", alone.next_deadline());
    while let Some(output) = alone.poll() {
        assert!(!matches!(output, Output::Send { .. }));
        assert!(!matches!(output, Output::Changed(change) if change.caught_up.is_some()));
    }
    assert_eq!(alone.lease(), Some(u64::MAX));
    alone.handle_timeout(60 * SECOND);
    assert_eq!(alone.lease(), Some(u64::MAX));
    // Other nodes are configured long afterwards.
    alone.set_peers(90 * SECOND, &BTreeMap::from([("node-2".into(), socket(2))]));
    assert!(alone.lease().is_some_and(|until| until > 90 * SECOND));
    alone.handle_timeout(90 * SECOND + 100_000);
    assert!(alone.lease().is_some());
    alone.handle_timeout(91 * SECOND);
    assert_eq!(alone.lease(), None, "it stood still, and the loop has not heard of it");
}

#[test]
fn the_word_of_one_is_not_the_word_of_all() {
    let mut two = [membership(1, 5, 7, &[2, 3]), membership(2, 5, 7, &[1])];
    run(&mut two, 0, 299_000);
    assert_eq!(members(&two[0]), ["node-1", "node-2"]);
    assert!(!two[0].outlook(299_999).settled, "the third may hold what it is about to take");
    assert!(two[0].outlook(300_000).settled, "the third is down");
    let mut three =
        [membership(1, 5, 7, &[2, 3]), membership(2, 5, 7, &[1, 3]), membership(3, 5, 7, &[1, 2])];
    run(&mut three, 0, 1);
    assert!(three.iter().all(|node| node.outlook(1).settled), "nobody is missing");
}

proptest! {
    /// The other side knows exactly the current claims in the end, whatever is lost, duplicated or late.
    #[test]
    fn claims_arrive_over_any_network(
        steps in prop::collection::vec((0..40u8, prop::option::of(0..4u32), 0..8u8, any::<prop::sample::Index>()), 1..60),
    ) {
        let mut log = Log::new();
        let (mut sender, mut receiver) = (Peer::new(socket(2), 1), Peer::new(socket(1), 1));
        let mut wire: Vec<Chunk> = Vec::new();
        for (last, term, action, pick) in steps {
            let claim = term.map(|term| Claim { term, announced: false });
            log.apply(&[(IpAddr::from([10, 0, 0, last]), claim)].into());
            match action {
                0 => sender.rewind(),
                1 => receiver = Peer::new(socket(1), 1),
                2 => log.leave(),
                3 => sender = Peer::new(socket(2), 1),
                _ => {}
            }
            wire.extend(sender.chunks(&log));
            if !wire.is_empty() {
                // The message stays on the wire, so that it can arrive again.
                receiver.learn(pick.get(&wire));
                if action % 2 == 0 {
                    sender.acknowledge(&log, receiver.ack());
                }
            }
        }
        for _ in 0..3 {
            sender.rewind();
            for chunk in sender.chunks(&log) {
                receiver.learn(&chunk);
            }
            sender.acknowledge(&log, receiver.ack());
        }
        prop_assert!(receiver.complete);
        prop_assert_eq!(&receiver.claims, &log.claims());
    }
}

#[test]
fn a_log_full_of_withdrawn_claims_starts_anew() {
    let mut log = Log::new();
    let (mut sender, mut receiver) = (Peer::new(socket(2), 1), Peer::new(socket(1), 1));
    let mut restarted = 0;
    for index in 0..10_000u32 {
        let address = IpAddr::from(std::net::Ipv6Addr::from(u128::from(index)));
        let again = log.apply(&[(address, claim(1))].into())
            | log.apply(
                &[(address, (index % 100 == 0).then_some(Claim { term: 1, announced: true }))]
                    .into(),
            );
        if again {
            restarted += 1;
            sender.restart();
        }
        for chunk in sender.chunks(&log) {
            receiver.learn(&chunk);
        }
        sender.acknowledge(&log, receiver.ack());
    }
    assert_eq!(restarted, 2);
    assert_eq!(receiver.claims, log.claims());
    assert_eq!(receiver.claims.len(), 100);
}

#[test]
fn a_node_with_another_key_is_named_until_it_is_understood() {
    let mut one = membership(1, 100, 7, &[2]);
    let mut other = membership(2, 100, 8, &[1]);
    let datagrams = |node: &mut Membership, now: u64| -> Vec<Vec<u8>> {
        node.handle_timeout(now);
        let all = std::iter::from_fn(|| node.poll());
        all.filter_map(|it| if let Output::Send { data, .. } = it { Some(data) } else { None })
            .collect()
    };
    let unreadable = |node: &Membership| node.view().unreadable.get("node-2").copied();
    let mut received = 0;
    for second in 0..20 {
        let now = second * SECOND;
        for data in datagrams(&mut other, now) {
            one.handle_datagram(now, socket(2), &data);
            received += 1;
            assert_eq!(unreadable(&one).is_some(), received >= 3, "after {received}");
        }
    }
    assert_eq!(unreadable(&one), Some(Unreadable::OtherKey));
    // Nothing is reported of a host that is not a node.
    let sealed = datagrams(&mut other, 21 * SECOND);
    let mut stranger = membership(1, 100, 7, &[3]);
    (0..9).for_each(|_| stranger.handle_datagram(0, socket(2), &sealed[0]));
    assert!(stranger.view().unreadable.is_empty());

    // The node is silent, so it is forgotten.
    one.handle_timeout(28 * SECOND);
    assert!(unreadable(&one).is_some());
    one.handle_timeout(31 * SECOND);
    assert_eq!(unreadable(&one), None);

    // The node has the key now. A node that can be read is alive, so unreadable datagrams in its name are those of
    // another sender.
    let mut nodes = [one, membership(2, 200, 7, &[1])];
    run(&mut nodes, 31 * SECOND, 34 * SECOND);
    let [mut one, _] = nodes;
    assert_eq!(members(&one), ["node-1", "node-2"]);
    (0..9).for_each(|_| one.handle_datagram(34 * SECOND, socket(2), &sealed[0]));
    assert_eq!(unreadable(&one), None);

    let mut old = membership(1, 100, 7, &[2]);
    let newer = [&[9], &sealed[0][1..]].concat();
    (0..3).for_each(|_| old.handle_datagram(0, socket(2), &newer));
    assert_eq!(unreadable(&old), Some(Unreadable::OtherVersion));
    let mut nodes = [old, membership(2, 300, 7, &[1])];
    run(&mut nodes, 0, 3 * SECOND);
    assert_eq!(unreadable(&nodes[0]), None);
}
