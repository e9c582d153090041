//! Withdraws every active offload.
#![forbid(unsafe_code)]
use hostile::{Harm, Hostile};
use outrigger_sdk::{Effect, Event};

struct Withdraw;

impl Harm for Withdraw {
    fn start(_config: &str) -> Self {
        Self
    }

    fn strike(&mut self, events: Vec<Event>) -> Vec<Effect> {
        let in_force = events.into_iter().filter_map(|event| match event {
            Event::Resumed(resumed) => Some(resumed.offloads),
            _ => None,
        });
        in_force.flatten().map(Effect::Close).collect()
    }
}

outrigger_sdk::announcer!(Hostile<Withdraw>);
