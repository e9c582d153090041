//! Test vectors written octet by octet, then properties: every encoded message decodes to itself, and no input causes
//! a panic.
use super::*;
use proptest::prelude::*;

mod answers;

const OURS: MacAddr = MacAddr(0x02, 0, 0, 0, 0, 0x01);
const ASKER: MacAddr = MacAddr(0x02, 0, 0, 0, 0, 0x99);
const OTHER: MacAddr = MacAddr(0x02, 0, 0, 0, 0, 0x77);
const ZERO: MacAddr = MacAddr(0, 0, 0, 0, 0, 0);
const BROADCAST: MacAddr = MacAddr(0xff, 0xff, 0xff, 0xff, 0xff, 0xff);

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// Parses hexadecimal octets; white space is ignored.
fn octets(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

const ARP_REQUEST: &str = "ffffffffffff 020000000099 0806
    0001 0800 06 04 0001  020000000099 c0000263  000000000000 c0000201";
const ARP_PROBE: &str = "ffffffffffff 020000000099 0806
    0001 0800 06 04 0001  020000000099 00000000  000000000000 c0000201";
const ARP_REPLY: &str = "020000000099 020000000001 0806
    0001 0800 06 04 0002  020000000001 c0000201  020000000099 c0000263";
const ARP_PROBE_REPLY: &str = "020000000099 020000000001 0806
    0001 0800 06 04 0002  020000000001 c0000201  020000000099 00000000";
const ARP_ANNOUNCEMENT: &str = "ffffffffffff 020000000001 0806
    0001 0800 06 04 0001  020000000001 c0000201  000000000000 c0000201";
const NS: &str = "3333ff000001 020000000099 86dd
    60000000 0020 3a ff  20010db8000000000000000000000099  ff0200000000000000000001ff000001
    87 00 1af9 00000000  20010db8000000000000000000000001  01 01 020000000099";
const NS_WITHOUT_LINK_LAYER: &str = "020000000001 020000000099 86dd
    60000000 0018 3a ff  20010db8000000000000000000000099  20010db8000000000000000000000001
    87 00 eee6 00000000  20010db8000000000000000000000001";
const NS_PROBE: &str = "3333ff000001 020000000099 86dd
    60000000 0018 3a ff  00000000000000000000000000000000  ff0200000000000000000001ff000001
    87 00 4ced 00000000  20010db8000000000000000000000001";
const NA_SOLICITED: &str = "020000000099 020000000001 86dd
    60000000 0020 3a ff  20010db8000000000000000000000001  20010db8000000000000000000000099
    88 00 89dc 60000000  20010db8000000000000000000000001  02 01 020000000001";
const NA_ANNOUNCEMENT: &str = "333300000001 020000000001 86dd
    60000000 0020 3a ff  20010db8000000000000000000000001  ff020000000000000000000000000001
    88 00 f92a 20000000  20010db8000000000000000000000001  02 01 020000000001";

fn arp(operation: ArpOperation, from: (MacAddr, &str), to: (MacAddr, &str)) -> NeighborMessage {
    NeighborMessage::Arp(Arp {
        operation,
        sender_mac: from.0,
        sender_ip: from.1.parse().unwrap(),
        target_mac: to.0,
        target_ip: to.1.parse().unwrap(),
    })
}

fn solicitation(source: &str, destination: &str, mac: Option<MacAddr>) -> NeighborMessage {
    NeighborMessage::Solicitation(NeighborSolicitation {
        source: v6(source),
        destination: v6(destination),
        target: v6("2001:db8::1"),
        source_link_layer: mac,
    })
}

fn advertisement(destination: &str, solicited: bool) -> NeighborMessage {
    NeighborMessage::Advertisement(NeighborAdvertisement {
        source: v6("2001:db8::1"),
        destination: v6(destination),
        target: v6("2001:db8::1"),
        router: false,
        solicited,
        overrides: true,
        target_link_layer: Some(OURS),
    })
}

#[test]
fn each_message_has_one_spelling_on_the_wire() {
    use ArpOperation::{Reply, Request};
    let group = multicast_mac(v6("ff02::1:ff00:1"));
    let asked = arp(Request, (ASKER, "192.0.2.99"), (ZERO, "192.0.2.1"));
    let probe = arp(Request, (ASKER, "0.0.0.0"), (ZERO, "192.0.2.1"));
    let reply = arp(Reply, (OURS, "192.0.2.1"), (ASKER, "192.0.2.99"));
    let announced = arp(Request, (OURS, "192.0.2.1"), (ZERO, "192.0.2.1"));
    let question = solicitation("2001:db8::99", "ff02::1:ff00:1", Some(ASKER));
    let unicast = solicitation("2001:db8::99", "2001:db8::1", None);
    let vectors = [
        (ARP_REQUEST, BROADCAST, ASKER, asked),
        (ARP_PROBE, BROADCAST, ASKER, probe),
        (ARP_REPLY, ASKER, OURS, reply),
        (ARP_ANNOUNCEMENT, BROADCAST, OURS, announced),
        (NS, group, ASKER, question),
        (NS_WITHOUT_LINK_LAYER, OURS, ASKER, unicast),
        (NS_PROBE, group, ASKER, solicitation("::", "ff02::1:ff00:1", None)),
        (NA_SOLICITED, ASKER, OURS, advertisement("2001:db8::99", true)),
        (NA_ANNOUNCEMENT, multicast_mac(v6("ff02::1")), OURS, advertisement("ff02::1", false)),
    ];
    for (text, destination, source, message) in vectors {
        assert_eq!(encode(destination, source, &message), octets(text), "{message:?}");
        assert_eq!(decode(&octets(text)), Ok(Decoded { destination, source, message }));
    }
}

#[test]
fn flags_of_an_advertisement_are_the_first_three_bits() {
    for (octet, expected) in
        [(0x80, (true, false, false)), (0x40, (false, true, false)), (0x20, (false, false, true))]
    {
        let (router, solicited, overrides) = expected;
        let message = NeighborMessage::Advertisement(NeighborAdvertisement {
            source: v6("2001:db8::1"),
            destination: v6("2001:db8::99"),
            target: v6("2001:db8::1"),
            router,
            solicited,
            overrides,
            target_link_layer: None,
        });
        let frame = encode(ASKER, OURS, &message);
        assert_eq!(frame[14 + 40 + 4], octet);
        assert_eq!(decode(&frame).map(|decoded| decoded.message), Ok(message));
    }
}

#[test]
fn a_message_is_about_its_target() {
    for (text, expected) in
        [(ARP_REQUEST, "192.0.2.1"), (NS, "2001:db8::1"), (NA_ANNOUNCEMENT, "2001:db8::1")]
    {
        let message = decode(&octets(text)).unwrap().message;
        assert_eq!(message.address(), expected.parse::<IpAddr>().unwrap());
    }
}

#[test]
fn padding_is_ignored() {
    for text in [ARP_REQUEST, NS, NS_PROBE] {
        let mut frame = octets(text);
        let decoded = decode(&frame);
        frame.resize(frame.len().max(60) + 4, 0xa5);
        assert_eq!(decode(&frame), decoded);
    }
}

#[test]
fn groups_are_those_of_rfc_4291_and_rfc_2464() {
    let group = solicited_node_group(v6("2001:db8::01:2345:6789:abcd"));
    assert_eq!(group, v6("ff02::1:ff89:abcd"));
    assert_eq!(multicast_mac(group), MacAddr(0x33, 0x33, 0xff, 0x89, 0xab, 0xcd));
}

/// Offsets in a Neighbor Discovery frame.
const IPV6: usize = 14;
const ICMP: usize = IPV6 + 40;
const OPTION: usize = ICMP + 24;

/// Octets to replace, by position.
type Changes<'a> = &'a [(usize, u8)];

/// Replaces octets and, in a Neighbor Discovery frame, repairs the checksum.
fn changed(text: &str, changes: Changes<'_>) -> Vec<u8> {
    let mut frame = octets(text);
    for (at, octet) in changes {
        frame[*at] = *octet;
    }
    if frame[12..14] == [0x86, 0xdd] {
        mend_checksum(&mut frame);
    }
    frame
}

/// Computes the checksum of RFC 4443 section 2.3, implemented a second time so that the codec does not verify itself.
fn mend_checksum(frame: &mut [u8]) {
    frame[ICMP + 2..ICMP + 4].fill(0);
    let length = (frame.len() - ICMP) as u32;
    let words = |octets: &[u8]| -> u32 {
        octets
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
            .sum()
    };
    let mut sum = words(&frame[IPV6 + 8..]) + length + 58;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    frame[ICMP + 2..ICMP + 4].copy_from_slice(&(!sum as u16).to_be_bytes());
}

#[test]
fn what_the_rfcs_forbid_does_not_decode() {
    use DecodeError::*;
    let vectors: &[(&str, Changes<'_>, DecodeError)] = &[
        (ARP_REQUEST, &[(13, 0x00)], NotNeighborDiscovery),
        (ARP_REQUEST, &[(15, 6)], ArpHardware),
        (ARP_REQUEST, &[(18, 8)], ArpHardware),
        (ARP_REQUEST, &[(16, 0x86), (17, 0xdd)], ArpProtocol),
        (ARP_REQUEST, &[(19, 16)], ArpProtocol),
        (ARP_REQUEST, &[(21, 3)], ArpOperation),
        (ARP_REQUEST, &[(21, 0)], ArpOperation),
        (NS, &[(IPV6, 0x40)], IpVersion),
        (NS, &[(IPV6 + 5, 0x21)], Truncated),
        (NS, &[(IPV6 + 5, 0x03)], Truncated),
        (NS, &[(IPV6 + 6, 0)], NotNeighborDiscovery),
        (NS, &[(IPV6 + 7, 254)], HopLimit),
        (NS, &[(IPV6 + 8, 0xff)], MulticastSource),
        (NS, &[(ICMP, 133)], NotNeighborDiscovery),
        (NS, &[(ICMP + 1, 1)], Code),
        (NS, &[(ICMP + 8, 0xff)], MulticastTarget),
        (NS, &[(OPTION + 1, 0)], OptionLength),
        (NS, &[(OPTION + 1, 2)], OptionLength),
        (NS, &[(OPTION, 14), (OPTION + 1, 0)], OptionLength),
        (NS_PROBE, &[(IPV6 + 24 + 11, 0)], ProbeDestination),
        (NA_SOLICITED, &[(ICMP + 1, 1)], Code),
        (NA_SOLICITED, &[(IPV6 + 7, 1)], HopLimit),
        (NA_SOLICITED, &[(ICMP + 8, 0xff)], MulticastTarget),
        (NA_SOLICITED, &[(OPTION + 1, 0)], OptionLength),
        (NA_ANNOUNCEMENT, &[(ICMP + 4, 0x60)], SolicitedMulticast),
    ];
    for (text, changes, expected) in vectors {
        assert_eq!(decode(&changed(text, changes)), Err(*expected), "{changes:?} in {text}");
    }
    let mut unspecified: Vec<(usize, u8)> = (0..16).map(|at| (IPV6 + 8 + at, 0)).collect();
    assert_eq!(decode(&changed(NS, &unspecified)), Err(ProbeLinkLayer));
    unspecified.push((OPTION, 14));
    assert!(decode(&changed(NS, &unspecified)).is_ok(), "another option, such as a nonce, is fine");
}

#[test]
fn a_wrong_checksum_or_a_cut_frame_does_not_decode() {
    for text in [NS, NS_WITHOUT_LINK_LAYER, NS_PROBE, NA_SOLICITED, NA_ANNOUNCEMENT] {
        let mut frame = octets(text);
        frame[ICMP + 2] ^= 1;
        assert_eq!(decode(&frame), Err(DecodeError::Checksum));
    }
    for text in [ARP_REQUEST, NS, NA_SOLICITED] {
        let frame = octets(text);
        for length in 0..frame.len() {
            assert_eq!(decode(&frame[..length]), Err(DecodeError::Truncated), "{length} of {text}");
        }
    }
}

#[test]
fn a_second_link_layer_option_does_not_override_the_first() {
    let mut frame = octets(NS);
    frame.extend(octets("01 01 020000000077"));
    frame[IPV6 + 5] = 0x28;
    mend_checksum(&mut frame);
    let decoded = decode(&frame).unwrap();
    let NeighborMessage::Solicitation(solicitation) = decoded.message else {
        panic!("{decoded:?}")
    };
    assert_eq!(solicitation.source_link_layer, Some(ASKER));
    assert_ne!(encode(decoded.destination, decoded.source, &decoded.message), frame);
}

fn mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(|[a, b, c, d, e, f]| MacAddr(a, b, c, d, e, f))
}

fn unicast() -> impl Strategy<Value = Ipv6Addr> {
    any::<[u8; 16]>().prop_map(|mut octets| {
        octets[0] &= 0x7f;
        octets[15] |= 1;
        octets.into()
    })
}

/// Generates every message that the RFCs allow.
fn message() -> impl Strategy<Value = NeighborMessage> {
    let operation = prop_oneof![Just(ArpOperation::Request), Just(ArpOperation::Reply)];
    let arp = (operation, mac(), any::<[u8; 4]>(), mac(), any::<[u8; 4]>()).prop_map(
        |(operation, sender_mac, sender_ip, target_mac, target_ip)| {
            let (sender_ip, target_ip) = (sender_ip.into(), target_ip.into());
            NeighborMessage::Arp(Arp { operation, sender_mac, sender_ip, target_mac, target_ip })
        },
    );
    let question =
        (proptest::option::of(unicast()), unicast(), proptest::option::of(mac()), any::<bool>())
            .prop_map(|(source, target, mac, to_group)| {
                let probe = source.is_none();
                NeighborMessage::Solicitation(NeighborSolicitation {
                    source: source.unwrap_or(Ipv6Addr::UNSPECIFIED),
                    destination: if probe || to_group {
                        solicited_node_group(target)
                    } else {
                        target
                    },
                    target,
                    source_link_layer: mac.filter(|_| !probe),
                })
            });
    let claim =
        (unicast(), any::<[u8; 16]>(), unicast(), any::<[bool; 3]>(), proptest::option::of(mac()))
            .prop_map(|(source, destination, target, [router, solicited, overrides], mac)| {
                let destination = Ipv6Addr::from(destination);
                NeighborMessage::Advertisement(NeighborAdvertisement {
                    source,
                    destination,
                    target,
                    router,
                    solicited: solicited && !destination.is_multicast(),
                    overrides,
                    target_link_layer: mac,
                })
            });
    prop_oneof![arp, question, claim]
}

/// Decodes and answers together, because answers are only given to decoded questions.
fn exercise(frame: &[u8]) {
    if let Ok(decoded) = decode(frame) {
        let _ = answer(&decoded, OURS);
    }
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_itself(destination in mac(), source in mac(), message in message()) {
        let frame = encode(destination, source, &message);
        prop_assert_eq!(decode(&frame), Ok(Decoded { destination, source, message }));
    }

    #[test]
    fn an_answer_says_that_the_address_is_here(source in mac(), message in message()) {
        let question = Decoded { destination: OURS, source, message };
        if let Ok(frame) = answer(&question, OURS) {
            let given = decode(&frame).unwrap();
            prop_assert_eq!(given.source, OURS);
            match given.message {
                NeighborMessage::Arp(arp) => {
                    prop_assert_eq!(IpAddr::from(arp.sender_ip), message.address());
                    prop_assert_eq!(arp.sender_mac, OURS);
                }
                NeighborMessage::Advertisement(advertisement) => {
                    prop_assert_eq!(IpAddr::from(advertisement.target), message.address());
                    prop_assert_eq!(advertisement.target_link_layer, Some(OURS));
                }
                NeighborMessage::Solicitation(_) => prop_assert!(false, "an answer that asks"),
            }
            prop_assert_eq!(answer(&given, ASKER).is_err(), true);
        }
    }

    #[test]
    fn no_octets_make_it_panic(frame in proptest::collection::vec(any::<u8>(), 0..200), ipv6 in any::<bool>()) {
        exercise(&frame);
        let mut typed = frame;
        if typed.len() >= 14 {
            typed[12..14].copy_from_slice(if ipv6 { &[0x86, 0xdd] } else { &[0x08, 0x06] });
        }
        exercise(&typed);
    }

    #[test]
    fn no_damage_makes_it_panic(
        message in message(),
        options in proptest::collection::vec(any::<u8>(), 0..40),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = encode(OURS, ASKER, &message);
        frame.extend(options);
        for (at, octet) in damage {
            let at = at.index(frame.len());
            frame[at] = octet;
        }
        exercise(&frame);
        // With correct length and checksum the decoder reaches the options.
        if frame.len() > OPTION {
            frame[IPV6 + 5] = (frame.len() - ICMP) as u8;
            mend_checksum(&mut frame);
            exercise(&frame);
        }
        exercise(&frame[..cut.index(frame.len())]);
    }
}
