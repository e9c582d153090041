//! Sets new answers for an assigned address without end, and timers on streams that do not exist.
#![forbid(unsafe_code)]
use hostile::segment::Segment;
use hostile::{Harm, Hostile};
use outrigger_sdk::{Effect, Event, OffloadWork};

/// Number of offloads per call.
const EACH: u32 = 200;

struct Offloads(Segment);

impl Harm for Offloads {
    fn start(_config: &str) -> Self {
        Self(Segment::default())
    }

    fn strike(&mut self, events: Vec<Event>) -> Vec<Effect> {
        self.0.hear(events);
        self.0.offloads(EACH, |id, link, address| match id % 2 {
            0 => OffloadWork::AnswerNeighbor { link: link.index, address: address.into() },
            _ => OffloadWork::Keepalive { endpoint: id, data: vec![0xff; 64], interval_ms: 10 },
        })
    }
}

outrigger_sdk::announcer!(Hostile<Offloads>);
