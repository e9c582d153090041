//! UPDATE: RFC 7606 case by case. Each row is what one attribute says, or a whole message, and what must follow.
use super::super::*;
use super::{external, hex, internal, message, reset};

/// ORIGIN IGP, AS_PATH 64513, NEXT_HOP 10.77.0.1.
const ORIGIN: &str = "40 01 01 00";
const AS_PATH: &str = "40 02 06 02 01 0000fc01";
const NEXT_HOP: &str = "40 03 04 0a4d0001";
const LOCAL_PREF: &str = "40 05 04 00000064";
/// 198.51.100.0/24.
const NLRI: &str = "18 c63364";
/// MP_REACH_NLRI: 2001:db8:7::/48 by 2001:db8::1.
const REACH: &str = "80 0e 1c 0002 01 10 20010db8000000000000000000000001 00 30 20010db80007";

fn update(withdrawn: &str, attributes: &[&str], nlri: &str) -> Vec<u8> {
    let (withdrawn, attributes, nlri) = (hex(withdrawn), hex(&attributes.concat()), hex(nlri));
    let length = |field: &[u8]| u16::try_from(field.len()).expect("short").to_be_bytes();
    let lengths = (length(&withdrawn), length(&attributes));
    message(2, &[&lengths.0, withdrawn.as_slice(), &lengths.1, &attributes, &nlri].concat())
}

fn read(octets: &[u8], negotiated: &Negotiated) -> Update {
    match decode(octets, negotiated) {
        Ok(Message::Update(update)) => *update,
        other => panic!("{other:?}"),
    }
}

fn prefixes(list: &[&str]) -> Vec<ipnet::IpNet> {
    list.iter().map(|prefix| prefix.parse().expect("a prefix")).collect()
}

/// What each action leaves of 198.51.100.0/24.
fn check(
    name: &str,
    attributes: &[&str],
    negotiated: &Negotiated,
    action: Option<Action>,
    clause: &str,
) {
    let octets = update("", attributes, NLRI);
    if action == Some(Action::SessionReset) {
        let fault = decode(&octets, negotiated).expect_err(name);
        assert_eq!(fault.clause, clause, "{name}");
        return;
    }
    let update = read(&octets, negotiated);
    let strongest = update.faults.iter().map(|fault| fault.action).max();
    assert_eq!(strongest, action, "{name}: {:?}", update.faults);
    assert!(
        clause.is_empty() || update.faults.iter().any(|it| it.clause == clause),
        "{name}: {:?}",
        update.faults
    );
    let route = prefixes(&["198.51.100.0/24"]);
    if action == Some(Action::TreatAsWithdraw) {
        assert_eq!((update.withdrawn, update.announced), (route, vec![]), "{name}");
        assert_eq!(update.attributes, Attributes::default(), "{name}");
    } else {
        assert_eq!(update.withdrawn, [], "{name}");
        assert!(update.announced.iter().any(|it| it.prefixes == route), "{name}");
    }
}

#[test]
fn a_route_with_all_its_attributes_is_read() {
    let octets = update(
        "20 c0000201",
        &[
            ORIGIN,
            AS_PATH,
            NEXT_HOP,
            "80 04 04 00000007",
            "40 06 00",
            "c0 07 08 0000fc01 0a4d0001",
            "c0 08 08 fc010001 ffffff01",
            "c0 10 08 0002fc0100000064",
            "c0 20 0c 0000fc010000000100000002",
            "c0 23 04 0000fc01",
            "c0 63 02 abcd",
            REACH,
            "80 0f 0a 0002 01 30 20010db80008",
        ],
        "18 c63364 00 0a 0a7f",
    );
    let read = read(&octets, &external());
    assert_eq!(read.faults, []);
    assert_eq!(read.withdrawn, prefixes(&["192.0.2.1/32", "2001:db8:8::/48"]));
    let [plain, six] = read.announced.as_slice() else { panic!("{read:?}") };
    assert_eq!(plain.prefixes, prefixes(&["198.51.100.0/24", "0.0.0.0/0", "10.64.0.0/10"]));
    assert_eq!(plain.next_hop.to_string(), "10.77.0.1");
    assert_eq!(six.prefixes, prefixes(&["2001:db8:7::/48"]));
    assert_eq!(six.next_hop.to_string(), "2001:db8::1");
    let attributes = read.attributes;
    assert_eq!(attributes.as_path.to_string(), "64513");
    assert_eq!((attributes.med, attributes.local_pref), (Some(7), None));
    assert!(attributes.atomic_aggregate);
    assert_eq!(attributes.aggregator.map(|it| it.asn), Some(64513));
    let shown: Vec<String> = attributes.communities.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["64513:1", "no-export"]);
    assert_eq!(attributes.extended_communities[0].to_string(), "rt:64513:100");
    assert_eq!(attributes.large_communities[0].to_string(), "64513:1:2");
    assert_eq!(attributes.only_to_customer, Some(64513));
    assert_eq!(attributes.other, [RawAttribute { flags: 0xc0, code: 99, value: hex("abcd") }]);
}

