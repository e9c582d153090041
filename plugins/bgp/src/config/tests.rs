//! Valid configurations, and the errors for invalid ones.
use super::*;

const SMALLEST: &str =
    r#"{"asn": 64513, "peers": [{"name": "tor", "address": "192.0.2.1", "asn": 64512}]}"#;

fn peer(fields: &str) -> Result<Peer, String> {
    let json = format!(r#"{{"asn": 64513, "peers": [{{"name": "tor", {fields}}}]}}"#);
    match Config::parse(&json) {
        Ok(mut config) => Ok(config.peers.remove(0)),
        Err(problems) => Err(said(&problems)),
    }
}

fn said(problems: &[FieldError]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check_wrong(json: &str, expected: &[&str]) {
    let problems = Config::parse(json).expect_err("this must be refused");
    let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(said, expected);
}

#[test]
fn what_is_not_written_takes_the_value_in_the_documentation() {
    let config = Config::parse(SMALLEST).unwrap();
    let expected = Peer {
        name: "tor".into(),
        remote: Remote::Address(Given::Here(Host {
            address: "192.0.2.1".parse().unwrap(),
            zone: String::new(),
        })),
        asn: Given::Here(PeerAsn::Number(64512)),
        local_asn: None,
        port: 179,
        dials: true,
        listens: false,
        source: None,
        vrf: None,
        hold_s: 90,
        keepalive_s: 30,
        connect_retry_ms: 10_000,
        send_hold_s: 480,
        md5: None,
        reach: TtlPolicy::Default,
        bfd: None,
        graceful_restart: None,
        families: Families { ipv4: true, ipv6: true },
        maximum_prefixes: None,
        nodes: Selector::default(),
        shutdown: false,
        shutdown_message: String::new(),
    };
    assert_eq!(config.peers, [expected]);
    assert_eq!(config.advertisements, [Advertisement::default()]);
    assert_eq!((config.listen_port, config.graceful_shutdown_ms), (179, Some(3_000)));
}

#[test]
fn everything_can_be_written() {
    let config = Config::parse(
        r#"{
        "asn": "{label/example.com/asn}", "routerId": "{node-ip}", "listenPort": 1179,
        "communityAliases": {"blue": "64512:1", "red": "large:64512:1:2"},
        "gracefulShutdown": {"enabled": true, "time": "10s"},
        "peers": [
            {"name": "a", "address": "2001:db8::1", "asn": "external", "port": 1790, "listen": true,
             "sourceAddress": "2001:db8::2", "vrf": "red", "holdTime": "9s", "keepaliveTime": 3,
             "connectRetryTime": "1m30s", "md5": {"name": "tor"}, "ttlSecurity": 1,
             "bfd": {"transmitInterval": 50, "receiveInterval": "3300us", "detectMultiplier": 5},
             "gracefulRestart": {"restartTime": 60}, "families": ["ipv6"], "maximumPrefixes": 1000,
             "nodeSelector": {"matchLabels": {"rack": "1"}}, "shutdownMessage": "see ticket 7"},
            {"name": "b", "prefix": "10.0.0.0/8", "asn": "internal"},
            {"name": "c", "interface": "eth1", "asn": 4200000000},
            {"name": "d", "address": "fe80::1%eth0", "asn": 64512, "multihop": 5, "passive": true,
             "nodeSelector": [{"matchLabels": {"rack": "2"}},
                              {"matchExpressions": [{"key": "rack", "operator": "DoesNotExist"}]}]}
        ],
        "advertisements": [{
            "pools": ["default"], "serviceSelector": {}, "nodeSelector": [], "peers": ["a"],
            "aggregationLength": 24, "aggregationLengthV6": 64,
            "communities": ["blue", "red", "64512:3", "no-advertise"], "largeCommunities": ["1:2:3"],
            "extendedCommunities": ["rt:64512:1"], "localPref": 200, "med": 0, "prepend": 2,
            "noExport": true, "linkBandwidth": 1000}]
        }"#,
    )
    .map_err(|problems| said(&problems))
    .unwrap();
    let [a, b, c, d] = &config.peers[..] else { panic!("{:?}", config.peers) };
    assert_eq!((a.hold_s, a.keepalive_s, a.connect_retry_ms), (9, 3, 90_000));
    assert_eq!((a.dials, a.listens, a.reach), (true, true, TtlPolicy::Secured(1)));
    let bfd = a.bfd.unwrap();
    assert_eq!((bfd.transmit_us, bfd.receive_us, bfd.multiplier), (50_000, 3_300, 5));
    assert_eq!(a.families, Families { ipv4: false, ipv6: true });
    assert_eq!((b.dials, b.listens, c.dials, c.listens), (false, true, false, true));
    assert_eq!((d.dials, d.listens, d.reach), (false, true, TtlPolicy::Multihop(5)));
    let advertisement = &config.advertisements[0];
    let communities = ["64512:1", "64512:3", "no-advertise", "no-export"];
    assert_eq!(advertisement.communities, communities.map(|text| text.parse().unwrap()));
    let large = [LargeCommunity([1, 2, 3]), LargeCommunity([64512, 1, 2])];
    assert_eq!(advertisement.large_communities, large);
    assert_eq!(config.graceful_shutdown_ms, Some(10_000));
}

#[test]
fn all_that_is_wrong_is_told_at_once_with_its_place() {
    check_wrong(
        r#"{"asm": 1, "routerId": "0.0.0.0", "listenPort": 0,
            "communityAliases": {"blue": "64512"},
            "peers": [{"name": "a", "adress": "192.0.2.1", "asn": 0}, {"name": "a", "asn": 23456,
                       "address": "192.0.2.256", "holdTime": 2, "md5": {}}],
            "advertisements": [{"peers": ["z"], "communities": ["green", "1:2"], "prepend": 17}]}"#,
        &[
            "/asn: is required",
            "/routerId: 0.0.0.0 is not a router ID: it must not be zero",
            "/listenPort: 0 is not between 1 and 65535",
            "/communityAliases/blue: \"64512\" is not a community: 64512:100, each half up to 65535, or a name like no-export",
            "/peers/0: needs exactly one of address, prefix and interface",
            "/peers/0/asn: AS 0 is not a valid AS (RFC 7607); external and internal are allowed as well",
            "/peers/0/adress: unknown field; known fields are name, address, prefix, interface, asn, \
             passive, listen, holdTime, keepaliveTime, shutdownMessage, localAsn, port, sourceAddress, \
             vrf, connectRetryTime, sendHoldTime, md5, multihop, ttlSecurity, bfd, gracefulRestart, families, \
             maximumPrefixes, nodeSelector, shutdown",
            "/peers/1/address: \"192.0.2.256\" is not an address",
            "/peers/1/asn: 23456 is AS_TRANS, which is reserved (RFC 6793); external and internal are allowed as well",
            "/peers/1/holdTime: must be 0 or at least 3 s (RFC 4271)",
            "/peers/1/md5/name: is required",
            "/advertisements/0/communities/0: \"green\" is not a community: 64512:100, each half up to 65535, or a \
             name like no-export, or an alias",
            "/advertisements/0/prepend: 17 is not between 0 and 16",
            "/advertisements/0/peers/0: there is no peer \"z\" in peers",
            "/asm: unknown field; known fields are asn, routerId, listenPort, communityAliases, \
             gracefulShutdown, peers, advertisements",
        ],
    );
}

