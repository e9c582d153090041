//! Allocates memory until there is none.
#![forbid(unsafe_code)]
use std::hint::black_box;

use hostile::{Harm, Hostile};
use outrigger_sdk::{Effect, Event};

struct Memory;

impl Harm for Memory {
    fn start(_config: &str) -> Self {
        Self
    }

    fn strike(&mut self, _events: Vec<Event>) -> Vec<Effect> {
        // Not touched, so that memory runs out before time does.
        let mut taken = Vec::new();
        loop {
            taken.push(black_box(Vec::<u8>::with_capacity(1 << 20)));
        }
    }
}

outrigger_sdk::announcer!(Hostile<Memory>);
