//! Messages sent to one peer: policy, packing, credit, and routes that the host cuts out.
use std::time::{Duration, Instant};

use super::*;

const STREAM: u32 = 1;
const PEER: &str =
    r#""peers": [{"name": "tor", "address": "192.0.2.1", "asn": 64512, "holdTime": 90}]"#;

fn config(more: &str) -> String {
    format!(r#"{{"asn": 64513, {more} {PEER}}}"#)
}

fn families(families: &[bgp::Family]) -> Vec<bgp::Capability> {
    let carried = families.iter().copied().map(bgp::Capability::Multiprotocol);
    carried.chain([bgp::Capability::FourOctetAs(64512)]).collect()
}

fn ipv4() -> Vec<bgp::Capability> {
    families(&[bgp::Family::IPV4_UNICAST])
}

/// Returns an Established session with this much credit left, and the effects of establishing it.
fn established(
    config: &str,
    capabilities: Vec<bgp::Capability>,
    ends: (&str, &str),
    wanted: Vec<DesiredAddress>,
    credit: u32,
) -> (Bench, Vec<Effect>) {
    let mut bench = Bench::new(config);
    let eth0 = link(2, "eth0", &["192.0.2.10/24", "2001:db8::10/64", "fe80::2/64"]);
    bench.call(vec![Event::LinksChanged(links(&[eth0])), Event::DesiredChanged(desired(wanted))]);
    let (local, remote) = (ends.0.parse().unwrap(), ends.1.parse().unwrap());
    let handshake = 1_000;
    let opened = Opened { id: STREAM, local, remote, credit: credit + handshake };
    let spent: u32 = bench.call(vec![Event::Opened(opened)]).iter().map(length).sum();
    let (router_id, hold_time) = ("192.0.2.1".parse().unwrap(), 90);
    let open = bgp::Open { asn: 64512, hold_time, router_id, capabilities };
    // The excess credit is taken off before the session is up, so that exactly `credit` is left.
    let spent = spent + bench.call(data(open.encode())).iter().map(length).sum::<u32>();
    let state = &mut bench.speaker.state;
    let connection = &mut state.neighbours.get_mut("tor").unwrap().connections[0];
    connection.credit -= handshake - spent;
    let effects = bench.call(data(bgp::keepalive()));
    (bench, effects)
}

fn simple(more: &str, wanted: Vec<DesiredAddress>) -> (Bench, Vec<Effect>) {
    let ends = ("192.0.2.10:40000", "192.0.2.1:179");
    established(&config(more), ipv4(), ends, wanted, 1 << 20)
}

fn length(effect: &Effect) -> u32 {
    match effect {
        Effect::Write(bytes) => bytes.data.len() as u32,
        _ => 0,
    }
}

fn data(message: Vec<u8>) -> Vec<Event> {
    vec![Event::Data(StreamBytes { id: STREAM, data: message })]
}

fn announce(addresses: &[&str]) -> Vec<DesiredAddress> {
    addresses.iter().map(|address| entry(address, Duty::Announce)).collect()
}

fn change(remove: &[&str], upsert: Vec<DesiredAddress>) -> Vec<Event> {
    let remove = remove.iter().map(|address| address.parse().unwrap()).collect();
    vec![Event::DesiredChanged(DesiredChanged { remove, upsert, ..DesiredChanged::default() })]
}

/// Returns the UPDATEs as the peer decodes them.
fn updates(effects: &[Effect]) -> Vec<bgp::Update> {
    let negotiated = as_the_peer();
    let decode = |effect: &Effect| match effect {
        Effect::Write(bytes) => match bgp::decode(&bytes.data, &negotiated).unwrap() {
            Message::Update(update) => Some(*update),
            _ => None,
        },
        _ => None,
    };
    effects.iter().filter_map(decode).collect()
}

#[track_caller]
fn check_said(effects: &[Effect], expected: &[&str]) {
    let said: Vec<String> =
        said(effects).into_iter().filter(|line| line.starts_with("1 ")).collect();
    assert_eq!(said, expected);
}

#[test]
fn one_call_is_one_message_however_many_changes_there_were() {
    let (mut bench, first) = simple("", announce(&["198.51.100.1", "198.51.100.2"]));
    let end = "1 end of IPv4 unicast";
    check_said(&first, &["1 announce 198.51.100.1/32 198.51.100.2/32 via 192.0.2.10", end]);
    let mut events = change(&["198.51.100.1"], announce(&["198.51.100.3", "198.51.100.4"]));
    events.extend(change(&["198.51.100.4"], vec![]));
    let out = bench.call(events);
    check_said(&out, &["1 withdraw 198.51.100.1/32", "1 announce 198.51.100.3/32 via 192.0.2.10"]);
    assert_eq!(addresses(&out)[&"198.51.100.3".parse().unwrap()], "Announced tor");
    assert_eq!(addresses(&out)[&"198.51.100.4".parse().unwrap()], "Withdrawn");
}

#[test]
fn a_removal_and_an_addition_are_not_merged_into_nothing() {
    let (mut bench, _) = simple("", announce(&["198.51.100.1"]));
    let mut events = change(&["198.51.100.1"], vec![]);
    events.extend(change(&[], announce(&["198.51.100.1"])));
    check_said(&bench.call(events), &["1 announce 198.51.100.1/32 via 192.0.2.10"]);
    let same = change(&[], announce(&["198.51.100.1"]));
    check_said(&bench.call(same), &[]);
}

#[test]
fn an_aggregate_is_there_as_long_as_one_of_its_addresses() {
    let aggregate = r#""advertisements": [{"aggregationLength": 24}],"#;
    let (mut bench, first) = simple(aggregate, announce(&["198.51.100.1", "198.51.100.2"]));
    let via = "1 announce 198.51.100.0/24 via 192.0.2.10";
    check_said(&first, &[via, "1 end of IPv4 unicast"]);
    check_said(&bench.call(change(&[], announce(&["198.51.100.3"]))), &[]);
    check_said(&bench.call(change(&["198.51.100.1", "198.51.100.3"], vec![])), &[]);
    let standby = vec![entry("198.51.100.2", Duty::Standby("b".into()))];
    check_said(&bench.call(change(&[], standby)), &["1 withdraw 198.51.100.0/24"]);
    check_said(&bench.call(change(&[], announce(&["198.51.100.9"]))), &[via]);
}

#[test]
fn advertisements_select_by_pool_service_and_peer_and_add_up() {
    let several = r#""communityAliases": {"blue": "64513:2"}, "advertisements": [
        {"pools": ["default"], "communities": ["64513:1"], "med": 10},
        {"serviceSelector": {"matchLabels": {"app": "web"}}, "communities": ["blue", "64513:3:4"],
         "med": 20, "prepend": 1, "noExport": true, "extendedCommunities": ["rt:64513:5"]},
        {"pools": ["other"], "aggregationLength": 24},
        {"nodeSelector": {"matchLabels": {"rack": "9"}}, "communities": ["64513:9"]}],"#;
    let mut other = entry("203.0.113.1", Duty::Announce);
    other.pool = "other".into();
    other.services[0].labels.clear();
    let mut both = entry("203.0.113.2", Duty::Announce);
    both.pool = "other".into();
    let mut wanted = announce(&["198.51.100.1"]);
    wanted.extend([other, both]);
    let (_, effects) = simple(several, wanted);
    let mut told = BTreeMap::new();
    for update in updates(&effects) {
        for announced in &update.announced {
            told.extend(announced.prefixes.iter().map(|one| (*one, update.attributes.clone())));
        }
    }
    let communities = |prefix: &str| {
        let found: &bgp::Attributes = &told[&prefix.parse::<IpNet>().unwrap()];
        let standard: Vec<String> = found.communities.iter().map(ToString::to_string).collect();
        (standard.join(" "), found.med, found.as_path.hops())
    };
    assert_eq!(told.len(), 3, "{told:?}");
    let web = ("64513:1 64513:2 no-export".to_owned(), Some(10), 2);
    assert_eq!(communities("198.51.100.1/32"), web);
    assert_eq!(communities("203.0.113.0/24"), (String::new(), None, 1));
    assert_eq!(communities("203.0.113.2/32"), ("64513:2 no-export".to_owned(), Some(20), 2));
    let web = &told[&"198.51.100.1/32".parse::<IpNet>().unwrap()];
    assert_eq!(web.large_communities, ["64513:3:4".parse().unwrap()]);
    assert_eq!(web.extended_communities, ["rt:64513:5".parse().unwrap()]);
}