#[test]
#[expect(clippy::too_many_lines, reason = "the table of RFC 7606")]
fn one_malformed_attribute_is_dealt_with_by_its_clause() {
    use Action::{AttributeDiscard, TreatAsWithdraw};
    let (o, p, n) = (ORIGIN, AS_PATH, NEXT_HOP);
    let table: &[(&str, &[&str], Option<Action>, &str)] = &[
        ("well-formed", &[o, p, n], None, ""),
        ("extended length where none is needed", &["50 01 0001 00", p, n], None, ""),
        ("ORIGIN missing", &[p, n], Some(TreatAsWithdraw), "RFC 7606 section 3 d"),
        ("AS_PATH missing", &[o, n], Some(TreatAsWithdraw), "RFC 7606 section 3 d"),
        ("NEXT_HOP missing", &[o, p], Some(TreatAsWithdraw), "RFC 7606 section 3 d"),
        ("ORIGIN 3", &["40 01 01 03", p, n], Some(TreatAsWithdraw), "RFC 7606 section 7.1"),
        ("ORIGIN of 2", &["40 01 02 0000", p, n], Some(TreatAsWithdraw), "RFC 7606 section 7.1"),
        ("ORIGIN of 0", &["40 01 00", p, n], Some(TreatAsWithdraw), "RFC 7606 section 7.1"),
        ("ORIGIN optional", &["c0 01 01 00", p, n], Some(TreatAsWithdraw), "RFC 7606 section 3 c"),
        ("ORIGIN twice", &[o, "40 01 01 02", p, n], Some(AttributeDiscard), "RFC 7606 section 3 g"),
        (
            "AS_PATH type 9",
            &[o, "40 02 06 09 01 0000fc01", n],
            Some(TreatAsWithdraw),
            "RFC 7606 section 7.2",
        ),
        (
            "AS_PATH overrun",
            &[o, "40 02 06 02 02 0000fc01", n],
            Some(TreatAsWithdraw),
            "RFC 7606 section 7.2",
        ),
        (
            "AS_PATH underrun",
            &[o, "40 02 07 02 01 0000fc01 02", n],
            Some(TreatAsWithdraw),
            "RFC 7606 section 7.2",
        ),
        (
            "AS_PATH empty segment",
            &[o, "40 02 02 02 00", n],
            Some(TreatAsWithdraw),
            "RFC 7606 section 7.2",
        ),
        (
            "AS_PATH confederation",
            &[o, "40 02 06 03 01 0000fc01", n],
            Some(TreatAsWithdraw),
            "RFC 7606 section 7.2",
        ),
        ("AS 0", &[o, "40 02 06 02 01 00000000", n], Some(TreatAsWithdraw), "RFC 7606 section 7.2"),
        ("AS_PATH empty", &[o, "40 02 00", n], None, ""),
        (
            "NEXT_HOP of 3",
            &[o, p, "40 03 03 0a4d00"],
            Some(TreatAsWithdraw),
            "RFC 7606 section 7.3",
        ),
        (
            "NEXT_HOP 0.0.0.0",
            &[o, p, "40 03 04 00000000"],
            Some(TreatAsWithdraw),
            "RFC 7606 section 3 e",
        ),
        (
            "NEXT_HOP multicast",
            &[o, p, "40 03 04 e0000001"],
            Some(TreatAsWithdraw),
            "RFC 7606 section 3 e",
        ),
        ("MED of 3", &[o, p, n, "80 04 03 000000"], Some(TreatAsWithdraw), "RFC 7606 section 7.4"),
        (
            "LOCAL_PREF from outside",
            &[o, p, n, LOCAL_PREF],
            Some(AttributeDiscard),
            "RFC 7606 section 7.5",
        ),
        (
            "ATOMIC_AGGREGATE of 1",
            &[o, p, n, "40 06 01 00"],
            Some(AttributeDiscard),
            "RFC 7606 section 7.6",
        ),
        (
            "ATOMIC_AGGREGATE optional",
            &[o, p, n, "c0 06 00"],
            Some(AttributeDiscard),
            "RFC 7606 section 3 c",
        ),
        (
            "AGGREGATOR of 5",
            &[o, p, n, "c0 07 05 0000fc010a"],
            Some(AttributeDiscard),
            "RFC 7606 section 7.7",
        ),
        (
            "AGGREGATOR of 6 with 4-octet AS",
            &[o, p, n, "c0 07 06 fc010a4d0001"],
            Some(AttributeDiscard),
            "RFC 7606 section 7.7",
        ),
        (
            "AGGREGATOR AS 0",
            &[o, p, n, "c0 07 08 000000000a4d0001"],
            Some(AttributeDiscard),
            "RFC 7607 section 2",
        ),
        (
            "COMMUNITIES of 5",
            &[o, p, n, "c0 08 05 0000000000"],
            Some(TreatAsWithdraw),
            "RFC 7606 section 7.8",
        ),
        ("COMMUNITIES of 0", &[o, p, n, "c0 08 00"], Some(TreatAsWithdraw), "RFC 7606 section 7.8"),
        (
            "ORIGINATOR_ID from outside",
            &[o, p, n, "80 09 03 000000"],
            Some(AttributeDiscard),
            "RFC 7606 section 7.9",
        ),
        (
            "CLUSTER_LIST from outside",
            &[o, p, n, "80 0a 03 000000"],
            Some(AttributeDiscard),
            "RFC 7606 section 7.10",
        ),
        (
            "EXTENDED COMMUNITIES of 7",
            &[o, p, n, "c0 10 07 00000000000000"],
            Some(TreatAsWithdraw),
            "RFC 7606 section 7.14",
        ),
        (
            "IPv6 EXTENDED COMMUNITIES of 4",
            &[o, p, n, "c0 19 04 00000000"],
            Some(TreatAsWithdraw),
            "RFC 7606 section 7.15",
        ),
        (
            "AS4_PATH from a NEW speaker",
            &[o, p, n, "c0 11 06 02 01 0000fc01"],
            Some(AttributeDiscard),
            "RFC 6793 section 4.1",
        ),
        (
            "LARGE_COMMUNITY of 11",
            &[o, p, n, "c0 20 0b 0000000000000000000000"],
            Some(TreatAsWithdraw),
            "RFC 8092 section 6",
        ),
        (
            "ONLY_TO_CUSTOMER of 3",
            &[o, p, n, "c0 23 03 000000"],
            Some(TreatAsWithdraw),
            "RFC 9234 section 5",
        ),
        (
            "unknown, well-known",
            &[o, p, n, "40 63 00"],
            Some(Action::SessionReset),
            "RFC 4271 section 6.3",
        ),
        ("unknown, optional", &[o, p, n, "80 63 00"], None, ""),
        (
            "unknown, twice",
            &[o, p, n, "c0 63 00 c0 63 00"],
            Some(AttributeDiscard),
            "RFC 7606 section 3 g",
        ),
        (
            "attribute past the end",
            &[o, p, n, "c0 08 10 0000"],
            Some(TreatAsWithdraw),
            "RFC 7606 section 4",
        ),
        (
            "attribute of two octets",
            &[o, p, n, "c0 08"],
            Some(TreatAsWithdraw),
            "RFC 7606 section 4",
        ),
        (
            "extended attribute of three octets",
            &[o, p, n, "d0 08 00"],
            Some(TreatAsWithdraw),
            "RFC 7606 section 4",
        ),
        (
            "MP_REACH past the end",
            &[o, p, n, "80 0e 10 0002"],
            Some(Action::SessionReset),
            "RFC 7606 section 3 j",
        ),
        (
            "MP_REACH twice",
            &[o, p, n, REACH, REACH],
            Some(Action::SessionReset),
            "RFC 7606 section 3 g",
        ),
        (
            "MP_REACH without a family",
            &[o, p, n, "80 0e 02 0002"],
            Some(Action::SessionReset),
            "RFC 7606 section 5.3",
        ),
        (
            "MP_UNREACH /129",
            &[o, p, n, "80 0f 04 0002 01 81"],
            Some(Action::DisableFamily(Family::IPV6_UNICAST)),
            "RFC 7606 section 5.3",
        ),
        (
            "MP_REACH next hop of 5",
            &[o, p, n, "80 0e 0b 0002 01 05 0000000000 00 00"],
            Some(Action::DisableFamily(Family::IPV6_UNICAST)),
            "RFC 7606 section 7.11",
        ),
        (
            "MP_REACH ends in its next hop",
            &[o, p, n, "80 0e 06 0002 01 10 0000"],
            Some(Action::DisableFamily(Family::IPV6_UNICAST)),
            "RFC 7606 section 7.11",
        ),
        (
            "MP_REACH ends after its next hop",
            &[o, p, n, "80 0e 14 0002 01 10 20010db8000000000000000000000001"],
            Some(Action::DisableFamily(Family::IPV6_UNICAST)),
            "RFC 7606 section 5.3",
        ),
        (
            "milder and stronger",
            &[o, "40 02 02 02 00", n, LOCAL_PREF],
            Some(TreatAsWithdraw),
            "RFC 7606 section 7.5",
        ),
    ];
    for (name, attributes, action, clause) in table {
        check(name, attributes, &external(), *action, clause);
    }
}