#[test]
fn one_field_must_fit_the_others() {
    for (fields, expected) in [
        (
            r#""address": "192.0.2.1", "prefix": "192.0.2.0/24", "asn": 1"#,
            "/peers/0: needs exactly one of address, prefix and interface",
        ),
        (
            r#""address": "192.0.2.1", "asn": 1, "sourceAddress": "2001:db8::1""#,
            "/peers/0/sourceAddress: is not of the same family as address",
        ),
        (
            r#""address": "fe80::1", "asn": 1"#,
            "/peers/0/address: fe80::1 needs its interface: fe80::1%eth0",
        ),
        (
            r#""address": "192.0.2.1", "asn": 1, "ttlSecurity": 1, "multihop": 2"#,
            "/peers/0/ttlSecurity: cannot be combined with multihop: set the number of hops in ttlSecurity only",
        ),
        (
            r#""address": "192.0.2.1", "asn": 1, "holdTime": 3, "keepaliveTime": 4"#,
            "/peers/0/keepaliveTime: is longer than the hold time, 3s",
        ),
        (
            r#""address": "192.0.2.1", "asn": 1, "passive": true, "listen": false"#,
            "/peers/0/listen: must be true for a passive peer",
        ),
        (
            r#""prefix": "192.0.2.1/24", "asn": 1"#,
            "/peers/0/prefix: has bits set after its prefix length",
        ),
        (
            r#""address": "192.0.2.1", "asn": 1, "families": []"#,
            "/peers/0/families: is empty: name at least one of ipv4 and ipv6",
        ),
        (
            r#""address": "192.0.2.1", "asn": "64512a""#,
            "/peers/0/asn: \"64512a\" is not an AS number; external and internal are allowed as well",
        ),
    ] {
        assert_eq!(peer(fields).unwrap_err(), expected);
    }
    assert_eq!(peer(r#""address": "192.0.2.1", "asn": 1, "keepaliveTime": 1"#).unwrap().hold_s, 3);
    assert_eq!(peer(r#""address": "192.0.2.1", "asn": 1, "holdTime": 0"#).unwrap().keepalive_s, 0);
}

#[test]
fn peers_are_told_apart() {
    let twins = |selector: &str| {
        format!(
            r#"{{"asn": 64513, "peers": [
                {{"name": "a", "address": "192.0.2.1", "asn": 1, {selector}}},
                {{"name": "b", "address": "192.0.2.1", "asn": 2}}]}}"#
        )
    };
    check_wrong(&twins(r#""port": 179"#), &["/peers/1: is the same neighbour as /peers/0"]);
    let elsewhere = twins(r#""nodeSelector": {"matchLabels": {"rack": "1"}}"#);
    assert!(Config::parse(&elsewhere).is_ok());
    check_wrong(r#"{"asn": 64513, "peers": []}"#, &["/peers: is empty: name at least one peer"]);
    check_wrong("[]", &["/: expected an object, found []"]);
    check_wrong("", &["/: EOF while parsing a value at line 1 column 0"]);
}

#[test]
fn a_selector_matches_when_one_of_its_parts_does() {
    let selector = r#""nodeSelector": [{"matchLabels": {"rack": "1", "row": "2"}},
        {"matchExpressions": [{"key": "row", "operator": "NotIn", "values": ["2", "3"]},
                              {"key": "rack", "operator": "Exists"}]}]"#;
    let peer = peer(&format!(r#""address": "192.0.2.1", "asn": 1, {selector}"#)).unwrap();
    for (rack, row, expected) in [
        (Some("1"), Some("2"), true),
        (Some("2"), Some("2"), false),
        (Some("2"), Some("4"), true),
        (Some("2"), None, true),
        (None, None, false),
    ] {
        let label = |key: &str| if key == "rack" { rack } else { row };
        assert_eq!(peer.nodes.matches(label), expected, "{rack:?} {row:?}");
    }
}
