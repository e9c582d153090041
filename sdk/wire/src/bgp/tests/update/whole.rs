//! Rules for whole messages: framing, families, End-of-RIB, old speakers.
use super::*;

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
    for no_hosts in [&*nowhere, "80 0e 0d 0001 01 04 f7fa0505 00 18 c63364"] {
        let update = read(&update_of(no_hosts), &external());
        assert_eq!(update.withdrawn, prefixes(&["198.51.100.0/24"]));
        assert!(update.announced.is_empty());
    }
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