#[test]
fn within_an_as_other_attributes_count() {
    use Action::TreatAsWithdraw;
    let path = "40 02 00";
    let table: &[(&str, &[&str], Option<Action>, &str)] = &[
        ("well-formed", &[ORIGIN, path, NEXT_HOP, LOCAL_PREF], None, ""),
        (
            "LOCAL_PREF missing",
            &[ORIGIN, path, NEXT_HOP],
            Some(TreatAsWithdraw),
            "RFC 4271 section 5.1.5",
        ),
        (
            "LOCAL_PREF of 3",
            &[ORIGIN, path, NEXT_HOP, "40 05 03 000000"],
            Some(TreatAsWithdraw),
            "RFC 7606 section 7.5",
        ),
        (
            "ORIGINATOR_ID of 3",
            &[ORIGIN, path, NEXT_HOP, LOCAL_PREF, "80 09 03 000000"],
            Some(TreatAsWithdraw),
            "RFC 7606 section 7.9",
        ),
        (
            "CLUSTER_LIST of 3",
            &[ORIGIN, path, NEXT_HOP, LOCAL_PREF, "80 0a 03 000000"],
            Some(TreatAsWithdraw),
            "RFC 7606 section 7.10",
        ),
        (
            "reflected",
            &[ORIGIN, path, NEXT_HOP, LOCAL_PREF, "80 09 04 01010101 80 0a 04 02020202"],
            None,
            "",
        ),
    ];
    for (name, attributes, action, clause) in table {
        check(name, attributes, &internal(), *action, clause);
    }
}