#[test]
fn what_no_advertisement_selects_is_told_to_nobody_and_says_so() {
    let none = r#""advertisements": [{"pools": ["other"]}],"#;
    let wanted = announce(&["198.51.100.1"]);
    let (_, effects) = simple(none, wanted.clone());
    check_said(&effects, &["1 end of IPv4 unicast"]);
    let lists = vec![Event::LinksChanged(links(&[])), Event::DesiredChanged(desired(wanted))];
    let first = Bench::new(&config(none)).call(lists);
    let standing = &addresses(&first)[&"198.51.100.1".parse().unwrap()];
    assert_eq!(standing, "Failed NoMatchingAdvertisement");
}

#[test]
fn link_bandwidth_follows_the_endpoints() {
    let weighted = r#""advertisements": [{"linkBandwidth": 1000}],"#;
    let with = |ready: u32| {
        let mut one = entry("198.51.100.1", Duty::Announce);
        one.local_endpoints.ready = ready;
        vec![one]
    };
    let (mut bench, first) = simple(weighted, with(2));
    let speed = |effects: &[Effect]| {
        let community = updates(effects)[0].attributes.extended_communities[0].0;
        assert_eq!(community[..4], [0x00, 4, 0xfc, 0x01], "transitive to an external peer");
        f32::from_be_bytes(community[4..].try_into().unwrap())
    };
    assert_eq!(speed(&first), 2.0 * 125e6);
    assert_eq!(speed(&bench.call(change(&[], with(5)))), 5.0 * 125e6);
    assert_eq!(speed(&bench.call(change(&[], with(0)))), 125e6);
    // Without the option, a change of endpoints causes no message.
    let (mut bench, _) = simple("", with(2));
    check_said(&bench.call(change(&[], with(5))), &[]);
}

