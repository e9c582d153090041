//! Sessions between two speakers, with the network between them.
use super::net::{Net, both};
use super::*;

const A: &str = "192.0.2.10";
const B: &str = "192.0.2.1";

/// Returns the configuration of the node, which dials.
fn node(more: &str) -> String {
    format!(
        r#"{{"asn": 64513, "peers": [{{"name": "tor", "address": "{B}", "asn": 64512, "holdTime": 9 {more}}}]}}"#
    )
}

/// Returns the configuration of the router, which listens.
fn router(more: &str) -> String {
    format!(
        r#"{{"asn": 64512, "routerId": "{B}", "peers": [{{"name": "node", "address": "{A}", "asn": 64513,
            "passive": true, "holdTime": 9 {more}}}]}}"#
    )
}

fn pair(of_node: &str, of_router: &str) -> Net {
    let mut net = Net::new(&[(A, &node(of_node)), (B, &router(of_router))]);
    net.want(0, "198.51.100.1", Duty::Announce);
    net.want(0, "2001:db8::1", Duty::Announce);
    net
}

fn up(of_node: &str, of_router: &str) -> Net {
    let mut net = pair(of_node, of_router);
    net.run(1_000);
    assert!(net.established());
    net.nodes[0].written.clear();
    net
}

fn prefixes(net: &Net) -> Vec<String> {
    let held = net.held(1).map(|held| held.keys().map(ToString::to_string).collect());
    held.unwrap_or_else(|| vec!["no session".to_owned()])
}

#[test]
fn two_speakers_come_up_at_once_and_the_routes_follow() {
    let mut net = pair("", "");
    net.run(10);
    assert!(net.established());
    // There is no IPv6 address on the link, so no traffic could be sent to the other family's route.
    assert_eq!(prefixes(&net), ["198.51.100.1/32"]);
    assert_eq!(net.ended(1), both());
    let held = net.held(1).unwrap();
    let (next_hop, attributes) = &held[&"198.51.100.1/32".parse().unwrap()];
    assert_eq!((next_hop.to_string(), attributes.as_path.to_string()), (A.into(), "64513".into()));
    assert_eq!(attributes.local_pref, None);
    let report = &net.nodes[0].reports[&"198.51.100.1".parse().unwrap()];
    assert_eq!(
        (&report.state, &report.via[..]),
        (&AnnouncementState::Announced, &["tor".into()][..])
    );
    let report = &net.nodes[0].reports[&"2001:db8::1".parse().unwrap()];
    assert_eq!((&report.state, &*report.reason), (&AnnouncementState::Failed, "NoNextHop"));
    let peer = &net.nodes[0].peers["tor"];
    assert_eq!((peer.health, &*peer.state, &*peer.last_error), (PeerHealth::Up, "Established", ""));
    // Only KEEPALIVEs are sent from here on.
    net.nodes[0].written.clear();
    net.run(60_000);
    assert!(net.established());
    assert_eq!(net.nodes[0].written, []);
}

#[test]
fn of_two_connections_that_collide_one_stays() {
    for (id_a, id_b) in [("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1")] {
        let config = |id: &str, asn: u32, peer: &str, peer_asn: u32| {
            format!(
                r#"{{"asn": {asn}, "routerId": "{id}", "peers": [{{"name": "p", "address": "{peer}",
                    "asn": {peer_asn}, "listen": true}}]}}"#
            )
        };
        let mut net =
            Net::new(&[(A, &config(id_a, 64513, B, 64512)), (B, &config(id_b, 64512, A, 64513))]);
        net.want(0, "198.51.100.1", Duty::Announce);
        net.run(20_000);
        assert!(net.established());
        let session =
            |node: usize| net.nodes[node].speaker.state.neighbours["p"].session().unwrap().clone();
        // RFC 4271 section 6.8: the connection made by the higher router ID stays.
        assert_eq!((session(0).ours, session(1).ours), (id_a > id_b, id_b > id_a));
        assert_eq!(prefixes(&net), ["198.51.100.1/32"]);
        let counts = &net.nodes[0].peers["p"].counters;
        let count = |name: &str| counts.iter().find(|(found, _)| found == name).unwrap().1;
        assert_eq!((count("connections-established"), count("connections-dropped")), (1.0, 0.0));
    }
}

#[test]
fn a_connection_that_breaks_is_made_anew_and_everything_is_told_again() {
    let mut net = up("", "");
    net.break_all();
    net.run(1);
    assert!(!net.established());
    let peer = &net.nodes[0].peers["tor"];
    assert_eq!((peer.health, &*peer.last_error), (PeerHealth::Down, "peer reset the connection"));
    net.run(1_000);
    assert!(net.established());
    assert_eq!(prefixes(&net), ["198.51.100.1/32"]);
    assert_eq!(net.nodes[0].peers["tor"].last_error, "");
}

