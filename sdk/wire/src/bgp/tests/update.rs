//! UPDATE: RFC 7606 case by case. Each row is one attribute or a whole message, and the required result.
use super::super::*;
use super::{external, hex, internal, message, reset};

mod whole;

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

/// Checks the action and clause for these attributes, and the result of the action for 198.51.100.0/24.
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