#[test]
fn routes_of_both_families_on_one_session() {
    let both = families(&[bgp::Family::IPV4_UNICAST, bgp::Family::IPV6_UNICAST]);
    let wanted = announce(&["198.51.100.1", "2001:db8:1::1"]);
    let ends = ("192.0.2.10:40000", "192.0.2.1:179");
    let (_, effects) = established(&config(""), both.clone(), ends, wanted.clone(), 1 << 20);
    let v6 = "1 announce 2001:db8:1::1/128 via 2001:db8::10 fe80::2";
    let ends_v4 = ["1 announce 198.51.100.1/32 via 192.0.2.10", "1 end of IPv4 unicast"];
    check_said(&effects, &[ends_v4[0], ends_v4[1], v6, "1 end of IPv6 unicast"]);

    // RFC 8950, over a link-local session.
    let unnumbered = config("").replace("192.0.2.1\"", "fe80::1%eth0\"");
    let mut capabilities = both;
    capabilities.push(bgp::Capability::ExtendedNextHop(vec![(bgp::Family::IPV4_UNICAST, 2)]));
    let ends = ("[fe80::2%2]:40000", "[fe80::1%2]:179");
    let (_, effects) = established(&unnumbered, capabilities, ends, wanted, 1 << 20);
    let next_hops: Vec<String> = updates(&effects)
        .iter()
        .flat_map(|update| &update.announced)
        .map(|one| one.next_hop.to_string())
        .collect();
    assert_eq!(next_hops, ["2001:db8::10 fe80::2"; 2]);
}

#[test]
fn a_family_that_the_peer_does_not_take_is_named() {
    let (_, effects) = simple("", announce(&["2001:db8:1::1"]));
    let standing = &addresses(&effects)[&"2001:db8:1::1".parse().unwrap()];
    assert_eq!(standing, "Failed FamilyNotNegotiated");
    assert_eq!(peers(&effects)["tor"].health, PeerHealth::Up);
    // A missing family that the configuration asks for is an error.
    let named = config("").replace("\"holdTime\"", "\"families\": [\"ipv6\"], \"holdTime\"");
    let mut bench = Bench::new(&named);
    bench.call(vec![Event::LinksChanged(links(&[])), Event::DesiredChanged(desired(vec![]))]);
    let (local, remote) = ("192.0.2.10:1".parse().unwrap(), "192.0.2.1:179".parse().unwrap());
    bench.call(vec![Event::Opened(Opened { id: STREAM, local, remote, credit: 9_000 })]);
    let open = bgp::Open {
        asn: 64512,
        hold_time: 90,
        router_id: "192.0.2.1".parse().unwrap(),
        capabilities: ipv4(),
    };
    let effects = bench.call(data(open.encode()));
    assert!(said(&effects).contains(&"1 NOTIFICATION 2/7".to_owned()), "{:?}", said(&effects));
    let words = "peer does not accept routes of IPv6 unicast; sent OPEN Message Error/Unsupported Capability";
    assert_eq!(peers(&effects)["tor"].last_error, words);
}

