//! Panics in the third call with events.
#![forbid(unsafe_code)]
use hostile::{Harm, Hostile};
use outrigger_sdk::{Effect, Event};

#[derive(Default)]
struct Trap {
    /// Number of calls with events.
    calls: u32,
}

impl Harm for Trap {
    fn start(_config: &str) -> Self {
        Self::default()
    }

    fn strike(&mut self, events: Vec<Event>) -> Vec<Effect> {
        let brings = |event: &Event| {
            matches!(event, Event::DesiredChanged(_) | Event::Frame(_) | Event::Wake(_))
        };
        self.calls += u32::from(events.iter().any(brings));
        assert!(self.calls < 3, "hostile: traps in handle");
        Vec::new()
    }
}

outrigger_sdk::announcer!(Hostile<Trap>);
