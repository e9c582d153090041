//! Sets ever new answers for an address that it was given, and timers on streams that are not there.
#![forbid(unsafe_code)]
use hostile::segment::Segment;
use hostile::{Harm, Hostile};
use outrigger_sdk::{Effect, Event, Offload, OffloadWork};

/// In one call.
const EACH: u32 = 200;

/// Far from the numbers of what it took over: what is in force goes on beside it.
const FIRST: u32 = 1_000_000;

struct Offloads {
    segment: Segment,
    last: u32,
}

impl Harm for Offloads {
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
        let (link, address) = (link.index, (*address).into());
        let work = |id: u32| match id % 2 {
            0 => OffloadWork::AnswerNeighbor { link, address },
            _ => OffloadWork::Keepalive { endpoint: id, data: vec![0xff; 64], interval_ms: 10 },
        };
        let numbers = self.last..self.last + EACH;
        self.last += EACH;
        numbers.map(|id| Effect::Offload(Offload { id, work: work(id) })).collect()
    }
}

outrigger_sdk::announcer!(Hostile<Offloads>);
