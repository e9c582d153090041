//! What an announcer was told: where it can speak, and for what.
use std::net::{IpAddr, Ipv4Addr};

use outrigger_sdk::{Event, Link};

/// Links, and the IPv4 addresses that are desired.
#[derive(Default)]
pub struct Segment {
    /// By index, in the order they came.
    pub links: Vec<Link>,
    /// In order.
    pub desired: Vec<Ipv4Addr>,
}

impl Segment {
    /// Takes the events in.
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
