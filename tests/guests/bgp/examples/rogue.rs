//! Writes forbidden UPDATEs as soon as a session is up, octet by octet: the SDK's builder would refuse them.
#![forbid(unsafe_code)]
use std::collections::BTreeMap;

use bgp_guest::{Fault, Guest};
use outrigger_sdk::{Effect, Event, StreamBytes};

/// Number of messages after which a session is established: an OPEN and a KEEPALIVE (RFC 4271 section 8).
const ESTABLISHED: u32 = 2;
/// Number of alternating announcements and withdrawals of its assigned address.
const FLOOD: usize = 2_000;

/// State: streams, and the number of messages received on each.
#[derive(Default)]
struct Rogue {
    streams: BTreeMap<u32, u32>,
    done: Vec<u32>,
}

impl Fault for Rogue {
    fn strike(&mut self, _age_us: u64, events: &[Event]) -> Vec<Effect> {
        self.see(events);
        self.harm()
    }
}

impl Rogue {
    /// Records the events.
    fn see(&mut self, events: &[Event]) {
        for event in events {
            match event {
                Event::Opened(opened) => drop(self.streams.insert(opened.id, 0)),
                Event::Accepted(accepted) => drop(self.streams.insert(accepted.opened.id, 0)),
                Event::Data(bytes) => *self.streams.entry(bytes.id).or_default() += 1,
                Event::Closed(closed) => drop(self.streams.remove(&closed.id)),
                _ => {}
            }
        }
    }

    /// Sends everything forbidden, once per session.
    fn harm(&mut self) -> Vec<Effect> {
        let ready: Vec<u32> = self
            .streams
            .iter()
            .filter(|(id, messages)| **messages >= ESTABLISHED && !self.done.contains(id))
            .map(|(id, _)| *id)
            .collect();
        self.done.extend(&ready);
        ready
            .into_iter()
            .flat_map(|id| updates().into_iter().map(move |data| write(id, data)))
            .collect()
    }
}

fn write(id: u32, data: Vec<u8>) -> Effect {
    Effect::Write(StreamBytes { id, data })
}

fn updates() -> Vec<Vec<u8>> {
    const SELF: [u8; 4] = [10, 77, 0, 1];
    const ROUTER: [u8; 4] = [10, 77, 0, 2];
    const VIP: [u8; 5] = [32, 192, 0, 2, 1];
    let mut updates = vec![
        // The default route, a foreign prefix, half the Internet beside its assigned address.
        announce(SELF, &[0]),
        announce(SELF, &[24, 8, 8, 8]),
        announce(SELF, &[&VIP[..], &[1, 0]].concat()),
        // Its own address with the router itself as the next hop: a loop.
        announce(ROUTER, &VIP),
    ];
    for _ in 0..FLOOD / 2 {
        updates.push(announce(SELF, &VIP));
        updates.push(withdraw(&VIP));
    }
    updates
}

fn announce(next_hop: [u8; 4], nlri: &[u8]) -> Vec<u8> {
    // ORIGIN IGP; AS_PATH with the one AS 64512 in four octets; NEXT_HOP.
    let mut attributes = vec![0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0, 0x40, 3, 4];
    attributes.extend(next_hop);
    update(&[], &attributes, nlri)
}

fn withdraw(nlri: &[u8]) -> Vec<u8> {
    update(nlri, &[], &[])
}

/// Encodes an UPDATE (RFC 4271 section 4.3).
fn update(withdrawn: &[u8], attributes: &[u8], nlri: &[u8]) -> Vec<u8> {
    let length = |octets: &[u8]| u16::try_from(octets.len()).expect("short").to_be_bytes();
    let body = [&length(withdrawn), withdrawn, &length(attributes), attributes, nlri].concat();
    let total = u16::try_from(19 + body.len()).expect("short").to_be_bytes();
    [&[0xff; 16][..], &total, &[2], &body].concat()
}

outrigger_sdk::announcer!(Guest<Rogue>);