#[test]
fn what_cannot_be_read_at_all_ends_the_session_with_the_code_of_rfc_4271() {
    let unknown = [ORIGIN, AS_PATH, NEXT_HOP, "40 63 02 abcd"];
    let table = [
        ("withdrawn past the end", message(2, &hex("0009 0000")), (3, 1, vec![])),
        ("attributes past the end", message(2, &hex("0000 0009")), (3, 1, vec![])),
        ("NLRI /33", update("", &[ORIGIN, AS_PATH, NEXT_HOP], "21 c633640100"), (3, 10, vec![])),
        ("NLRI cut off", update("", &[ORIGIN, AS_PATH, NEXT_HOP], "18 c633"), (3, 10, vec![])),
        ("withdrawn /33", update("21 c633640100", &[], ""), (3, 10, vec![])),
        ("unknown well-known", update("", &unknown, NLRI), (3, 2, hex("40 63 02 abcd"))),
        ("no route, ORIGIN 3", update("", &["40 01 01 03"], ""), (3, 6, hex("40 01 01 03"))),
        ("no route, cut off", update("", &["40 01 09"], ""), (3, 1, hex("40 01 09"))),
        ("MP_REACH twice", update("", &[REACH, REACH], ""), (3, 1, vec![])),
    ];
    for (name, octets, expected) in table {
        assert_eq!(reset(&octets, &external()), expected, "{name}");
    }
}

#[test]
fn wrong_flags_on_mp_attributes_still_withdraw_their_routes() {
    let reach = REACH.replacen("80", "c0", 1);
    let octets = update("", &[ORIGIN, AS_PATH, &reach], "");
    let update = read(&octets, &external());
    assert_eq!(update.withdrawn, prefixes(&["2001:db8:7::/48"]));
    assert_eq!(update.announced, []);
}

