//! Panics in its start.
#![forbid(unsafe_code)]
use hostile::{Harm, Hostile};
use outrigger_sdk::{Effect, Event};

struct TrapInStart;

impl Harm for TrapInStart {
    fn start(_config: &str) -> Self {
        panic!("hostile: traps in start");
    }

    fn strike(&mut self, _events: Vec<Event>) -> Vec<Effect> {
        Vec::new()
    }
}

outrigger_sdk::announcer!(Hostile<TrapInStart>);
