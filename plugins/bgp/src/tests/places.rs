//! Settings that depend on the node: router ID, selectors, peers named by the node, socket options.
use super::*;

fn on(config: &str, node: &[(&str, &str)]) -> Result<Vec<Effect>, StartError> {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let context = Context { ext: node.iter().map(pair).collect(), ..context(config) };
    let speaker = Speaker::start(context, Origin::Fresh)?;
    let mut bench = Bench { speaker, now_us: 1_000_000, wake: Wake::Never };
    let eth0 = link(2, "eth0", &["192.0.2.10/24", "fe80::2/64"]);
    let wanted = vec![entry("198.51.100.1", Duty::Announce)];
    let lists = vec![Event::LinksChanged(links(&[eth0])), Event::DesiredChanged(desired(wanted))];
    Ok(bench.call(lists))
}

fn router_id(effects: &[Effect]) -> String {
    let details = &peers(effects)["tor"].ext;
    details.iter().find(|(name, _)| name == "local-router-id").unwrap().1.clone()
}

const PEER: &str = r#""peers": [{"name": "tor", "address": "192.0.2.1", "asn": 64512}]"#;

#[test]
fn the_router_id_is_configured_or_the_nodes_address_or_made_from_its_name() {
    let plain = format!(r#"{{"asn": 64513, {PEER}}}"#);
    let node_ips = [("node-ip", "2001:db8::1"), ("node-ip", "192.0.2.10")];
    assert_eq!(router_id(&on(&plain, &node_ips).unwrap()), "192.0.2.10");
    let named = router_id(&on(&plain, &[("node-ip", "2001:db8::1")]).unwrap());
    assert_eq!(named, router_id(&on(&plain, &[]).unwrap()));
    assert_ne!(named, "0.0.0.0");
    let labelled = format!(r#"{{"asn": 64513, "routerId": "10.0.{{label/rack}}.1", {PEER}}}"#);
    assert_eq!(router_id(&on(&labelled, &[("label/rack", "7")]).unwrap()), "10.0.7.1");
    let Err(StartError::InvalidConfig(wrong)) = on(&labelled, &[]) else { panic!() };
    assert_eq!(wrong[0].to_string(), "/routerId: this node has no label rack");
    let Err(StartError::InvalidConfig(wrong)) = on(&labelled, &[("label/rack", "x")]) else {
        panic!()
    };
    let words = "/routerId: \"10.0.x.1\" is not a dotted quad like 192.0.2.1";
    assert_eq!(wrong[0].to_string(), words);
}

#[test]
fn peers_are_those_of_the_node() {
    let config = r#"{"asn": "{label/asn}", "peers": [
        {"name": "gateway", "address": "{default-gateway}", "asn": "{annotation/example.com/peer}"},
        {"name": "left", "address": "192.0.2.2", "asn": 64512,
         "nodeSelector": {"matchLabels": {"side": "left"}}},
        {"name": "right", "address": "192.0.2.3", "asn": 64512, "passive": true,
         "nodeSelector": {"matchExpressions": [{"key": "side", "operator": "NotIn", "values": ["left"]}]}}]}"#;
    let node = [
        ("label/asn", "4200000001"),
        ("label/side", "left"),
        ("default-gateway", "192.0.2.254"),
        ("annotation/example.com/peer", "64777"),
    ];
    let effects = on(config, &node).unwrap();
    assert_eq!(said(&effects), ["connect 1 to 192.0.2.254:179", "connect 2 to 192.0.2.2:179"]);
    let effects = on(config, &node[..1]).unwrap();
    assert_eq!(said(&effects), ["listen 1 for 192.0.2.3/32"]);
    assert_eq!(peers(&effects)["gateway"].last_error, "this node has no default-gateway");
    assert_eq!(peers(&effects)["gateway"].health, PeerHealth::Down);
}