#[test]
fn silence_is_noticed_at_both_ends_by_the_hold_timer() {
    let mut net = up("", "");
    net.silent = true;
    net.run(7_900);
    assert!(net.established());
    net.run(1_600);
    for (node, name) in [(0, "tor"), (1, "node")] {
        let peer = &net.nodes[node].peers[name];
        assert_eq!(peer.last_error.split(": ").next().unwrap(), "no message received for 9 s");
        assert!(matches!(net.nodes[node].written.last(), Some(Message::Notification(why))
            if why.error == ErrorCode::HOLD_TIMER_EXPIRED));
    }
    net.run(60_000);
    let words = &net.nodes[0].peers["tor"].last_error;
    assert!(words.starts_with("no message received for 9 s"), "{words}");
    assert!(words.ends_with("; last attempt: no answer to the TCP SYN"), "{words}");
    net.silent = false;
    net.run(25_000);
    assert!(net.established());
    assert_eq!(prefixes(&net), ["198.51.100.1/32"]);
}

#[test]
fn a_swap_says_nothing_and_keeps_the_session() {
    let mut net = up("", "");
    let since_us = |net: &Net| net.nodes[0].speaker.state.neighbours["tor"].since_us;
    let before_us = since_us(&net);
    for _ in 0..3 {
        net.swap(0, None);
        net.run(20_000);
    }
    assert!(net.established());
    assert_eq!((since_us(&net), &net.nodes[0].written[..]), (before_us, &[][..]));
    // Only the changes made in between are sent.
    net.swap(0, None);
    net.want(0, "198.51.100.2", Duty::Announce);
    net.forget(0, "198.51.100.1");
    net.run(10);
    assert_eq!(prefixes(&net), ["198.51.100.2/32"]);
    assert_eq!(net.nodes[0].written.len(), 2, "{:?}", net.nodes[0].written);
}

#[test]
fn another_policy_is_told_without_a_new_session_and_other_terms_with_one() {
    let mut net = up("", "");
    let policy = node("").replace(
        "\"peers\"",
        r#""advertisements": [{"communities": ["64513:7"], "prepend": 2, "med": 5}], "peers""#,
    );
    net.swap(0, Some(&policy));
    net.run(100);
    let (_, attributes) = &net.held(1).unwrap()[&"198.51.100.1/32".parse().unwrap()];
    assert_eq!(attributes.communities, ["64513:7".parse().unwrap()]);
    assert_eq!((attributes.as_path.hops(), attributes.med), (3, Some(5)));
    assert_eq!(net.nodes[0].written.len(), 1, "{:?}", net.nodes[0].written);

    net.swap(0, Some(&policy.replace("\"holdTime\": 9", "\"holdTime\": 30")));
    net.run(1_000);
    assert!(net.established());
    let closed = |message: &&Message| matches!(message, Message::Notification(_));
    let why = net.nodes[0].written.iter().find(closed);
    assert!(
        matches!(why, Some(Message::Notification(why)) if why.error == ErrorCode::CONFIGURATION_CHANGE)
    );
    assert_eq!(prefixes(&net), ["198.51.100.1/32"]);

    let elsewhere = policy.replace("\"name\": \"tor\"", "\"name\": \"spine\"");
    net.nodes[0].written.clear();
    net.swap(0, Some(&elsewhere));
    net.run(2_000);
    assert!(net.established());
    assert!(matches!(&net.nodes[0].written[0], Message::Notification(why)
        if why.error == ErrorCode::PEER_DECONFIGURED));
    assert_eq!(net.nodes[0].peers["tor"].last_error, "no longer configured on this node");
}

#[test]
fn a_node_that_leaves_is_first_the_last_choice_and_then_withdraws() {
    let mut net = up("", "");
    let stopping = Stopping { reason: StopReason::Leave, within_ms: 20_000 };
    net.tell(0, Event::Stopping(stopping));
    net.run(2_900);
    let (_, attributes) = &net.held(1).unwrap()[&"198.51.100.1/32".parse().unwrap()];
    assert_eq!(attributes.communities, [bgp::Community::GRACEFUL_SHUTDOWN]);
    assert!(!net.nodes[0].drained);
    net.run(200);
    assert!(net.nodes[0].drained && net.held(1).is_none());
    let last = net.nodes[0].written.split_off(1);
    assert!(matches!(&last[0], Message::Update(update) if update.withdrawn.len() == 1), "{last:?}");
    assert!(
        matches!(&last[1], Message::Notification(why) if why.error == ErrorCode::ADMINISTRATIVE_SHUTDOWN)
    );
    assert_eq!(net.nodes[1].peers["node"].last_error, "peer closed: Cease/Administrative Shutdown");
    net.run(60_000);
    assert!(net.held(1).is_none(), "no session is opened again");
}

