//! Tests with real sockets, real filters and a private wire.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use outrigger_sdk::wire::{
    ArpOperation, Decoded, MacAddr, NeighborMessage, announcement, multicast_mac,
};
use outrigger_sdk::{Beacon, Endpoint, Frame, Link, LinkIndex, Topic};

use super::{OffloadError, Responder, ResponderHandle, SendError, Sink};
use crate::namespace::{
    Client, MAC, PEER_MAC, Wire, index, ip, namespaced, solicitation, until_up, veth, who_has,
};
use crate::sys::boottime_us;
use crate::{Links, Owner};

const OWNER: Owner = 1;
const OTHER: Owner = 2;
const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 10));
/// An address that is always answered: an earlier request that is unanswered by then stays unanswered.
const MARKER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const ASKER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

#[derive(Debug, PartialEq)]
enum News {
    Frame(Owner, Vec<u8>),
    Ended(Owner, Endpoint),
}

struct Inbox {
    news: mpsc::Sender<News>,
    full: AtomicBool,
}

impl Sink for Inbox {
    fn frame(&self, owner: Owner, frame: Frame) -> bool {
        !self.full.load(Ordering::SeqCst) && self.news.send(News::Frame(owner, frame.data)).is_ok()
    }
    fn ended(&self, owner: Owner, id: Endpoint) {
        self.news.send(News::Ended(owner, id)).unwrap();
    }
}

/// A responder on eth0, the far end of the wire, and the notifications of the sink.
struct Bench {
    handle: ResponderHandle,
    wire: Wire,
    news: mpsc::Receiver<News>,
    inbox: Arc<Inbox>,
    link: LinkIndex,
    _responder: Responder,
}

impl Bench {
    fn new() -> Self {
        veth();
        let (sender, news) = mpsc::channel();
        let inbox = Arc::new(Inbox { news: sender, full: AtomicBool::new(false) });
        let responder = Responder::start(inbox.clone()).unwrap();
        let (handle, link) = (responder.handle(), index("eth0"));
        assert!(handle.set_links(&links(link, MAC)).is_empty());
        handle.answer(9, 1, link, MARKER.into()).unwrap();
        Self { handle, wire: Wire::open(), news, inbox, link, _responder: responder }
    }

    fn answer(&self, id: Endpoint, address: IpAddr) {
        self.handle.answer(OWNER, id, self.link, address).unwrap();
    }

    /// Sends a frame and returns the frames that came back once it is fully processed.
    fn reaction(&mut self, frame: &[u8]) -> Vec<Decoded> {
        self.wire.send(frame);
        self.settle()
    }

    /// Requests the marker twice: the first answer may be in the same batch as the frames sent before, the second is in
    /// a later one. Returns the other frames that came back.
    fn settle(&mut self) -> Vec<Decoded> {
        let mut besides = Vec::new();
        for _ in 0..2 {
            self.wire.send(&who_has(MARKER, ASKER, MacAddr::broadcast()));
            loop {
                match self.wire.next() {
                    it if is_answer_for(&it, MARKER.into()) => break,
                    it => besides.push(it),
                }
            }
        }
        besides
    }

    /// Returns true if a request for an IPv4 address is answered.
    fn answers(&mut self, address: Ipv4Addr) -> bool {
        let reaction = self.reaction(&who_has(address, ASKER, MacAddr::broadcast()));
        reaction.iter().any(|frame| is_answer_for(frame, address.into()))
    }

    fn frame(&self, data: Vec<u8>) -> Frame {
        Frame { link: self.link, data }
    }

    fn beacon(&self, interval_ms: u32, count: u32) -> Beacon {
        let frame = self.frame(announcement(VIP, MAC));
        Beacon { frame, interval_us: interval_ms * 1000, jitter_percent: 0, count }
    }
}

fn links(index: LinkIndex, mac: MacAddr) -> Links {
    let (name, addresses) = ("eth0".into(), vec![]);
    let link = Link { index, name, mac, mtu: 1500, up: true, arp: true, generation: 0, addresses };
    Links::from([(index, link)])
}

fn is_answer_for(frame: &Decoded, address: IpAddr) -> bool {
    match frame.message {
        NeighborMessage::Arp(arp) => {
            arp.operation == ArpOperation::Reply && address == arp.sender_ip
        }
        NeighborMessage::Advertisement(na) => address == na.target,
        NeighborMessage::Solicitation(_) => false,
    }
}

fn v4(address: IpAddr) -> Ipv4Addr {
    let IpAddr::V4(address) = address else { panic!("{address} is IPv4") };
    address
}

mod lease;