#[test]
fn advertisements_for_peers_of_other_nodes_say_so() {
    let config = r#"{"asn": 64513, "peers": [
        {"name": "left", "address": "192.0.2.2", "asn": 64512, "nodeSelector": {"matchLabels": {"side": "left"}}},
        {"name": "right", "address": "192.0.2.3", "asn": 64512}],
        "advertisements": [{"peers": ["left"]}]}"#;
    let effects = on(config, &[]).unwrap();
    assert_eq!(addresses(&effects)[&"198.51.100.1".parse().unwrap()], "Failed NoPeer");
    let effects = on(config, &[("label/side", "left")]).unwrap();
    assert_eq!(addresses(&effects)[&"198.51.100.1".parse().unwrap()], "Pending NoSession");
}

#[test]
fn sockets_are_as_the_peer_wants_them() {
    use SocketOption::{ConnectTimeout, Device, Dscp, HopLimit, MinHopLimit, Source, TcpMd5};
    let options = |peer: &str| {
        let config = format!(
            r#"{{"asn": 64513, "peers": [{{"name": "p", "address": "192.0.2.1", {peer}}}]}}"#
        );
        let effects = on(&config, &[]).unwrap();
        let connect = effects.iter().find_map(|effect| match effect {
            Effect::Connect(connect) => Some(connect.options.clone()),
            _ => None,
        });
        let mut options = connect.unwrap();
        options.retain(|option| !matches!(option, SocketOption::UserTimeout(_)));
        options
    };
    let (dscp, timeout) = (Dscp(48), ConnectTimeout(10_000));
    assert_eq!(options(r#""asn": 64512"#), [dscp.clone(), HopLimit(1), timeout.clone()]);
    assert_eq!(options(r#""asn": "internal""#), [dscp.clone(), timeout.clone()]);
    let far = options(r#""asn": 64512, "multihop": 5, "connectRetryTime": 3"#);
    assert_eq!(far, [dscp.clone(), HopLimit(5), ConnectTimeout(3_000)]);
    let near = options(r#""asn": 64512, "ttlSecurity": 2"#);
    assert_eq!(near, [dscp.clone(), HopLimit(255), MinHopLimit(254), timeout.clone()]);
    let much = options(
        r#""asn": "external", "md5": {"name": "tor"}, "sourceAddress": "192.0.2.10", "vrf": "red""#,
    );
    let secret = SecretRef { name: "tor".into(), key: "password".into() };
    let source = Source("192.0.2.10:0".parse().unwrap());
    let expected = [dscp, HopLimit(1), TcpMd5(secret), source, Device("red".into()), timeout];
    assert_eq!(much, expected);
}

#[test]
fn an_unnumbered_peer_is_shown_this_node_and_waited_for() {
    let config =
        r#"{"asn": 64513, "peers": [{"name": "spine", "interface": "eth0", "asn": "external"}]}"#;
    let effects = on(config, &[]).unwrap();
    let listen = effects.iter().find_map(|effect| match effect {
        Effect::Listen(listen) => Some(listen),
        _ => None,
    });
    let listen = listen.unwrap();
    assert_eq!(listen.remote, "fe80::/10".parse().unwrap());
    assert!(listen.options.contains(&SocketOption::Device("eth0".into())));
    let shown = effects.iter().find_map(|effect| match effect {
        Effect::Offload(Offload { work: OffloadWork::Beacon(beacon), .. }) => Some(beacon),
        _ => None,
    });
    let shown = shown.unwrap();
    assert_eq!((shown.frame.link, shown.count), (2, 0));
    assert_eq!(shown.frame.data[6..12], [2, 0, 0, 0, 0, 2], "the link's own MAC");
    assert_eq!(peers(&effects)["spine"].state, "Active");
}

#[test]
fn what_the_host_does_not_allow_is_said_with_what_mends_it() {
    let config = format!(r#"{{"asn": 64513, {PEER}}}"#);
    let mut bench = Bench::new(&config);
    bench.call(vec![Event::LinksChanged(links(&[])), Event::DesiredChanged(desired(vec![]))]);
    let reason = CloseReason::Denied("peer-not-granted".into());
    let effects = bench.call(vec![Event::Closed(Closed { id: 1, reason })]);
    let words = "not allowed: peer-not-granted: name the peer in the Announcer's allow.peers";
    assert_eq!(peers(&effects)["tor"].last_error, words);
}
