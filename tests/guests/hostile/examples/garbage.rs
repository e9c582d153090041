//! Answers with a hundred thousand meaningless effects.
#![forbid(unsafe_code)]
use hostile::{Harm, Hostile};
use outrigger_sdk::{Effect, Event};

struct Garbage;

impl Harm for Garbage {
    fn start(_config: &str) -> Self {
        Self
    }

    fn strike(&mut self, _events: Vec<Event>) -> Vec<Effect> {
        (0..100_000).map(Effect::Close).collect()
    }
}

outrigger_sdk::announcer!(Hostile<Garbage>);
