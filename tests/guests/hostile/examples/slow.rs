//! Uses nearly all the time of a call, in every call, and requests the next one at once.
#![forbid(unsafe_code)]
use std::hint::black_box;

use outrigger_sdk::{
    Announcer, Context, Event, FieldError, Origin, Reply, SavedState, StartError, Time, Wake,
};

/// Time after which it stops working: a call has 50 ms, and a pause of the machine must not exceed it.
const NEARLY_ALL_US: u64 = 35_000;

/// Its only clock is the time of its calls: it works a little more each time until they are as far apart as allowed.
struct Slow {
    turns: u64,
    last_us: u64,
}

impl Announcer for Slow {
    fn validate(_config: &str) -> Result<(), Vec<FieldError>> {
        Ok(())
    }

    fn start(_context: Context, _origin: Origin) -> Result<Self, StartError> {
        Ok(Self { turns: 100_000, last_us: 0 })
    }

    fn handle(&mut self, now: Time, _events: Vec<Event>) -> Reply {
        let apart_us = now.monotonic_us.saturating_sub(self.last_us);
        self.last_us = now.monotonic_us;
        if apart_us < NEARLY_ALL_US {
            self.turns += self.turns / 10;
        }
        let worked = (0..self.turns).fold(0_u64, |sum, turn| black_box(sum ^ turn));
        Reply { effects: Vec::new(), wake: Wake::After { ms: 0, reason: worked.to_string() } }
    }

    fn snapshot(&self) -> SavedState {
        SavedState { format: "hostile/1".to_owned(), data: Vec::new() }
    }
}

outrigger_sdk::announcer!(Slow);
