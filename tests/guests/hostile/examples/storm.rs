//! Sets new beacons for an assigned address in each call, and never ends one.
#![forbid(unsafe_code)]
use hostile::segment::Segment;
use hostile::{Harm, Hostile};
use outrigger_sdk::wire::announcement;
use outrigger_sdk::{Beacon, Effect, Event, Frame, OffloadWork};

/// Number of beacons per call.
const EACH: u32 = 50;

struct Storm(Segment);

impl Harm for Storm {
    fn start(_config: &str) -> Self {
        Self(Segment::default())
    }

    fn strike(&mut self, events: Vec<Event>) -> Vec<Effect> {
        self.0.hear(events);
        self.0.offloads(EACH, |_, link, address| {
            let frame = Frame { link: link.index, data: announcement(address.into(), link.mac) };
            OffloadWork::Beacon(Beacon { frame, interval_us: 100_000, jitter_percent: 0, count: 0 })
        })
    }
}

outrigger_sdk::announcer!(Hostile<Storm>);
