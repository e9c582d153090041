//! An announcer that misbehaves, in the way that its example names. A real component of the world: it starts, it is
//! told everything, and it asks for what it likes.
#![forbid(unsafe_code)]
pub mod segment;

use outrigger_sdk::{
    Announcer, Context, Effect, Event, FieldError, Origin, Reply, SavedState, StartError, Time,
    Wake,
};

/// How it misbehaves.
pub trait Harm: Sized {
    /// Starts, with the Announcer's configuration.
    fn start(config: &str) -> Self;

    /// Takes what happened and returns what it asks for.
    fn strike(&mut self, events: Vec<Event>) -> Vec<Effect>;
}

/// The plugin.
pub struct Hostile<H>(H);

impl<H: Harm> Announcer for Hostile<H> {
    fn validate(_config: &str) -> Result<(), Vec<FieldError>> {
        Ok(())
    }

    fn start(context: Context, _origin: Origin) -> Result<Self, StartError> {
        Ok(Self(H::start(&context.config)))
    }

    fn handle(&mut self, _now: Time, events: Vec<Event>) -> Reply {
        // Comes back soon, so that it need not wait for traffic to misbehave.
        let wake = Wake::After { ms: 10, reason: "again".to_owned() };
        Reply { effects: self.0.strike(events), wake }
    }

    fn snapshot(&self) -> SavedState {
        SavedState { format: "hostile/1".to_owned(), data: Vec::new() }
    }
}