#[test]
fn no_more_is_said_than_credit_allows_and_what_changes_meanwhile_is_said_once() {
    let wanted: Vec<DesiredAddress> = (0..2_000u32).map(|n| number(n, Duty::Announce)).collect();
    let ends = ("192.0.2.10:40000", "192.0.2.1:179");
    let (mut bench, first) = established(&config(""), ipv4(), ends, wanted, 5_000);
    assert_eq!(updates(&first).len(), 1);
    let told: usize = updates(&first)[0].announced[0].prefixes.len();
    // One route that was not sent yet is removed and added again, another is removed permanently.
    let (back, gone) = (number(1_990, Duty::Announce), number(1_991, Duty::Announce).address);
    bench.call(change(&[&back.address.to_string(), &gone.to_string()], vec![]));
    bench.call(change(&[], vec![back]));
    let rest = bench.call(vec![Event::Credit(STREAM, 1 << 20)]);
    let mut after = 0;
    for update in updates(&rest) {
        assert_eq!(update.withdrawn, [], "the peer never heard of it");
        after += update.announced.iter().map(|one| one.prefixes.len()).sum::<usize>();
    }
    assert_eq!(told + after, 1_999);
    assert!(said(&rest).contains(&"1 end of IPv4 unicast".to_owned()));
}

#[test]
fn a_refresh_asked_for_before_end_of_rib_comes_after_it() {
    let mut offered = ipv4();
    offered.extend([bgp::Capability::RouteRefresh, bgp::Capability::EnhancedRouteRefresh]);
    let ends = ("192.0.2.10:40000", "192.0.2.1:179");
    let (mut bench, _) = established(&config(""), offered, ends, announce(&["198.51.100.1"]), 0);
    let (family, kind) = (bgp::Family::IPV4_UNICAST, bgp::RefreshKind::Request);
    check_said(&bench.call(data(bgp::RouteRefresh { family, kind }.encode())), &[]);
    let all = bench.call(vec![Event::Credit(STREAM, 1 << 20)]);
    let route = "1 announce 198.51.100.1/32 via 192.0.2.10";
    check_said(&all, &[route, "1 end of IPv4 unicast", "1 Begin", route, "1 End"]);
}

#[test]
fn a_peer_that_reads_nothing_is_given_up() {
    let patient = config("").replace("\"holdTime\"", "\"sendHoldTime\": 20, \"holdTime\"");
    let wanted: Vec<DesiredAddress> = (0..2_000u32).map(|n| number(n, Duty::Announce)).collect();
    let ends = ("192.0.2.10:40000", "192.0.2.1:179");
    let (mut bench, _) = established(&patient, ipv4(), ends, wanted, 5_000);
    assert!(matches!(bench.wake, Wake::After { .. }));
    bench.pass(19);
    check_said(&bench.call(vec![]), &[]);
    bench.pass(2);
    let out = bench.call(vec![Event::Wake("neighbor".into())]);
    assert!(said(&out).contains(&"1 NOTIFICATION 8/0".to_owned()), "{:?}", said(&out));
    assert!(said(&out).contains(&"abort 1".to_owned()));
    let words = "peer does not read: send hold timer (20 s) expired";
    assert_eq!(peers(&out)["tor"].last_error, words);
}

#[test]
fn what_the_host_cut_out_is_asked_for_again_later() {
    let (mut bench, _) = simple("", announce(&["198.51.100.1", "198.51.100.2"]));
    let denied = Denied {
        effect: "write".into(),
        subject: "1 198.51.100.1/32".into(),
        reason: "not-granted".into(),
    };
    let out = bench.call(vec![Event::Denied(denied)]);
    check_said(&out, &[]);
    assert_eq!(addresses(&out)[&"198.51.100.1".parse().unwrap()], "Failed Refused");
    bench.pass(10);
    let out = bench.call(vec![Event::Wake("retry".into())]);
    check_said(&out, &["1 announce 198.51.100.1/32 via 192.0.2.10"]);
    assert_eq!(addresses(&out)[&"198.51.100.1".parse().unwrap()], "Announced tor");
    // Withdrawn by the host because it is no longer desired: no message is left to send.
    let denied = Denied {
        effect: "write".into(),
        subject: "1 198.51.100.2/32".into(),
        reason: "withdrawn".into(),
    };
    let mut events = vec![Event::Denied(denied)];
    events.extend(change(&["198.51.100.2"], vec![]));
    check_said(&bench.call(events), &[]);
    bench.pass(10);
    check_said(&bench.call(vec![Event::Wake("retry".into())]), &[]);
}