namespaced! {
    fn arp_questions_broadcast_unicast_and_probes_are_answered_with_the_links_mac() {
        let mut bench = Bench::new();
        bench.answer(1, VIP);
        for (asker, to) in
            [(ASKER, MacAddr::broadcast()), (ASKER, MAC), (Ipv4Addr::UNSPECIFIED, MacAddr::broadcast())]
        {
            let reaction = bench.reaction(&who_has(v4(VIP), asker, to));
            let [Decoded { destination: PEER_MAC, source: MAC, message: NeighborMessage::Arp(arp) }] = reaction[..]
            else { panic!("{asker} {to}: {reaction:?}") };
            assert_eq!((arp.sender_ip, arp.sender_mac), (v4(VIP), MAC));
            assert_eq!((arp.target_ip, arp.target_mac), (asker, PEER_MAC));
        }
        assert_eq!(bench.handle.counters().answered_arp, 3 + 3 * 2);
    }

    fn solicitations_are_answered_and_duplicate_address_detection_to_all_nodes() {
        let mut bench = Bench::new();
        let vip: Ipv6Addr = "2001:db8::10".parse().unwrap();
        let asker: Ipv6Addr = "2001:db8::1".parse().unwrap();
        bench.answer(1, vip.into());
        let all_nodes: Ipv6Addr = "ff02::1".parse().unwrap();
        let cases = [
            (asker, PEER_MAC, asker, true),
            (Ipv6Addr::UNSPECIFIED, multicast_mac(all_nodes), all_nodes, false),
        ];
        for (source, to_mac, to, solicited) in cases {
            let reaction = bench.reaction(&solicitation(vip, source));
            let [Decoded { destination, source: MAC, message: NeighborMessage::Advertisement(na) }] = reaction[..]
            else { panic!("{source}: {reaction:?}") };
            assert_eq!((destination, na.destination, na.solicited, na.overrides), (to_mac, to, solicited, true));
            assert_eq!((na.target, na.target_link_layer), (vip, Some(MAC)));
        }
        let counters = bench.handle.counters();
        assert_eq!((counters.answered_ndp, counters.answered_arp), (2, 2 * 2));
    }

    fn nothing_is_answered_once_a_call_that_ends_it_has_returned() {
        let mut bench = Bench::new();
        let address = |last| Ipv4Addr::new(192, 0, 2, last);
        for last in 10..=13 {
            bench.answer(last.into(), address(last).into());
        }
        bench.answer(20, address(10).into());
        assert_eq!(bench.handle.offloads(OWNER), [10, 11, 12, 13, 20]);

        assert_eq!(bench.handle.withdraw(OWNER, address(10).into()), [10, 20]);
        assert!(!bench.answers(address(10)) && bench.answers(address(11)));
        assert!(bench.handle.close(OWNER, 11) && !bench.handle.close(OWNER, 11));
        assert!(!bench.answers(address(11)) && bench.answers(address(12)));
        // The same number now does other work.
        bench.answer(12, address(14).into());
        assert!(!bench.answers(address(12)) && bench.answers(address(14)));
        assert_eq!(bench.handle.end_owner(OWNER), [12, 13]);
        assert!(!bench.answers(address(13)) && !bench.answers(address(14)));
        assert!(bench.handle.offloads(OWNER).is_empty());
    }

    fn a_second_owner_cannot_answer_for_the_same_address() {
        let mut bench = Bench::new();
        bench.answer(1, VIP);
        let refused = bench.handle.answer(OTHER, 1, bench.link, VIP);
        assert!(matches!(refused, Err(OffloadError::Taken { address: VIP, .. })), "{refused:?}");
        assert!(bench.handle.withdraw(OTHER, VIP).is_empty());
        assert!(bench.answers(v4(VIP)));
        bench.handle.withdraw(OWNER, VIP);
        bench.handle.answer(OTHER, 1, bench.link, VIP).unwrap();
        assert!(bench.answers(v4(VIP)));
    }

    fn watched_frames_reach_every_watcher_except_the_answered_ones() {
        let mut bench = Bench::new();
        let topic = Topic::about(VIP);
        for owner in [OWNER, OTHER] {
            bench.handle.watch(owner, bench.link, topic).unwrap();
        }
        let question = who_has(v4(VIP), ASKER, MacAddr::broadcast());
        assert_eq!(bench.reaction(&question), []);
        let both = |frame: &[u8]| [OWNER, OTHER].map(|owner| News::Frame(owner, frame.to_vec()));
        assert_eq!(bench.news.try_iter().collect::<Vec<_>>(), both(&question));

        bench.answer(1, VIP);
        let rival = announcement(VIP, PEER_MAC);
        assert_eq!(bench.reaction(&question).len(), 1);
        assert_eq!(bench.reaction(&rival), []);
        assert_eq!(bench.news.try_iter().collect::<Vec<_>>(), both(&rival));

        bench.handle.unwatch(OWNER, bench.link, topic);
        bench.inbox.full.store(true, Ordering::SeqCst);
        assert_eq!(bench.reaction(&rival), []);
        assert_eq!(bench.handle.counters().dropped.get("sink-full"), Some(&1));
        bench.handle.unwatch(OTHER, bench.link, topic);
        assert_eq!(bench.reaction(&rival), []);
        let counters = bench.handle.counters();
        assert_eq!((counters.dropped.get("gratuitous"), counters.delivered), (Some(&1), 4));
    }

    fn frames_about_nothing_watched_do_not_leave_the_kernel() {
        let mut bench = Bench::new();
        bench.handle.watch(OWNER, bench.link, Topic::Ndp("2001:db8::10".parse().unwrap())).unwrap();
        let strangers = (1..=50_u8).flat_map(|last| [
            who_has(Ipv4Addr::new(198, 51, 100, last), ASKER, MacAddr::broadcast()),
            // For the marker, but to another host's MAC address.
            who_has(MARKER, ASKER, MacAddr::new(2, 0, 0, 0, 9, last)),
            solicitation(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, last.into()), Ipv6Addr::UNSPECIFIED),
        ]);
        bench.wire.send_all(&strangers.collect::<Vec<_>>());
        assert_eq!(bench.settle(), []);
        let counters = bench.handle.counters();
        assert_eq!((counters.received, counters.answered_arp), (2, 2), "{counters:?}");
        assert!(counters.dropped.is_empty() && counters.overflowed == 0, "{counters:?}");
    }

    fn beacons_go_out_at_once_then_in_step_and_stop_by_count() {
        let mut bench = Bench::new();
        let start = boottime_us();
        bench.handle.beacon(OWNER, 1, VIP, bench.beacon(30, 3)).unwrap();
        assert_eq!((bench.handle.counters().beacons, bench.handle.offloads(OWNER)), (1, vec![1]));
        let times: Vec<u64> = (0..3).map(|_| {
            let frame = bench.wire.next();
            assert!(matches!(frame.message, NeighborMessage::Arp(arp) if arp.sender_ip == v4(VIP)), "{frame:?}");
            boottime_us() - start
        }).collect();
        assert!(times[1] >= 30_000 && times[2] >= 60_000, "{times:?}");
        assert_eq!(bench.settle(), []);
        assert_eq!((bench.handle.counters().beacons, bench.handle.offloads(OWNER)), (3, vec![]));
    }

    fn endless_beacons_end_with_their_address_and_with_the_links_mac() {
        let mut bench = Bench::new();
        bench.handle.beacon(OWNER, 1, VIP, bench.beacon(1, 0)).unwrap();
        bench.answer(2, VIP);
        for _ in 0..5 {
            bench.wire.next();
        }
        assert_eq!(bench.handle.withdraw(OWNER, VIP), [1, 2]);
        let sent = bench.handle.counters().beacons;
        assert!(sent >= 5);
        // A beacon of another address continues meanwhile: the thread runs, and this beacon has ended.
        bench.handle.beacon(OWNER, 3, MARKER.into(), bench.beacon(1, 0)).unwrap();
        assert_eq!(bench.handle.set_links(&links(bench.link, MacAddr::new(2, 0, 0, 0, 0, 7))).len(), 0);
        assert_eq!(bench.news.try_iter().collect::<Vec<_>>(), [News::Ended(OWNER, 3)]);
        let count = bench.handle.counters().beacons;
        let reaction = bench.reaction(&who_has(v4(VIP), ASKER, MacAddr::broadcast()));
        assert!(reaction.iter().all(|frame| frame.source == MAC), "{reaction:?}");
        assert_eq!(bench.handle.counters().beacons, count);
    }

    fn a_link_that_goes_away_ends_its_offloads_and_says_so() {
        let mut bench = Bench::new();
        bench.answer(1, VIP);
        bench.handle.watch(OWNER, bench.link, Topic::about(VIP)).unwrap();
        // Down and up again: the same sockets keep working.
        ip("link set eth0 down");
        assert!(matches!(bench.handle.send(&bench.frame(announcement(VIP, MAC))), Err(SendError::Io { .. })));
        ip("link set eth0 up");
        until_up();
        assert!(bench.answers(v4(VIP)));

        ip("link del eth0");
        assert!(bench.handle.set_links(&Links::new()).is_empty());
        let mut ended: Vec<News> = bench.news.try_iter().collect();
        ended.retain(|news| matches!(news, News::Ended(..)));
        assert_eq!(ended, [News::Ended(OWNER, 1), News::Ended(9, 1)]);
        assert!(matches!(bench.handle.send(&bench.frame(vec![0; 60])), Err(SendError::NoLink(_))));
        let refused = bench.handle.answer(OWNER, 1, bench.link, VIP);
        assert!(matches!(refused, Err(OffloadError::NoLink(_))), "{refused:?}");
        assert!(bench.handle.offloads(OWNER).is_empty());
    }

    fn ten_thousand_addresses_are_answered_through_covering_prefixes() {
        let mut bench = Bench::new();
        let v4 = |n: u32| Ipv4Addr::from(0x0a00_0000 + n * 3);
        let v6 = |n: u32| Ipv6Addr::from(0x2001_0db8 << 96 | u128::from(n.wrapping_mul(0x9e37_79b9)));
        for n in 0..10_000 {
            bench.answer(n, v4(n).into());
        }
        for n in 0..1_000 {
            bench.answer(10_000 + n, v6(n).into());
        }
        let questions = (0..10_000).map(|n| who_has(v4(n), ASKER, MacAddr::broadcast()));
        let questions = questions.chain((0..1_000).map(|n| solicitation(v6(n), "2001:db8::1".parse().unwrap())));
        // Fewer at once than a queue of the default size holds.
        for chunk in questions.collect::<Vec<_>>().chunks(100) {
            bench.wire.send_all(chunk);
            for _ in chunk {
                assert!(!matches!(bench.wire.next().message, NeighborMessage::Solicitation(_)));
            }
        }
        // Covered by a prefix but not ours: the table is exact.
        assert!(!bench.answers(Ipv4Addr::new(10, 0, 0, 1)));
        let counters = bench.handle.counters();
        assert_eq!((counters.answered_arp, counters.answered_ndp), (10_002, 1_000));
        assert_eq!(bench.handle.end_owner(OWNER).len(), 11_000);
        assert!(!bench.answers(v4(0)));
    }

    fn a_linux_client_reaches_addresses_that_only_the_responder_answers_for() {
        veth();
        let (sender, _news) = mpsc::channel();
        let responder = Responder::start(Arc::new(Inbox { news: sender, full: AtomicBool::new(false) })).unwrap();
        let (handle, link) = (responder.handle(), index("eth0"));
        handle.set_links(&links(link, MAC));
        let client = Client::start();
        client.take("peer0");
        client.run(
            "ip link set peer0 up; ip addr add 192.0.2.1/24 dev peer0; ip addr add 2001:db8::1/64 dev peer0 nodad",
        );
        // The address is on lo, where the kernel does not answer for it: arp_ignore 1; IPv6 never does.
        std::fs::write("/proc/sys/net/ipv4/conf/all/arp_ignore", "1").unwrap();
        for words in ["link set lo up", "addr add 192.0.2.2/24 dev eth0", "addr add 2001:db8::2/64 dev eth0 nodad"] {
            ip(words);
        }
        for (n, vip) in [(1, "192.0.2.10"), (2, "2001:db8::10")] {
            let address: IpAddr = vip.parse().unwrap();
            ip(&format!("addr add {vip} dev lo{}", if address.is_ipv6() { " nodad" } else { "" }));
            let listener = std::net::TcpListener::bind((address, 80)).unwrap();
            handle.answer(OWNER, n, link, address).unwrap();
            // Repeated while there is no route: IPv6 removes and adds it when it notices the carrier.
            let neighbours = client.run(&format!(
                "timeout 5 bash -c 'until (exec 3<>/dev/tcp/{vip}/80) 2>/dev/null; do :; done'; \
                 ip neigh show {vip} dev peer0"
            ));
            assert!(neighbours.contains(&MAC.to_string()), "{neighbours}");
            drop(listener);
        }
        let counters = handle.counters();
        assert!(counters.answered_arp >= 1 && counters.answered_ndp >= 1, "{counters:?}");
    }
}

#[test]
fn a_responder_that_is_dropped_ends_its_thread() {
    let (sender, news) = mpsc::channel();
    drop(Responder::start(Arc::new(Inbox { news: sender, full: AtomicBool::new(false) })).unwrap());
    // The thread held the last sender.
    assert_eq!(
        news.recv_timeout(Duration::from_secs(5)),
        Err(mpsc::RecvTimeoutError::Disconnected)
    );
}
