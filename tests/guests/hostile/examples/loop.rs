//! Never answers the first call.
#![forbid(unsafe_code)]
use std::hint::black_box;

use hostile::{Harm, Hostile};
use outrigger_sdk::{Effect, Event};

struct Loop;

impl Harm for Loop {
    fn start(_config: &str) -> Self {
        Self
    }

    fn strike(&mut self, _events: Vec<Event>) -> Vec<Effect> {
        let mut turns = 0_u64;
        while black_box(turns) < u64::MAX {
            turns += 1;
        }
        Vec::new()
    }
}

outrigger_sdk::announcer!(Hostile<Loop>);
