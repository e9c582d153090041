//! Sets new beacons for an address that it was given in each call, and never ends one.
#![forbid(unsafe_code)]
use hostile::segment::Segment;
use hostile::{Harm, Hostile};
use outrigger_sdk::wire::announcement;
use outrigger_sdk::{Beacon, Effect, Event, Frame, Offload, OffloadWork};

/// In one call.
const EACH: u32 = 50;

/// Far from the numbers of what it took over: what is in force goes on beside it.
const FIRST: u32 = 1_000_000;

struct Storm {
    segment: Segment,
    last: u32,
}

impl Harm for Storm {
    fn start(_config: &str) -> Self {
        Self { segment: Segment::default(), last: FIRST }
    }

    fn strike(&mut self, events: Vec<Event>) -> Vec<Effect> {
        self.segment.hear(events);
        let (Some(link), Some(address)) =
            (self.segment.links.first(), self.segment.desired.first())
        else {
            return Vec::new();
        };
        let frame = Frame { link: link.index, data: announcement((*address).into(), link.mac) };
        let beacon = Beacon { frame, interval_us: 100_000, jitter_percent: 0, count: 0 };
        let numbers = self.last..self.last + EACH;
        self.last += EACH;
        let work = || OffloadWork::Beacon(beacon.clone());
        numbers.map(|id| Effect::Offload(Offload { id, work: work() })).collect()
    }
}

outrigger_sdk::announcer!(Hostile<Storm>);