#[test]
fn next_hops_are_those_of_rfc_2545_and_rfc_8950() {
    let global = "20010db8000000000000000000000001";
    let link_local = "fe800000000000000000000000000002";
    let both = format!("80 0e 2c 0002 01 20 {global}{link_local} 00 30 20010db80007");
    let update_of = |attribute: &str| update("", &[ORIGIN, AS_PATH, attribute], "");
    let next_hop = |attribute: &str, negotiated: &Negotiated| {
        read(&update_of(attribute), negotiated).announced.first().map(|it| it.next_hop.to_string())
    };
    assert_eq!(next_hop(&both, &external()).as_deref(), Some("2001:db8::1 fe80::2"));
    let over_six = format!("80 0e 19 0001 01 10 {global} 00 18 c63364");
    assert_eq!(next_hop(&over_six, &external()).as_deref(), Some("2001:db8::1"));
    let without = Negotiated { ipv6_next_hop: false, ..external() };
    assert_eq!(next_hop(&over_six, &without), None, "not negotiated");
    assert_eq!(
        next_hop("80 0e 0d 0001 01 04 0a4d0001 00 18 c63364", &without).as_deref(),
        Some("10.77.0.1")
    );
    let nowhere = format!("80 0e 19 0001 01 10 {} 00 18 c63364", "00".repeat(16));
    let update = read(&update_of(&nowhere), &external());
    assert_eq!(update.withdrawn, prefixes(&["198.51.100.0/24"]));
}

#[test]
fn families_that_were_not_negotiated_are_named_and_not_read() {
    let only_six = Negotiated { families: vec![Family::IPV6_UNICAST], ..external() };
    let update_of_four = read(&update("", &[ORIGIN, AS_PATH, NEXT_HOP], NLRI), &only_six);
    assert_eq!(update_of_four.not_negotiated, [Family::IPV4_UNICAST]);
    assert_eq!((update_of_four.announced, update_of_four.faults), (vec![], vec![]));
    let vpn = "80 0e 06 0001 80 00 00 00";
    let update = read(&update("", &[ORIGIN, AS_PATH, vpn], ""), &external());
    assert_eq!(update.not_negotiated, [Family { afi: 1, safi: 128 }]);
    assert_eq!((update.announced, update.end_of_rib), (vec![], None));
}

#[test]
fn the_end_of_rib_is_an_update_without_anything() {
    for family in [Family::IPV4_UNICAST, Family::IPV6_UNICAST] {
        let read = read(&end_of_rib(family), &external());
        assert_eq!(read, Update { end_of_rib: Some(family), ..Update::default() });
    }
    assert_eq!(end_of_rib(Family::IPV4_UNICAST), message(2, &[0; 4]));
    assert_eq!(end_of_rib(Family::IPV6_UNICAST), update("", &["80 0f 03 0002 01"], ""));
    let not_empty = read(&update("20 c0000201", &["80 0f 03 0002 01"], ""), &external());
    assert_eq!(not_empty.end_of_rib, None);
}

#[test]
fn an_old_speaker_is_understood_through_its_as4_attributes() {
    let old = Negotiated { four_octet_as: false, ..external() };
    let path = |attributes: &[&str]| {
        let attributes = [&[ORIGIN, NEXT_HOP], attributes].concat();
        let update = read(&update("", &attributes, NLRI), &old);
        assert!(update.faults.iter().all(|it| it.action == Action::AttributeDiscard));
        (update.attributes.as_path.to_string(), update.attributes.aggregator.map(|it| it.asn))
    };
    let trans = "40 02 08 02 03 fc01 5ba0 5ba0";
    let wide = "c0 11 0a 02 02 00010000 00020000";
    assert_eq!(path(&[trans, wide]), ("64513 65536 131072".to_owned(), None));
    let longer = "c0 11 12 02 04 00010000 00020000 00030000 00040000";
    assert_eq!(path(&[trans, longer]).0, "64513 23456 23456", "RFC 6793 section 4.2.3");
    let aggregators = ["c0 07 06 5ba0 0a4d0001", "c0 12 08 00010000 0a4d0001"];
    assert_eq!(path(&[trans, wide, aggregators[0], aggregators[1]]).1, Some(65536));
    let narrow = "c0 07 06 fc01 0a4d0001";
    let ignored = ("64513 23456 23456".to_owned(), Some(64513));
    assert_eq!(path(&[trans, wide, narrow, aggregators[1]]), ignored);
    assert_eq!(path(&[trans, wide, narrow]).0, "64513 65536 131072");
    assert_eq!(path(&[trans, "c0 11 02 02 00"]).0, "64513 23456 23456", "malformed: discarded");
}
