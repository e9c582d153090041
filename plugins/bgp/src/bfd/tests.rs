//! Two sessions on one clock, and the transition table of RFC 5880 section 6.8.6.
use outrigger_sdk::wire::bfd::{ControlPacket, Diagnostic, Discard, State};
use outrigger_sdk::{Opened, PeerHealth, Resumed, ResumedEndpoint, SocketOption};
use proptest::prelude::*;

use super::*;
use host::{NUMBERS, Node, Pair, settings};
use packets::at;

mod host;
mod packets;

const SECOND: u64 = 1_000_000;
const MS: u64 = 1000;

fn pair(interval_us: u32, multiplier: u8) -> Pair {
    let first = settings("192.0.2.2", interval_us, multiplier);
    let second = settings("192.0.2.1", interval_us, multiplier);
    Pair::new(first, second, 0x5eed)
}

fn up(interval_us: u32, multiplier: u8) -> Pair {
    let mut pair = pair(interval_us, multiplier);
    pair.run(5 * SECOND);
    assert!(pair.nodes.iter().all(Node::is_up));
    pair
}

/// Returns the gaps between the packets sent since this time.
fn gaps(node: &Node, from: u64) -> Vec<u64> {
    let times: Vec<u64> = node.sent.iter().map(|it| it.0).filter(|at| *at >= from).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn both_ends_come_up_and_then_send_at_the_negotiated_interval_with_jitter() {
    let mut pair = up(50_000, 3);
    let settled = pair.now;
    pair.run(10 * SECOND);
    for node in &pair.nodes {
        assert_eq!(node.changes.len(), 1, "{:?}", node.changes);
        let gaps = gaps(node, settled);
        assert!(gaps.iter().all(|gap| (37_500..=50_000).contains(gap)), "{gaps:?}");
        assert!(gaps.iter().any(|gap| *gap < 40_000) && gaps.iter().any(|gap| *gap > 47_000));
    }
}

#[test]
fn until_up_nobody_sends_more_than_once_a_second() {
    let mut pair = pair(10_000, 3);
    pair.cut = [true; 2];
    pair.run(30 * SECOND);
    for node in &pair.nodes {
        let gaps = gaps(node, 0);
        assert!(gaps.len() > 25 && gaps.iter().all(|gap| (750 * MS..=SECOND).contains(gap)));
        assert!(node.sent.iter().all(|(_, packet)| packet.desired_min_tx_us >= 1_000_000));
    }
}

#[test]
fn an_hour_of_packets_every_ten_milliseconds_does_not_reach_the_plugin() {
    let mut pair = up(10_000, 3);
    let events = pair.nodes[0].events;
    assert!(events < 12, "{events} events to come up");
    pair.run(3600 * SECOND);
    assert!(pair.nodes[0].sent.len() > 300_000);
    assert_eq!(pair.nodes[0].events, events);
}

#[test]
fn a_cut_wire_is_noticed_within_three_intervals_of_fifty_milliseconds() {
    let mut pair = up(50_000, 3);
    pair.cut = [true; 2];
    let cut = pair.now;
    pair.run(SECOND);
    for node in &pair.nodes {
        let (at, change) = node.changes[1];
        assert_eq!(change, Change::Down(Reason::Expired));
        assert!(at - cut <= 150_000, "{} us", at - cut);
        assert_eq!(node.session.state(), State::Down);
        assert_eq!(node.session.report("r").health, PeerHealth::Down);
        assert_eq!(node.session.report("r").last_error, "control detection time expired");
    }
    pair.cut = [false; 2];
    pair.run(5 * SECOND);
    assert!(pair.nodes.iter().all(Node::is_up));
}

#[test]
fn a_wire_cut_one_way_takes_both_ends_down() {
    let mut pair = up(50_000, 3);
    pair.cut = [true, false];
    let cut = pair.now;
    pair.run(200 * MS);
    assert_eq!(pair.nodes[1].changes[1].1, Change::Down(Reason::Expired));
    let (at, change) = pair.nodes[0].changes[1];
    assert_eq!(change, Change::Down(Reason::Neighbor(Diagnostic::DetectionTimeExpired)));
    assert!(at - cut < 151 * MS, "the news goes out at once");
    pair.run(3 * SECOND);
    assert!(!pair.nodes.iter().any(Node::is_up), "one way is no way");
}

#[test]
fn the_slower_end_of_each_direction_decides() {
    let mut slow = settings("192.0.2.1", 50_000, 3);
    slow.receive_us = 300_000;
    slow.multiplier = 5;
    let mut pair = Pair::new(settings("192.0.2.2", 50_000, 3), slow, 7);
    pair.run(5 * SECOND);
    let settled = pair.now;
    pair.run(10 * SECOND);
    assert!(gaps(&pair.nodes[0], settled).iter().all(|gap| (225 * MS..=300 * MS).contains(gap)));
    assert!(gaps(&pair.nodes[1], settled).iter().all(|gap| (37_500..=50_000).contains(gap)));
    pair.cut = [true; 2];
    let cut = pair.now;
    pair.run(2 * SECOND);
    let down = |node: &Node| node.changes[1].0 - cut;
    // RFC 5880 section 6.8.4: the remote multiplier times the larger of our receive interval and its transmit interval.
    assert!((200 * MS..=250 * MS).contains(&down(&pair.nodes[0])), "{}", down(&pair.nodes[0]));
    assert!((600 * MS..=900 * MS).contains(&down(&pair.nodes[1])), "{}", down(&pair.nodes[1]));
}

#[test]
fn a_multiplier_of_one_sends_at_three_quarters_to_nine_tenths_of_the_interval() {
    let mut pair = up(100_000, 1);
    let settled = pair.now;
    pair.run(10 * SECOND);
    let gaps = gaps(&pair.nodes[0], settled);
    assert!(gaps.iter().all(|gap| (75_000..=90_000).contains(gap)), "{gaps:?}");
    assert_eq!(pair.nodes[0].changes.len(), 1);
}

#[test]
fn other_intervals_are_negotiated_by_a_poll_without_going_down() {
    for (before, after) in [(50_000, 300_000), (300_000, 50_000)] {
        let mut pair = up(before, 3);
        let now = pair.now;
        let sent = pair.nodes[0].sent.len();
        pair.nodes[0].act(now, |session, effects| {
            session.configure(settings("192.0.2.2", after, 3), effects);
            None
        });
        pair.run(5 * SECOND);
        assert!(pair.nodes[0].sent[sent..].iter().any(|(_, packet)| packet.poll));
        assert!(!pair.nodes[0].sent.last().expect("one").1.poll, "the answer ends the poll");
        assert!(pair.nodes[1].sent.iter().any(|(_, packet)| packet.is_final));
        let settled = pair.now;
        pair.run(5 * SECOND);
        let longest = u64::from(before.max(after));
        assert!(
            gaps(&pair.nodes[0], settled)
                .iter()
                .all(|gap| *gap <= longest && *gap * 4 >= longest * 3)
        );
        for node in &pair.nodes {
            assert_eq!(node.changes.len(), 1, "{:?}", node.changes);
        }
    }
}

#[test]
fn a_lost_answer_is_asked_for_again() {
    let mut pair = up(50_000, 3);
    pair.cut = [false, true];
    let now = pair.now;
    pair.nodes[0].act(now, |session, effects| {
        session.configure(settings("192.0.2.2", 60_000, 3), effects);
        None
    });
    pair.run(100 * MS);
    assert!(pair.nodes[0].sent.last().expect("one").1.poll);
    pair.cut = [false; 2];
    pair.run(SECOND);
    assert!(!pair.nodes[0].sent.last().expect("one").1.poll);
    assert!(pair.nodes.iter().all(|node| node.changes.len() == 1));
}

#[test]
fn a_longer_interval_waits_for_the_peer_to_know() {
    let mut pair = up(50_000, 3);
    pair.cut = [true, false];
    let now = pair.now;
    pair.nodes[0].act(now, |session, effects| {
        session.configure(settings("192.0.2.2", 500_000, 3), effects);
        None
    });
    pair.run(140 * MS);
    assert!(gaps(&pair.nodes[0], now).iter().all(|gap| *gap <= 50_000), "the old one until then");
}

#[test]
fn admin_down_says_nothing_about_the_path() {
    let mut pair = up(50_000, 3);
    let now = pair.now;
    pair.nodes[0].act(now, |session, effects| session.administer(true, effects));
    pair.run(SECOND);
    let (_, ours) = pair.nodes[0].changes[1];
    let (_, theirs) = pair.nodes[1].changes[1];
    assert_eq!(ours, Change::Down(Reason::AdminDown));
    assert_eq!(theirs, Change::Down(Reason::NeighborAdminDown));
    for change in [ours, theirs] {
        assert!(matches!(change, Change::Down(reason) if !reason.is_failure()));
    }
    assert_eq!(pair.nodes[0].session.state(), State::AdminDown);
    assert_eq!(pair.nodes[1].session.report("r").health, PeerHealth::Disabled);
    let now = pair.now;
    pair.nodes[0].act(now, |session, effects| session.administer(false, effects));
    pair.run(5 * SECOND);
    assert!(pair.nodes.iter().all(Node::is_up));
}

#[test]
fn a_session_that_ends_is_no_failure_for_the_peer_even_if_one_packet_is_lost() {
    let mut pair = up(50_000, 3);
    let now = pair.now;
    let session = pair.nodes[0].session.clone();
    pair.nodes[0].act(now, |_, effects| {
        session.close(effects);
        None
    });
    assert!(pair.nodes[0].sockets.is_empty());
    pair.nodes[0].outbox.remove(0);
    pair.run(SECOND);
    assert_eq!(pair.nodes[1].changes[1].1, Change::Down(Reason::NeighborAdminDown));
}

#[test]
fn a_passive_session_is_silent_until_it_hears_the_peer() {
    let mut passive = settings("192.0.2.1", 50_000, 3);
    passive.passive = true;
    let mut pair = Pair::new(settings("192.0.2.2", 50_000, 3), passive, 9);
    pair.cut = [true, false];
    pair.run(5 * SECOND);
    assert!(pair.nodes[1].sent.is_empty());
    pair.cut = [false; 2];
    pair.run(5 * SECOND);
    assert!(pair.nodes.iter().all(Node::is_up));
}

#[test]
fn sockets_are_those_of_rfc_5881_and_rfc_5883() {
    let node = Node::new(settings("192.0.2.2", 50_000, 3), 1);
    let transmit = &node.sockets[&NUMBERS.transmit];
    assert!(transmit.port >= 49152);
    assert!(transmit.options.contains(&SocketOption::HopLimit(255)));
    let receive = &node.sockets[&NUMBERS.receive];
    assert_eq!(receive.port, 3784);
    assert!(receive.options.contains(&SocketOption::MinHopLimit(255)));
    assert_eq!(receive.remotes, ["192.0.2.2/32".parse().expect("a prefix")]);
    let mut far = settings("2001:db8::2", 50_000, 3);
    far.reach = BfdMode::Multihop { minimum_ttl: 250 };
    let node = Node::new(far, 1);
    assert_eq!(node.sockets[&NUMBERS.receive].port, 4784);
    assert!(
        node.sockets[&NUMBERS.receive].options.contains(&SocketOption::MinHopLimit(250)),
        "{:?}",
        node.sockets
    );
}

#[test]
fn a_swap_asks_again_only_for_what_the_host_has_lost() {
    let mut pair = up(50_000, 3);
    let now = pair.now;
    let saved = postcard::to_allocvec(&pair.nodes[0].session).expect("is data");
    let mut restored: Session = postcard::from_bytes(&saved).expect("was written by the same");
    assert_eq!(restored, pair.nodes[0].session);
    let any = "0.0.0.0:0".parse().expect("an address");
    let socket = |id| ResumedEndpoint {
        opened: Opened { id, local: any, remote: any, credit: 0 },
        listener: false,
    };
    let whole = Resumed {
        open: vec![socket(NUMBERS.transmit), socket(NUMBERS.receive)],
        offloads: vec![NUMBERS.beacon, NUMBERS.expect],
    };
    let mut effects = Vec::new();
    restored.resumed(&whole, &mut effects);
    assert_eq!(effects, []);
    restored.resumed(&Resumed { offloads: vec![NUMBERS.beacon], ..whole }, &mut effects);
    assert_eq!(effects.len(), 1, "the detection time: {effects:?}");
    pair.nodes[0].sockets.clear();
    pair.nodes[0].act(now, |session, effects| {
        session.resumed(&Resumed::default(), effects);
        None
    });
    pair.run(5 * SECOND);
    assert!(pair.nodes.iter().all(|node| node.is_up() && node.changes.len() == 1));
}

#[test]
fn a_socket_that_the_host_closes_is_no_failure_of_the_path_and_can_be_opened_again() {
    let mut pair = up(50_000, 3);
    let now = pair.now;
    pair.nodes[0].sockets.remove(&NUMBERS.receive);
    pair.nodes[0].act(now, |session, effects| session.closed(NUMBERS.receive, "no grant", effects));
    let (_, change) = pair.nodes[0].changes[1];
    assert_eq!(change, Change::Down(Reason::NoSocket));
    assert!(pair.nodes[0].sockets.is_empty());
    assert_eq!(pair.nodes[0].session.report("r").last_error, "no grant");
    pair.run(SECOND);
    let now = pair.now;
    pair.nodes[0].act(now, |session, effects| {
        session.reopen(effects);
        None
    });
    pair.run(5 * SECOND);
    assert!(pair.nodes.iter().all(Node::is_up));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_lossy_wire_never_wedges_two_sessions(
        seed in 1..u64::MAX,
        loss in 0_u64..400,
        first in 10_000_u32..400_000,
        second in 10_000_u32..400_000,
        multiplier in 1_u8..6,
    ) {
        let first = settings("192.0.2.2", first, multiplier);
        let mut pair = Pair::new(first, settings("192.0.2.1", second, 3), seed);
        pair.loss = loss;
        pair.run(60 * SECOND);
        pair.loss = 0;
        pair.run(10 * SECOND);
        for node in &pair.nodes {
            prop_assert!(node.is_up());
            prop_assert!(!node.sent.last().expect("it speaks").1.poll);
            // Up and Down alternate: no change is reported twice.
            for (index, (_, change)) in node.changes.iter().enumerate() {
                prop_assert_eq!(*change == Change::Up, index % 2 == 0);
            }
        }
    }

    #[test]
    fn no_packet_takes_a_session_that_is_up_down_but_one_of_its_own(
        octets in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut node = at(State::Up);
        node.arrive(1, "192.0.2.2".parse().expect("an address"), 255, octets.clone());
        let ours = ControlPacket::decode(&octets)
            .is_ok_and(|packet| matches!(packet.your_discriminator, 0 | 0x0101));
        prop_assert!(node.is_up() || ours);
    }
}
