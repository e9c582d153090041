//! Panics after ten events.
#![forbid(unsafe_code)]
use hostile::{Harm, Hostile};
use outrigger_sdk::{Effect, Event};

#[derive(Default)]
struct LateTrap {
    events: usize,
}

impl Harm for LateTrap {
    fn start(_config: &str) -> Self {
        Self::default()
    }

    fn strike(&mut self, events: Vec<Event>) -> Vec<Effect> {
        self.events += events.len();
        assert!(self.events <= 10, "hostile: traps after ten events");
        Vec::new()
    }
}

outrigger_sdk::announcer!(Hostile<LateTrap>);
