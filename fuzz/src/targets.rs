//! Fuzz targets that process untrusted octets. Each target must return from any input; it also asserts the properties that the
//! rest of the product relies on. Also included by the test that replays the committed corpus.
use std::net::Ipv4Addr;
use std::num::NonZeroU32;

use outrigger_bgp::bfd::{BfdMode, Numbers, Session, Settings};
use outrigger_sdk::wire::bfd::ControlPacket;
use outrigger_sdk::wire::bgp::{self, Action, Family, Message, Negotiated, Update};
use outrigger_sdk::{Datagram, Effect, OffloadWork};

#[path = "../../tests/vectors/bgp_host.rs"]
#[expect(dead_code, reason = "the oracle's test needs more of it")]
mod bgp_host;

use bgp_host::Host;

/// Fuzz target, which takes any octets.
pub type Target = fn(&[u8]);

/// Targets by the name of their folder in `fuzz/corpus`.
pub const TARGETS: [(&str, Target); 4] =
    [("open", open), ("update", update), ("bfd", bfd), ("session", session)];

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bgp::HEADER + body.len()).unwrap_or(u16::MAX);
    [&[0xff; 16], length.to_be_bytes().as_slice(), &[kind], body].concat()
}

/// Decodes the body of an OPEN, encodes it and decodes it again.
fn open(body: &[u8]) {
    let Ok(Message::Open(open)) = bgp::decode(&message(1, body), &Negotiated::default()) else {
        return;
    };
    assert!(!open.router_id.is_unspecified() && open.asn != 0 && !matches!(open.hold_time, 1 | 2));
    let again = bgp::decode(&open.encode(), &Negotiated::default());
    let agreed = Negotiated::new(&open, &open);
    assert_eq!(again, Ok(Message::Open(open)));
    assert!(!agreed.families.is_empty() && agreed.is_internal());
}

/// Reads an octet of negotiated options and then the body of an UPDATE: a message without faults is encoded and decoded again.
fn update(data: &[u8]) {
    let Some((flags, body)) = data.split_first() else { return };
    let negotiated = Negotiated {
        local_as: 64512,
        remote_as: if flags & 1 == 0 { 64513 } else { 64512 },
        families: [(2, Family::IPV4_UNICAST), (4, Family::IPV6_UNICAST)]
            .into_iter()
            .filter(|(flag, _)| flags & flag == 0)
            .map(|(_, family)| family)
            .collect(),
        four_octet_as: flags & 8 == 0,
        ipv6_next_hop: flags & 16 == 0,
        receive_limit: if flags & 32 == 0 { bgp::MAX_MESSAGE } else { bgp::MAX_EXTENDED_MESSAGE },
        ..Negotiated::default()
    };
    let update = match bgp::decode(&message(2, body), &negotiated) {
        Ok(Message::Update(update)) => *update,
        Ok(other) => panic!("an UPDATE is read as {other:?}"),
        Err(fault) => {
            assert_eq!(fault.action, Action::SessionReset);
            assert!(fault.notification.encode().len() <= usize::from(bgp::MAX_MESSAGE));
            return;
        }
    };
    let strongest = update.faults.iter().map(|fault| fault.action).max();
    assert!(strongest < Some(Action::SessionReset));
    assert!(strongest != Some(Action::TreatAsWithdraw) || update.announced.is_empty());
    if update.faults.is_empty() && negotiated.four_octet_as {
        write_again(&update, &negotiated);
    }
}

fn write_again(update: &Update, negotiated: &Negotiated) {
    for announced in &update.announced {
        let (next_hop, routes) = (announced.next_hop, &announced.prefixes);
        let Ok(packed) = bgp::announcements(&update.attributes, next_hop, routes, negotiated)
        else {
            continue;
        };
        for one in packed {
            let Ok(Message::Update(again)) = bgp::decode(&one.message, negotiated) else {
                panic!("what was written is not read: {update:?}");
            };
            assert_eq!(again.attributes, update.attributes);
            assert_eq!(again.announced[0].next_hop, next_hop);
            assert_eq!(again.announced[0].prefixes, one.prefixes);
        }
    }
}

/// Reads steps of one action octet and a packet of 24 octets: the packet arrives, the detection time expires, or an
/// administrator acts.
fn bfd(data: &[u8]) {
    let numbers = Numbers { transmit: 10, receive: 11, beacon: 12, expect: 13 };
    let mut effects = Vec::new();
    let discriminator = NonZeroU32::new(0x0101).expect("not zero");
    let peer = (Ipv4Addr::new(192, 0, 2, 2), 0).into();
    let settings = |multiplier: u8| Settings {
        peer,
        source: None,
        device: None,
        reach: BfdMode::SingleHop,
        transmit_us: 10_000 * u32::from(multiplier),
        receive_us: 3_300 * u32::from(multiplier),
        multiplier,
        passive: multiplier > 200,
    };
    let mut session = Session::open(settings(3), numbers, discriminator, &mut effects);
    for step in data.chunks(25) {
        let (what, packet) = (step[0], &step[1..]);
        match what & 7 {
            0 => drop(session.expired(&mut effects)),
            1 => drop(session.administer(what & 8 == 0, &mut effects)),
            2 => session.configure(settings(what), &mut effects),
            3 => session.ended(if what & 8 == 0 { 12 } else { 13 }, &mut effects),
            _ => {
                let datagram = Datagram {
                    socket: 11,
                    remote: peer,
                    local: peer.ip(),
                    link: 2,
                    hop_limit: 255,
                    data: packet.to_vec(),
                };
                let _ = session.received(&datagram, &mut effects);
            }
        }
    }
    for effect in effects {
        let packet = match &effect {
            Effect::SendDatagram(datagram) => &datagram.data,
            Effect::Offload(offload) => match &offload.work {
                OffloadWork::DatagramBeacon(beacon) => {
                    assert!(beacon.interval_us > 0);
                    &beacon.datagram.data
                }
                _ => continue,
            },
            _ => continue,
        };
        let packet = ControlPacket::decode(packet).expect("sends what may be received");
        assert!(!(packet.poll && packet.is_final), "RFC 5880 section 6.5");
    }
}

/// Runs a script of peer actions, octet by octet; the host around the plugin asserts that it answers in whole messages.
fn session(mut data: &[u8]) {
    let mut host = Host::new();
    host.connect();
    while let [step, rest @ ..] = data {
        data = rest;
        match step & 7 {
            0 => host.connect(),
            1 => host.hang_up(),
            2 => drop(host.pass(u64::from(*step) * 500_000)),
            3 => host.deliver(&OPEN),
            4 => host.deliver(&bgp::keepalive()),
            step => {
                let [length, rest @ ..] = data else { break };
                let (octets, rest) = rest.split_at(usize::from(*length).min(rest.len()));
                data = rest;
                match (step, octets) {
                    (5, [kind, body @ ..]) => host.deliver(&message(*kind, body)),
                    (6, body) => host.deliver(&message(2, body)),
                    (_, octets) => host.deliver(octets),
                }
            }
        }
    }
}

/// OPEN of the peer: AS 64513, hold time 90, both families, route refresh, 4-octet AS numbers.
const OPEN: [u8; 53] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0, 53, 1, 4, 0xfc, 0x01, 0, 90, 10, 77, 0, 1, 24, 2, 22, 1, 4, 0, 1, 0, 1, 1, 4, 0, 2, 0, 1, 2,
    0, 70, 0, 65, 4, 0, 0, 0xfc, 0x01,
];
