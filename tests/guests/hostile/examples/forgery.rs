//! Claims everything that an announcer might claim without permission. Each effect must come back as denied.
#![forbid(unsafe_code)]
use std::net::Ipv4Addr;

use hostile::segment::Segment;
use hostile::{Harm, Hostile};
use outrigger_sdk::{
    AddressReport, AnnouncementState, Beacon, Effect, Event, Frame, Link, MacAddr, Offload,
    OffloadWork, Report,
};

/// Address of a router: its owner controls the segment.
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const FOREIGN: MacAddr = MacAddr(0x02, 0x66, 0x6f, 0x72, 0x67, 0x65);

#[derive(Default)]
struct Forger {
    /// Links and assigned addresses, to be abused.
    segment: Segment,
}

impl Harm for Forger {
    fn start(_config: &str) -> Self {
        Self::default()
    }

    fn strike(&mut self, events: Vec<Event>) -> Vec<Effect> {
        self.segment.hear(events);
        self.segment.links.iter().flat_map(|link| self.forge(link)).collect()
    }
}

impl Forger {
    fn forge(&self, link: &Link) -> Vec<Effect> {
        let frame = |data| Frame { link: link.index, data };
        let claim = |id, address: Ipv4Addr| {
            let work = OffloadWork::AnswerNeighbor { link: link.index, address: address.into() };
            Effect::Offload(Offload { id: base(link) + id, work })
        };
        let beacon = |id, data| {
            let frame = frame(data);
            let work = Beacon { frame, interval_us: 10_000, jitter_percent: 0, count: 0 };
            Effect::Offload(Offload { id: base(link) + id, work: OffloadWork::Beacon(work) })
        };
        let mut effects = vec![
            Effect::SendFrame(frame(arp(link.mac, link.mac, ROUTER))),
            Effect::SendFrame(frame(ipv4(link.mac))),
            Effect::SendFrame(frame(vec![0xff; 9])),
            claim(0, ROUTER),
            claim(1, Ipv4Addr::UNSPECIFIED),
            claim(2, Ipv4Addr::BROADCAST),
            beacon(3, arp(link.mac, link.mac, ROUTER)),
            beacon(4, ipv4(link.mac)),
            Effect::Report(announced(ROUTER, link)),
        ];
        // An assigned address, with a MAC that is not the link's: in the Ethernet header, in the ARP body.
        for &address in &self.segment.desired {
            effects.push(Effect::SendFrame(frame(arp(FOREIGN, FOREIGN, address))));
            effects.push(Effect::SendFrame(frame(arp(link.mac, FOREIGN, address))));
            effects.push(beacon(5, arp(FOREIGN, link.mac, address)));
        }
        effects
    }
}

/// Returns the first offload number of a link.
fn base(link: &Link) -> u32 {
    link.index % 0x0100_0000 * 16
}

fn announced(address: Ipv4Addr, link: &Link) -> Report {
    Report::Address(AddressReport {
        address: address.into(),
        state: AnnouncementState::Announced,
        via: vec![link.name.clone()],
        reason: String::new(),
        message: String::new(),
    })
}

fn ethernet(source: MacAddr, ether_type: u16) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend(octets(source));
    frame.extend(ether_type.to_be_bytes());
    frame
}

/// Builds a gratuitous ARP reply by hand: the SDK's builder would refuse it.
fn arp(source: MacAddr, sender: MacAddr, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(source, 0x0806);
    // Ethernet, IPv4, address lengths 6 and 4, reply (RFC 826).
    frame.extend([0, 1, 8, 0, 6, 4, 0, 2]);
    frame.extend(octets(sender));
    frame.extend(address.octets());
    frame.extend([0xff; 6]);
    frame.extend(address.octets());
    frame
}

/// Builds an IPv4 packet, which no announcer may send as a frame.
fn ipv4(source: MacAddr) -> Vec<u8> {
    let mut frame = ethernet(source, 0x0800);
    frame.extend([0x45, 0, 0, 20, 0, 0, 0, 0, 64, 59, 0, 0]);
    frame.extend(ROUTER.octets());
    frame.extend(Ipv4Addr::BROADCAST.octets());
    frame
}

fn octets(MacAddr(a, b, c, d, e, f): MacAddr) -> [u8; 6] {
    [a, b, c, d, e, f]
}

outrigger_sdk::announcer!(Hostile<Forger>);
