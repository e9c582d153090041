//! A shipped plugin with one more call between it and the host: the same behaviour, other bytes.
#![forbid(unsafe_code)]
use outrigger_sdk::{
    Announcer, Context, Event, FieldError, Origin, Reply, SavedState, StartError, Time,
};

/// Plugin wrapper.
pub struct Another<P>(P);

impl<P: Announcer> Announcer for Another<P> {
    fn validate(config: &str) -> Result<(), Vec<FieldError>> {
        P::validate(config)
    }

    fn start(context: Context, origin: Origin) -> Result<Self, StartError> {
        P::start(context, origin).map(Self)
    }

    fn handle(&mut self, now: Time, events: Vec<Event>) -> Reply {
        self.0.handle(now, events)
    }

    fn snapshot(&self) -> SavedState {
        self.0.snapshot()
    }
}