#[test]
fn a_duty_to_hand_over_makes_one_route_the_last_choice() {
    let mut net = up("", "");
    net.want(0, "198.51.100.1", Duty::HandOver("other".into()));
    net.want(0, "198.51.100.2", Duty::Announce);
    net.run(10);
    let communities = |prefix: &str| {
        let prefix = prefix.parse().unwrap();
        net.held(1).unwrap()[&prefix].1.communities.clone()
    };
    assert_eq!(communities("198.51.100.1/32"), [bgp::Community::GRACEFUL_SHUTDOWN]);
    assert_eq!(communities("198.51.100.2/32"), []);
    net.want(0, "198.51.100.1", Duty::Standby("other".into()));
    net.run(10);
    assert_eq!(prefixes(&net), ["198.51.100.2/32"]);
    let report = &net.nodes[0].reports[&"198.51.100.1".parse().unwrap()];
    assert_eq!(
        (&report.state, &*report.message),
        (&AnnouncementState::Standby, "other announces it")
    );
}

#[test]
fn a_restart_is_graceful_where_the_peer_agreed() {
    let graceful = r#", "gracefulRestart": {"restartTime": 60}"#;
    let mut net = up(graceful, graceful);
    net.tell(0, Event::Stopping(Stopping { reason: StopReason::Restart, within_ms: 5_000 }));
    net.run(10);
    assert!(net.nodes[0].drained);
    // RFC 4724 section 4.2: a NOTIFICATION would make the peer discard the routes.
    assert_eq!(net.nodes[0].written, []);
    let words = "peer closed the connection without a NOTIFICATION";
    assert_eq!(net.nodes[1].peers["node"].last_error, words);
    net.restart(0);
    net.run(1_000);
    assert!(net.established());
    let opens = |message: &Message| match message {
        Message::Open(open) => open.graceful_restart().cloned(),
        _ => None,
    };
    let restart = net.nodes[0].written.iter().find_map(opens).unwrap();
    assert!(restart.restarted && restart.families.iter().all(|(_, preserved)| *preserved));
    assert_eq!(prefixes(&net), ["198.51.100.1/32"]);
    // The restart is over: the next session is an ordinary one.
    net.nodes[0].written.clear();
    net.break_all();
    net.run(1_000);
    let restart = net.nodes[0].written.iter().find_map(opens).unwrap();
    assert!(!restart.restarted);
}

#[test]
fn a_restart_without_graceful_restart_says_so() {
    let mut net = up(r#", "shutdownMessage": "back in a minute""#, "");
    net.tell(0, Event::Stopping(Stopping { reason: StopReason::Restart, within_ms: 5_000 }));
    net.run(10);
    assert!(net.nodes[0].drained);
    let words = "peer closed: Cease/Administrative Shutdown: \"back in a minute\"";
    assert_eq!(net.nodes[1].peers["node"].last_error, words);
}

#[test]
fn a_graceful_peer_that_restarts_silently_gets_through_with_its_new_connection() {
    let graceful = r#", "gracefulRestart": {}"#;
    let mut net = up(graceful, graceful);
    // The router does not know that the node is gone, because no FIN has come through.
    net.silent = true;
    net.run(10);
    let before = net.nodes[1].speaker.state.neighbours["node"].session().unwrap().id;
    net.restart(0);
    net.silent = false;
    net.run(1_000);
    assert!(net.established());
    assert_ne!(net.nodes[1].speaker.state.neighbours["node"].session().unwrap().id, before);
    assert_eq!(prefixes(&net), ["198.51.100.1/32"]);
}

#[test]
fn what_does_not_fit_is_said_in_words_at_both_ends() {
    for (of_node, of_router, at_node, at_router) in [
        (
            "\"asn\": 64512",
            "\"asn\": 64999",
            "peer closed: OPEN Message Error/Bad Peer AS",
            "peer's AS is 64513, configured 64999; sent OPEN Message Error/Bad Peer AS",
        ),
        (
            "\"asn\": 64999",
            "\"asn\": 64513",
            "peer's AS is 64512, configured 64999; sent OPEN Message Error/Bad Peer AS",
            "peer closed: OPEN Message Error/Bad Peer AS",
        ),
        (
            "\"asn\": \"internal\"",
            "\"asn\": \"external\"",
            "peer's AS is 64512, configured internal, which is 64513; sent OPEN Message Error/Bad Peer AS",
            "peer closed: OPEN Message Error/Bad Peer AS",
        ),
    ] {
        let node = node("").replace("\"asn\": 64512", of_node);
        let router = router("").replace("\"asn\": 64513", of_router);
        let mut net = Net::new(&[(A, &node), (B, &router)]);
        net.run(8);
        let peer = &net.nodes[0].peers["tor"];
        assert_eq!((peer.health, &*peer.last_error), (PeerHealth::Down, at_node));
        assert_eq!(net.nodes[1].peers["node"].last_error, at_router);
    }
}

#[test]
fn the_same_router_id_is_refused_within_one_as() {
    let config = |peer: &str, more: &str| {
        format!(
            r#"{{"asn": 64513, "routerId": "10.0.0.1", "peers": [{{"name": "p", "address": "{peer}",
                "asn": "internal" {more}}}]}}"#
        )
    };
    let mut net = Net::new(&[(A, &config(B, "")), (B, &config(A, ", \"passive\": true"))]);
    net.run(8);
    let words: Vec<&str> = net.nodes.iter().map(|node| &*node.peers["p"].last_error).collect();
    let ours = "peer has the same router ID, 10.0.0.1: configure a different router ID; sent OPEN Message Error/Bad BGP Identifier";
    assert!(words.contains(&ours), "{words:?}");
}

