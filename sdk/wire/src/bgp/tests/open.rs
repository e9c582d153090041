//! Header and OPEN: RFC 4271 sections 6.1 and 6.2, RFC 5492, RFC 6286, RFC 6793, RFC 7607, RFC 9072, and each capability.
use std::net::Ipv4Addr;

use super::super::*;
use super::{hex, message, reset};

fn negotiated() -> Negotiated {
    Negotiated::default()
}

/// Returns an OPEN of AS 64513, hold time 90, 10.77.0.1, with these optional parameters.
fn open(parameters: &str) -> Vec<u8> {
    let parameters = hex(parameters);
    let length = u8::try_from(parameters.len()).expect("short");
    message(1, &[hex("04 fc01 005a 0a4d0001").as_slice(), &[length], &parameters].concat())
}

fn decoded(octets: &[u8]) -> Open {
    match decode(octets, &negotiated()) {
        Ok(Message::Open(open)) => open,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_header_that_is_wrong_is_refused_with_the_data_of_section_6_1() {
    let mut unmarked = keepalive();
    unmarked[3] = 0xfe;
    let with_length = |kind: u8, length: u16| {
        let mut octets = message(kind, &[0; 40]);
        octets[16..18].copy_from_slice(&length.to_be_bytes());
        octets
    };
    let table = [
        (unmarked, (1, 1, vec![])),
        (with_length(4, 18), (1, 2, hex("0012"))),
        (with_length(2, 4097), (1, 2, hex("1001"))),
        (with_length(1, 28), (1, 2, hex("001c"))),
        (with_length(2, 22), (1, 2, hex("0016"))),
        (with_length(3, 20), (1, 2, hex("0014"))),
        (with_length(4, 20), (1, 2, hex("0014"))),
        (message(9, &[]), (1, 3, hex("09"))),
        (message(0, &[]), (1, 3, hex("00"))),
    ];
    for (octets, expected) in table {
        assert_eq!(
            frame(&octets, MAX_MESSAGE).map_err(|it| it.notification.error.code).err(),
            Some(1)
        );
        assert_eq!(reset(&octets, &negotiated()), expected, "{octets:02x?}");
        // The header alone is enough to find the fault: the host delivers nothing more.
        assert_eq!(reset(&octets[..HEADER], &negotiated()), expected, "{octets:02x?}");
    }
}

#[test]
fn a_message_is_framed_from_its_header_before_the_rest_has_come() {
    let open = open("");
    assert_eq!(frame(&open[..18], MAX_MESSAGE), Ok(None));
    assert_eq!(frame(&open[..19], MAX_MESSAGE), Ok(Some((MessageType::Open, 29))));
    let two = [open.as_slice(), &keepalive()].concat();
    assert_eq!(frame(&two, MAX_MESSAGE), Ok(Some((MessageType::Open, 29))));
    assert_eq!(reset(&two, &negotiated()).0, 1, "two messages are not one");
    assert_eq!(reset(&open[..25], &negotiated()).0, 1, "nor is part of one");
}

#[test]
fn extended_messages_are_for_all_types_but_open_and_keepalive() {
    let long = |kind| message(kind, &[0; 5000]);
    let limit = MAX_EXTENDED_MESSAGE;
    assert_eq!(frame(&long(2), limit), Ok(Some((MessageType::Update, 5019))));
    assert!(frame(&long(2), MAX_MESSAGE).is_err());
    assert!(frame(&long(1), limit).is_err() && frame(&long(4), limit).is_err());
}

#[test]
fn an_open_that_is_wrong_is_refused_with_its_own_subcode() {
    let with = |at: usize, octets: &str| {
        let mut open = open("");
        let octets = hex(octets);
        open[at..at + octets.len()].copy_from_slice(&octets);
        open
    };
    let table = [
        ("version 3", with(19, "03"), (2, 1, hex("0004"))),
        ("version 5", with(19, "05"), (2, 1, hex("0004"))),
        ("AS 0", with(20, "0000"), (2, 2, vec![])),
        ("hold time 1", with(22, "0001"), (2, 6, vec![])),
        ("hold time 2", with(22, "0002"), (2, 6, vec![])),
        ("identifier 0.0.0.0", with(24, "00000000"), (2, 3, vec![])),
        ("parameters longer than the message", with(28, "04"), (2, 0, vec![])),
        (
            "parameters shorter than the message",
            message(1, &hex("04fc01005a0a4d0001 00 00")),
            (2, 0, vec![]),
        ),
        ("parameter type 9", open("09 00"), (2, 4, vec![])),
        ("authentication, deprecated", open("01 01 00"), (2, 4, vec![])),
        ("parameter past the end", open("02 05 0104"), (2, 0, vec![])),
        ("parameter without a length", open("02"), (2, 0, vec![])),
        ("capability past its parameter", open("02 03 010400"), (2, 0, vec![])),
        ("multiprotocol of 3 octets", open("02 05 0103 000100"), (2, 0, vec![])),
        ("4-octet AS of 2 octets", open("02 04 4102 fc01"), (2, 0, vec![])),
        ("4-octet AS 0", open("02 06 4104 00000000"), (2, 2, vec![])),
        ("route refresh with a value", open("02 03 0201 00"), (2, 0, vec![])),
        ("graceful restart of 3 octets", open("02 05 4003 400078"), (2, 0, vec![])),
        ("extended length past the end", open("ff 0009 02 0000"), (2, 0, vec![])),
    ];
    for (name, octets, expected) in table {
        assert_eq!(reset(&octets, &negotiated()), expected, "{name}");
    }
}

#[test]
fn an_open_without_capabilities_is_that_of_an_old_speaker() {
    let open = decoded(&open(""));
    assert_eq!(open.asn, 64513);
    assert_eq!((open.hold_time, open.router_id), (90, Ipv4Addr::new(10, 77, 0, 1)));
    let agreed = Negotiated::new(&open, &open);
    assert_eq!(agreed.families, [Family::IPV4_UNICAST]);
    assert!(!agreed.four_octet_as && !agreed.route_refresh);
}

#[test]
fn every_capability_has_its_layout() {
    let table = [
        ("0104 0001 00 01", Capability::Multiprotocol(Family::IPV4_UNICAST)),
        ("0104 0019 00 41", Capability::Multiprotocol(Family { afi: 25, safi: 65 })),
        ("0200", Capability::RouteRefresh),
        ("0506 0001 0001 0002", Capability::ExtendedNextHop(vec![(Family::IPV4_UNICAST, 2)])),
        ("0600", Capability::ExtendedMessage),
        ("0901 03", Capability::Role(3)),
        (
            "400a c078 0001 01 80 0002 01 00",
            Capability::GracefulRestart(GracefulRestart {
                restarted: true,
                notification: true,
                restart_time: 120,
                families: vec![(Family::IPV4_UNICAST, true), (Family::IPV6_UNICAST, false)],
            }),
        ),
        ("4104 00010000", Capability::FourOctetAs(65536)),
        ("4504 0001 01 01", Capability::AddPath(vec![(Family::IPV4_UNICAST, 1)])),
        ("4600", Capability::EnhancedRouteRefresh),
        ("4906 0161 03 622e63", Capability::Fqdn { host: "a".into(), domain: "b.c".into() }),
        ("8000", Capability::Unknown { code: 128, value: vec![] }),
        ("4703 010203", Capability::Unknown { code: 71, value: vec![1, 2, 3] }),
        // Neither ends a session: RFC 9234 leaves a bad role to local policy, and a host name is only for display.
        ("0902 0102", Capability::Unknown { code: 9, value: vec![1, 2] }),
        ("4902 05 61", Capability::Unknown { code: 73, value: vec![5, 0x61] }),
    ];
    for (octets, capability) in table {
        let octets = hex(octets);
        let mut read = Vec::new();
        Capability::decode_all(&octets, &mut read).expect("well-formed");
        assert_eq!(read, std::slice::from_ref(&capability));
        assert_eq!(capability.encode(), octets, "{capability:?}");
        assert!(!capability.name().is_empty());
    }
}

#[test]
fn capabilities_may_come_in_one_parameter_or_in_many() {
    let one = decoded(&open("02 08 0200 4104 0000fc01"));
    let many = decoded(&open("02 02 0200 02 06 4104 0000fc01"));
    let extended = decoded(&open("ff 000b 02 0008 0200 4104 0000fc01"));
    assert_eq!(one, many);
    assert_eq!(one, extended);
    assert_eq!(one.capabilities, [Capability::RouteRefresh, Capability::FourOctetAs(64513)]);
}

#[test]
fn a_long_list_of_capabilities_takes_the_extended_form() {
    let unknown = |code| Capability::Unknown { code, value: vec![code; 60] };
    let few = Open {
        asn: 64513,
        hold_time: 90,
        router_id: Ipv4Addr::new(10, 0, 0, 1),
        capabilities: (128..132).map(unknown).collect(),
    };
    let many = Open { capabilities: (128..160).map(unknown).collect(), ..few.clone() };
    assert_eq!(few.encode()[28..30], [250, 2]);
    assert_eq!(many.encode()[28..30], [255, 255]);
    assert_eq!((decoded(&few.encode()), decoded(&many.encode())), (few.clone(), many));
    let too_many = Open { capabilities: vec![unknown(200); 100], ..few };
    let octets = too_many.encode();
    assert!(octets.len() <= 4096 && decoded(&octets).capabilities.len() > 60);
}

#[test]
fn a_four_octet_as_stands_behind_as_trans() {
    let open = decoded(&message(1, &hex("04 5ba0 005a 0a4d0001 08 02 06 4104 00010000")));
    assert_eq!(open.asn, 65536);
    assert_eq!(open.encode(), message(1, &hex("04 5ba0 005a 0a4d0001 08 02 06 4104 00010000")));
}

#[test]
fn the_capability_stands_in_lieu_of_the_field_of_two_octets() {
    assert_eq!(decoded(&open("02 06 4104 0000fc02")).asn, 64514);
}

#[test]
fn negotiation_keeps_what_both_can_and_each_way_its_own_limit() {
    let open = |capabilities: &[Capability]| Open {
        asn: 64512,
        hold_time: 9,
        router_id: Ipv4Addr::LOCALHOST,
        capabilities: capabilities.to_vec(),
    };
    let (v4, v6) = (Family::IPV4_UNICAST, Family::IPV6_UNICAST);
    let ours = open(&[
        Capability::Multiprotocol(v6),
        Capability::Multiprotocol(v4),
        Capability::Multiprotocol(v4),
        Capability::FourOctetAs(64512),
        Capability::ExtendedNextHop(vec![(v4, 2)]),
        Capability::EnhancedRouteRefresh,
    ]);
    let theirs = open(&[
        Capability::Multiprotocol(v4),
        Capability::ExtendedMessage,
        Capability::RouteRefresh,
        Capability::FourOctetAs(64512),
        Capability::ExtendedNextHop(vec![(Family { afi: 1, safi: 128 }, 2), (v4, 2)]),
    ]);
    let agreed = Negotiated::new(&ours, &theirs);
    assert_eq!(agreed.families, [v4]);
    assert!(agreed.four_octet_as && agreed.ipv6_next_hop && agreed.is_internal());
    assert!(agreed.route_refresh && !agreed.enhanced_route_refresh);
    assert_eq!((agreed.send_limit, agreed.receive_limit), (MAX_EXTENDED_MESSAGE, MAX_MESSAGE));
    let peer = Negotiated::new(&theirs, &ours);
    assert_eq!((peer.send_limit, peer.receive_limit), (MAX_MESSAGE, MAX_EXTENDED_MESSAGE));
    assert!(!peer.route_refresh);
}
