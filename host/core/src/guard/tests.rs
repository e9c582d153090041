//! Tests of the effects that the guard grants and refuses, with the reason for each refusal.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use outrigger_sdk::{
    AddressReport, AnnouncementState, Beacon, Duty, Effect, Frame, FrameWatch, Link, LinksChanged,
    Offload, OffloadWork, Report, Topic,
};
use outrigger_wire::{
    Arp, ArpOperation, MacAddr, NeighborAdvertisement, NeighborMessage, announcement, encode,
    solicited_node_group,
};
use proptest::prelude::*;

use super::{Granted, Guard, Reason};
use crate::desired::Desired;

const MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
const FOREIGN: MacAddr = MacAddr(2, 0, 0, 0, 0, 9);
const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const STANDBY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const STRANGE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 3);
const OURS6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

fn guard() -> Guard {
    let link = Link {
        index: 1,
        name: "eth0".into(),
        mac: MAC,
        mtu: 1500,
        up: true,
        arp: true,
        generation: 1,
        addresses: vec!["192.0.2.100/24".parse().unwrap()],
    };
    let mut guard = Guard::default();
    guard.link(&LinksChanged { reset: true, upsert: vec![link], ..Default::default() });
    let entries = [
        Desired::bare(OURS.into(), Duty::Announce),
        Desired::bare(STANDBY.into(), Duty::Standby("n2".into())),
        Desired::bare(OURS6.into(), Duty::TakeOver("n2".into())),
    ];
    guard.desire(&[], &entries);
    guard
}

fn send(data: Vec<u8>) -> Effect {
    Effect::SendFrame(Frame { link: 1, data })
}

fn arp(
    operation: ArpOperation,
    sender_mac: MacAddr,
    sender_ip: Ipv4Addr,
    target_ip: Ipv4Addr,
) -> Effect {
    let message = NeighborMessage::Arp(Arp {
        operation,
        sender_mac,
        sender_ip,
        target_mac: MacAddr::zero(),
        target_ip,
    });
    send(encode(MacAddr::broadcast(), MAC, &message))
}

fn advertisement(router: bool, source: Ipv6Addr, target: Ipv6Addr) -> Effect {
    let message = NeighborMessage::Advertisement(NeighborAdvertisement {
        source,
        destination: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1),
        target,
        router,
        solicited: false,
        overrides: true,
        target_link_layer: Some(MAC),
    });
    send(encode(
        outrigger_wire::multicast_mac(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)),
        MAC,
        &message,
    ))
}

fn offload(id: u32, work: OffloadWork) -> Effect {
    Effect::Offload(Offload { id, work })
}

fn answer(id: u32, link: u32, address: impl Into<IpAddr>) -> Effect {
    offload(id, OffloadWork::AnswerNeighbor { link, address: address.into() })
}

fn beacon(interval_us: u32, data: Vec<u8>) -> Effect {
    let frame = Frame { link: 1, data };
    offload(1, OffloadWork::Beacon(Beacon { frame, interval_us, jitter_percent: 10, count: 5 }))
}

fn watch(link: u32, address: Ipv4Addr) -> Effect {
    Effect::WatchFrames(FrameWatch { link, topics: vec![Topic::Arp(address)] })
}

fn report(address: Ipv4Addr) -> Effect {
    Effect::Report(Report::Address(AddressReport {
        address: address.into(),
        state: AnnouncementState::Announced,
        via: vec!["eth0".into()],
        reason: String::new(),
        message: String::new(),
    }))
}

#[test]
fn what_the_grant_covers_passes() {
    use ArpOperation::{Reply, Request};
    for effect in [
        send(announcement(OURS.into(), MAC)),
        send(announcement(OURS6.into(), MAC)),
        arp(Reply, MAC, OURS, STRANGE),
        arp(Request, MAC, Ipv4Addr::UNSPECIFIED, STANDBY),
        answer(7, 1, OURS),
        answer(7, 1, OURS6),
        beacon(1_100_000, announcement(OURS.into(), MAC)),
        watch(1, STANDBY),
        Effect::JoinGroup { link: 1, group: solicited_node_group(OURS6) },
        report(OURS),
        Effect::Drained,
    ] {
        let said = format!("{effect:?}");
        assert!(guard().check(0, effect).is_ok(), "{said}");
    }
}