#[test]
fn internal_peers_get_a_local_preference_and_an_empty_path() {
    let node = r#"{"asn": 64513, "advertisements": [{"localPref": 150, "prepend": 3}],
        "peers": [{"name": "tor", "address": "192.0.2.1", "asn": "internal"}]}"#;
    let router = router("").replace("64512", "64513");
    let mut net = Net::new(&[(A, node), (B, &router)]);
    net.want(0, "198.51.100.1", Duty::Announce);
    net.run(100);
    let (_, attributes) = &net.held(1).unwrap()[&"198.51.100.1/32".parse().unwrap()];
    assert_eq!((attributes.local_pref, attributes.as_path.hops()), (Some(150), 0));
}

#[test]
fn whoever_connects_from_a_prefix_is_a_neighbour() {
    let router = r#"{"asn": 64512, "routerId": "192.0.2.1", "peers": [{"name": "nodes",
        "prefix": "192.0.2.0/28", "asn": "external"}]}"#;
    let stranger = node("");
    let mut net = Net::new(&[(A, &node("")), (B, router), ("192.0.2.77", &stranger)]);
    net.want(0, "198.51.100.1", Duty::Announce);
    net.run(1_000);
    assert_eq!(net.nodes[1].peers["nodes/192.0.2.10"].state, "Established");
    assert!(!net.nodes[1].peers.contains_key("nodes/192.0.2.77"));
    let refused = "connection refused: no process listens on port 179 of the peer";
    assert_eq!(net.nodes[2].peers["tor"].last_error, refused);
    // A peer that stays away is forgotten, and has a session immediately when it returns.
    net.silent = true;
    net.run(700_000);
    assert!(net.nodes[1].speaker.state.neighbours.is_empty());
    net.silent = false;
    net.run(25_000);
    assert_eq!(net.nodes[1].peers["nodes/192.0.2.10"].state, "Established");
}

#[test]
fn a_peer_with_too_many_prefixes_is_kept_away_for_a_while() {
    let mut net = up("", r#", "maximumPrefixes": 1"#);
    net.want(0, "198.51.100.2", Duty::Announce);
    net.run(100);
    let words = "peer announced 2 prefixes, maximumPrefixes is 1; sent Cease/Maximum Number of Prefixes Reached";
    assert_eq!(net.nodes[1].peers["node"].last_error, words);
    net.run(200_000);
    assert!(net.held(1).is_none());
    net.forget(0, "198.51.100.2");
    net.run(120_000);
    assert_eq!(prefixes(&net), ["198.51.100.1/32"]);
}

#[test]
fn routes_are_told_again_when_the_peer_asks() {
    let mut net = up("", "");
    let family = bgp::Family::IPV4_UNICAST;
    let ask = bgp::RouteRefresh { family, kind: bgp::RefreshKind::Request };
    net.inject(1, ask.encode());
    net.run(10);
    let written = std::mem::take(&mut net.nodes[0].written);
    let marks = |message: &Message| match message {
        Message::RouteRefresh(refresh) => format!("{:?}", refresh.kind),
        Message::Update(update) => format!("{} routes", update.announced.len()),
        other => format!("{other:?}"),
    };
    // RFC 7313 section 4.
    assert_eq!(written.iter().map(marks).collect::<Vec<_>>(), ["Begin", "1 routes", "End"]);
    net.inject(1, bgp::RouteRefresh { family: bgp::Family { afi: 25, safi: 65 }, ..ask }.encode());
    net.run(10);
    assert_eq!(net.nodes[0].written, [], "RFC 2918 section 4: others are ignored");
    assert!(net.established());
}
