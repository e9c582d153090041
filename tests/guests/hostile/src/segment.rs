//! State from an announcer's events: its links and its assigned addresses.
use std::net::{IpAddr, Ipv4Addr};

use outrigger_sdk::{Effect, Event, Link, Offload, OffloadWork};

/// First offload number, far from those that a guest took over: active offloads continue beside it.
const FIRST: u32 = 1_000_000;

/// Links, and the desired IPv4 addresses.
#[derive(Default)]
pub struct Segment {
    /// Links by index, in the order they came.
    pub links: Vec<Link>,
    /// Desired addresses in order.
    pub desired: Vec<Ipv4Addr>,
    used: u32,
}

impl Segment {
    /// Returns offloads under this number of new numbers, for the first address on the first link; none before both are known.
    pub fn offloads(
        &mut self,
        count: u32,
        work: impl Fn(u32, &Link, Ipv4Addr) -> OffloadWork,
    ) -> Vec<Effect> {
        let (Some(link), Some(address)) = (self.links.first(), self.desired.first()) else {
            return Vec::new();
        };
        let numbers = FIRST + self.used..FIRST + self.used + count;
        self.used += count;
        numbers.map(|id| Effect::Offload(Offload { id, work: work(id, link, *address) })).collect()
    }

    /// Applies the events.
    pub fn hear(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::LinksChanged(links) => {
                    self.links.retain(|old| {
                        !links.remove.contains(&old.index)
                            && links.upsert.iter().all(|new| new.index != old.index)
                    });
                    self.links.extend(links.upsert);
                }
                Event::DesiredChanged(desired) => {
                    let new = desired.upsert.iter().map(|entry| entry.address);
                    let gone = |old: &Ipv4Addr| desired.remove.contains(&IpAddr::V4(*old));
                    self.desired.retain(|old| !gone(old));
                    self.desired.extend(new.filter_map(|address| match address {
                        IpAddr::V4(address) => Some(address),
                        IpAddr::V6(_) => None,
                    }));
                    self.desired.sort_unstable();
                    self.desired.dedup();
                }
                _ => {}
            }
        }
    }
}