#[test]
fn everything_else_is_refused_with_its_reason() {
    use ArpOperation::{Reply, Request};
    for (effect, reason) in [
        (send(announcement(STRANGE.into(), MAC)), Reason::AddressNotDesired),
        (send(announcement(STANDBY.into(), MAC)), Reason::NotThisNodesDuty),
        (send(announcement(OURS.into(), FOREIGN)), Reason::ForeignMac),
        (arp(Reply, FOREIGN, OURS, STRANGE), Reason::ForeignMac),
        (arp(Reply, MAC, STRANGE, OURS), Reason::AddressNotDesired),
        (arp(Reply, MAC, Ipv4Addr::UNSPECIFIED, OURS), Reason::NotAnAnnouncement),
        (arp(Request, MAC, OURS, STRANGE), Reason::NotAnAnnouncement),
        (arp(Request, MAC, Ipv4Addr::UNSPECIFIED, STRANGE), Reason::AddressNotDesired),
        (advertisement(true, OURS6, OURS6), Reason::NotAnAnnouncement),
        (advertisement(false, "2001:db8::7".parse().unwrap(), OURS6), Reason::NotAnAnnouncement),
        (send(b"not a frame".to_vec()), Reason::NotArpOrNd),
        (
            Effect::SendFrame(Frame { link: 2, data: announcement(OURS.into(), MAC) }),
            Reason::LinkNotGranted,
        ),
        (answer(7, 1, STRANGE), Reason::AddressNotDesired),
        (answer(7, 1, STANDBY), Reason::NotThisNodesDuty),
        (answer(7, 2, OURS), Reason::LinkNotGranted),
        (answer(0x8000_0000, 1, OURS), Reason::NumberReserved),
        (beacon(99_999, announcement(OURS.into(), MAC)), Reason::BeaconTooFast),
        (beacon(1_100_000, announcement(STRANGE.into(), MAC)), Reason::AddressNotDesired),
        (watch(1, STRANGE), Reason::AddressNotDesired),
        (watch(2, OURS), Reason::LinkNotGranted),
        (Effect::JoinGroup { link: 1, group: "ff02::5".parse().unwrap() }, Reason::GroupNotGranted),
        (report(STRANGE), Reason::AddressNotDesired),
        (
            Effect::Unsupported { effect: "connect".into(), subject: "1".into() },
            Reason::Unsupported,
        ),
    ] {
        let (said, mut guard) = (format!("{effect:?}"), guard());
        assert_eq!(guard.check(0, effect).map_err(|refusal| refusal.reason), Err(reason), "{said}");
        assert_eq!(guard.denied().get(&reason), Some(&1), "{said}");
    }
}

#[test]
fn what_is_no_longer_desired_is_no_longer_granted() {
    let mut guard = guard();
    guard.desire(&[OURS.into()], &[]);
    let refusal = guard.check(0, answer(1, 1, OURS)).unwrap_err();
    assert_eq!(refusal.to_string(), "offload about \"192.0.2.1\" was denied: address-not-desired");
}

#[test]
fn a_storm_is_cut_off_and_the_budget_comes_back() {
    let mut guard = guard();
    let storm = || send(announcement(OURS.into(), MAC));
    let passed = (0..5_000).filter(|_| guard.check(0, storm()).is_ok()).count();
    assert!((1_000..1_100).contains(&passed), "{passed} of 5000 passed");
    assert_eq!(guard.check(0, storm()).unwrap_err().reason, Reason::ChurnLimit);
    assert!(guard.check(1_000_000, storm()).is_ok(), "a second later some may pass again");
}

proptest! {
    /// Flips octets of a granted announcement: a frame that still passes must speak for a desired address with our MAC.
    #[test]
    fn no_mutation_of_a_frame_gets_past_the_guard(
        v6 in any::<bool>(),
        flips in proptest::collection::vec((0usize..90, any::<u8>()), 1..4),
    ) {
        let address: IpAddr = if v6 { OURS6.into() } else { OURS.into() };
        let mut data = announcement(address, MAC);
        for (at, octet) in flips {
            let at = at % data.len();
            data[at] = octet;
        }
        let Ok(granted) = guard().check(0, send(data)) else { return Ok(()) };
        let [Granted::Send(frame)] = granted.as_slice() else { panic!("{granted:?}") };
        let decoded = outrigger_wire::decode(&frame.data).unwrap();
        prop_assert_eq!(decoded.source, MAC);
        // A reply claims its sender's address, whatever its target.
        let said = match &decoded.message {
            NeighborMessage::Arp(arp) if arp.operation == ArpOperation::Reply => arp.sender_ip.into(),
            message => message.address(),
        };
        let probe = matches!(&decoded.message, NeighborMessage::Arp(arp) if arp.sender_ip.is_unspecified());
        prop_assert!(said == address || (probe && said == IpAddr::from(STANDBY)), "{said}");
    }
}

#[test]
fn who_comes_after_a_storm_pays_for_none_of_it() {
    let mut guard = guard();
    let message = announcement(OURS.into(), MAC);
    let beacon = |id| {
        let frame = Frame { link: 1, data: message.clone() };
        let beacon = Beacon { frame, interval_us: 100_000, jitter_percent: 0, count: 0 };
        Effect::Offload(Offload { id, work: OffloadWork::Beacon(beacon) })
    };
    for id in 100..10_000 {
        let _ = guard.check(0, beacon(id));
    }
    assert_eq!(guard.check(0, beacon(7)).unwrap_err().reason, Reason::TooManyOffloads);
    let work = OffloadWork::AnswerNeighbor { link: 1, address: OURS.into() };
    let answer = || Effect::Offload(Offload { id: 1, work: work.clone() });
    guard.check(0, answer()).expect("what was refused cost nothing");
    while guard.check(0, send(message.clone())).is_ok() {}
    guard.begin(0);
    guard.check(0, answer()).expect("another instance begins anew");
}