#[test]
fn when_the_host_did_not_write_a_message_everything_is_said_again() {
    let (mut bench, _) = simple("", announce(&["198.51.100.1", "198.51.100.2"]));
    let denied =
        Denied { effect: "write".into(), subject: "1".into(), reason: "churn-limit".into() };
    let out = bench.call(vec![Event::Denied(denied)]);
    check_said(&out, &[]);
    assert_eq!(addresses(&out)[&"198.51.100.1".parse().unwrap()], "Pending Sending");
    let words = "the host did not write a message: churn-limit";
    assert_eq!(peers(&out)["tor"].last_error, words);
    bench.pass(5);
    let out = bench.call(vec![Event::Wake("neighbor".into())]);
    check_said(&out, &["1 announce 198.51.100.1/32 198.51.100.2/32 via 192.0.2.10"]);
    assert_eq!(addresses(&out)[&"198.51.100.1".parse().unwrap()], "Announced tor");
}

#[test]
fn attributes_that_leave_no_room_are_named() {
    let many: Vec<String> = (0..1_100).map(|n| format!("\"64513:{n}\"")).collect();
    let much = format!(r#""advertisements": [{{"communities": [{}]}}],"#, many.join(","));
    let (_, effects) = simple(&much, announce(&["198.51.100.1"]));
    check_said(&effects, &["1 end of IPv4 unicast"]);
    let standing = &addresses(&effects)[&"198.51.100.1".parse().unwrap()];
    assert_eq!(standing, "Failed AttributesTooLong");
    assert_eq!(peers(&effects)["tor"].health, PeerHealth::Degraded);
}

fn number(n: u32, duty: Duty) -> DesiredAddress {
    entry(&std::net::Ipv4Addr::from(0x0a00_0000 + n).to_string(), duty)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it is about how long a call takes")]
fn a_hundred_thousand_routes_fill_their_messages_in_calls_that_end_in_time() {
    const ROUTES: u32 = 100_000;
    let ends = ("192.0.2.10:40000", "192.0.2.1:179");
    let (mut bench, _) = established(&config(""), ipv4(), ends, vec![], 1 << 20);
    let mut messages = Vec::new();
    let (mut longest, mut whole) = (Duration::ZERO, Duration::ZERO);
    for chunk in 0..ROUTES / 5_000 {
        let first = chunk * 5_000;
        let upsert = (first..first + 5_000).map(|n| number(n, Duty::Announce)).collect();
        let events = vec![Event::DesiredChanged(DesiredChanged { upsert, ..Default::default() })];
        let begun = Instant::now();
        let mut effects = bench.call(events);
        longest = longest.max(begun.elapsed());
        whole += begun.elapsed();
        while matches!(&bench.wake, Wake::After { ms: 0, .. }) {
            messages.extend(updates(&effects));
            let begun = Instant::now();
            effects = bench.call(vec![Event::Wake("send more routes".into())]);
            longest = longest.max(begun.elapsed());
            whole += begun.elapsed();
        }
        messages.extend(updates(&effects));
    }
    let told: usize =
        messages.iter().flat_map(|update| &update.announced).map(|one| one.prefixes.len()).sum();
    assert_eq!(told, ROUTES as usize);
    // 806 routes fit into one message; each chunk of 5,000 leaves one that is not full.
    assert!(messages.len() <= 7 * 20, "{} messages", messages.len());
    // The snapshot from which another instance continues stays small as well.
    let saved = bench.speaker.snapshot();
    assert!(saved.data.len() < 6 << 20, "{} octets", saved.data.len());
    println!("{} messages, {whole:?} in all, {longest:?} at most", messages.len());
    // A call has a budget of 50 ms; this test also runs in unoptimised builds on a busy machine.
    assert!(longest < Duration::from_millis(1_500), "{longest:?}");
}
