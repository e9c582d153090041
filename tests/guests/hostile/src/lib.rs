//! Announcer that misbehaves in the way that its example names. It is a real component of the world: it starts, receives every
//! event, and requests any effect it likes.
#![forbid(unsafe_code)]
pub mod segment;

use outrigger_sdk::{
    Announcer, Context, Effect, Event, FieldError, Origin, Reply, SavedState, StartError, Time,
    Wake,
};

/// Kind of misbehaviour.
pub trait Harm: Sized {
    /// Starts, with the Announcer's configuration.
    fn start(config: &str) -> Self;

    /// Receives the events and returns the requested effects.
    fn strike(&mut self, events: Vec<Event>) -> Vec<Effect>;
}

/// Hostile plugin.
pub struct Hostile<H>(H);

impl<H: Harm> Announcer for Hostile<H> {
    fn validate(_config: &str) -> Result<(), Vec<FieldError>> {
        Ok(())
    }

    fn start(context: Context, _origin: Origin) -> Result<Self, StartError> {
        Ok(Self(H::start(&context.config)))
    }

    fn handle(&mut self, _now: Time, events: Vec<Event>) -> Reply {
        // Returns soon, so that it need not wait for traffic to misbehave.
        let wake = Wake::After { ms: 10, reason: "again".to_owned() };
        Reply { effects: self.0.strike(events), wake }
    }

    fn snapshot(&self) -> SavedState {
        SavedState { format: "hostile/1".to_owned(), data: Vec::new() }
    }
}
