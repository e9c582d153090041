//! Regardless of the order of events: once the network is quiet, the peer holds the desired routes, and no unnecessary
//! message was sent.
use proptest::prelude::*;

use super::net::Net;
use super::*;

const A: &str = "192.0.2.10";
const B: &str = "192.0.2.1";

/// Three addresses share one aggregate, and two share another.
const ADDRESSES: [&str; 5] =
    ["198.51.100.1", "198.51.100.2", "203.0.113.1", "203.0.113.2", "198.51.100.200"];

const NODE: &str = r#"{"asn": 64513, "gracefulShutdown": {"enabled": false},
    "advertisements": [{"communities": ["64513:1"]},
                       {"aggregationLength": 24, "serviceSelector": {"matchLabels": {"app": "web"}}}],
    "peers": [{"name": "tor", "address": "192.0.2.1", "asn": 64512, "holdTime": 9, "listen": true,
               "gracefulRestart": {}}]}"#;
const ROUTER: &str = r#"{"asn": 64512, "routerId": "192.0.2.1", "peers": [{"name": "node",
    "address": "192.0.2.10", "asn": 64513, "listen": true, "holdTime": 9, "gracefulRestart": {}}]}"#;

#[derive(Debug, Clone)]
enum Step {
    Want(usize, Duty),
    Forget(usize),
    /// Removed and wanted again before any speaker is notified.
    Renew(usize),
    Break,
    Silence(u64),
    Swap(usize),
    Restart(usize),
    Refresh,
    Run(u64),
}

fn duty() -> impl Strategy<Value = Duty> {
    prop_oneof![
        3 => Just(Duty::Announce),
        1 => Just(Duty::HandOver("b".into())),
        1 => Just(Duty::Standby("b".into())),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let address = 0..ADDRESSES.len();
    prop_oneof![
        6 => (address.clone(), duty()).prop_map(|(at, duty)| Step::Want(at, duty)),
        3 => address.clone().prop_map(Step::Forget),
        1 => address.prop_map(Step::Renew),
        1 => Just(Step::Break),
        1 => (100..15_000u64).prop_map(Step::Silence),
        2 => (0..2usize).prop_map(Step::Swap),
        1 => (0..2usize).prop_map(Step::Restart),
        1 => Just(Step::Refresh),
        5 => (0..3_000u64).prop_map(Step::Run),
    ]
}

fn take(net: &mut Net, step: Step) {
    match step {
        Step::Want(at, duty) => net.want(0, ADDRESSES[at], duty),
        Step::Forget(at) => net.forget(0, ADDRESSES[at]),
        Step::Renew(at) => {
            net.forget(0, ADDRESSES[at]);
            net.want(0, ADDRESSES[at], Duty::Announce);
        }
        Step::Break => net.break_all(),
        Step::Silence(ms) => {
            net.silent = true;
            net.run(ms);
            net.silent = false;
        }
        Step::Swap(node) => net.swap(node, None),
        Step::Restart(node) => net.restart(node),
        Step::Refresh => {
            let (family, kind) = (bgp::Family::IPV4_UNICAST, bgp::RefreshKind::Request);
            if net.established() {
                net.inject(1, bgp::RouteRefresh { family, kind }.encode());
            }
        }
        Step::Run(ms) => net.run(ms),
    }
}

/// Returns the routes that follow from the desired addresses, each with true if it is the last choice.
fn expected(net: &Net) -> BTreeMap<IpNet, bool> {
    let mut routes: BTreeMap<IpNet, bool> = BTreeMap::new();
    for entry in net.nodes[0].desired.values().filter(|entry| entry.duty.speaks()) {
        let leaving = matches!(entry.duty, Duty::HandOver(_));
        for length in [32, 24] {
            let prefix = IpNet::new(entry.address, length).unwrap().trunc();
            *routes.entry(prefix).or_insert(true) &= leaving;
        }
    }
    routes
}

fn check(net: &Net) {
    assert!(net.established(), "{:?} {:?}", net.nodes[0].peers, net.nodes[1].peers);
    let held = net.held(1).unwrap().iter().map(|(prefix, (_, attributes))| {
        (*prefix, attributes.communities.contains(&bgp::Community::GRACEFUL_SHUTDOWN))
    });
    assert_eq!(held.collect::<BTreeMap<_, _>>(), expected(net));
    for (address, entry) in &net.nodes[0].desired {
        let state = &net.nodes[0].reports[address].state;
        let speaks = entry.duty.speaks();
        let right = if speaks { AnnouncementState::Announced } else { AnnouncementState::Standby };
        assert_eq!(*state, right, "{address}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn when_it_is_quiet_the_peer_holds_what_is_desired(steps in prop::collection::vec(step(), 1..40)) {
        let mut net = Net::new(&[(A, NODE), (B, ROUTER)]);
        steps.into_iter().for_each(|step| take(&mut net, step));
        // The longest pause before a connection attempt, and the attempt.
        net.run(30_000);
        check(&net);
        // From here on no message is sent, whichever instance takes over.
        net.nodes[0].written.clear();
        net.swap(0, None);
        net.swap(1, None);
        net.run(30_000);
        check(&net);
        prop_assert_eq!(&net.nodes[0].written, &vec![]);
    }
}

/// Generates a message of the peer with some octets changed, or arbitrary octets.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let families = [bgp::Family::IPV4_UNICAST, bgp::Family::IPV6_UNICAST];
    let open = bgp::Open {
        asn: 64512,
        hold_time: 9,
        router_id: "192.0.2.1".parse().unwrap(),
        capabilities: families.map(bgp::Capability::Multiprotocol).to_vec(),
    };
    let refresh =
        bgp::RouteRefresh { family: families[0], kind: bgp::RefreshKind::Request }.encode();
    let cease = Notification::with_communication(ErrorCode::ADMINISTRATIVE_SHUTDOWN, "bye");
    let attributes =
        bgp::Attributes { as_path: bgp::AsPath::sequence([64512]), ..Default::default() };
    let prefixes = ["10.0.0.0/8".parse().unwrap(), "10.1.0.0/16".parse().unwrap()];
    let next_hop = bgp::NextHop::V4("192.0.2.1".parse().unwrap());
    let update = bgp::announcements(&attributes, next_hop, &prefixes, &Negotiated::default())
        .unwrap()
        .map(|packed| packed.message)
        .next()
        .unwrap();
    let whole = prop::sample::select(vec![
        open.encode(),
        bgp::keepalive(),
        refresh,
        cease.encode(),
        update,
        bgp::end_of_rib(families[1]),
    ]);
    let flips = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    let changed = (whole, flips).prop_map(|(mut message, flips)| {
        for (at, octet) in flips {
            let at = at.index(message.len());
            message[at] = octet;
        }
        message
    });
    prop_oneof![4 => changed, 1 => prop::collection::vec(any::<u8>(), 0..64)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_a_peer_says_the_speaker_goes_on(said in prop::collection::vec(noise(), 1..20)) {
        let mut net = Net::new(&[(A, NODE), (B, ROUTER)]);
        net.want(0, ADDRESSES[0], Duty::Announce);
        net.run(5);
        for message in said {
            net.inject(1, message);
            net.run(300);
        }
        net.run(30_000);
        check(&net);
    }
}
