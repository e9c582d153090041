//! The shipped speaker with one fault per example. It starts as the real one does, so that there is a session to harm.
#![forbid(unsafe_code)]
use outrigger_bgp::Speaker;
use outrigger_sdk::{
    Announcer, Context, Effect, Event, FieldError, Origin, Reply, SavedState, StartError, Time,
};

/// Fault of the plugin.
pub trait Fault: Default {
    /// Receives a call before the speaker does, `age_us` microseconds after the first one. Returns additional effects.
    fn strike(&mut self, age_us: u64, events: &[Event]) -> Vec<Effect>;

    /// Changes the speaker's effects.
    fn rewrite(&mut self, _effects: &mut [Effect]) {}
}

/// Plugin with a fault.
pub struct Guest<F> {
    speaker: Speaker,
    fault: F,
    /// Time of its first call; 0 if there was none.
    began_us: u64,
}

impl<F: Fault> Announcer for Guest<F> {
    fn validate(config: &str) -> Result<(), Vec<FieldError>> {
        Speaker::validate(config)
    }

    fn start(context: Context, origin: Origin) -> Result<Self, StartError> {
        // The time is stored before the real state, so that a restart does not reset it. Only state of this kind is restored.
        let (began_us, origin) = match origin {
            Origin::Restored(mut saved) if saved.data.len() >= 8 => {
                let rest = saved.data.split_off(8);
                let began = saved.data.try_into().expect("eight octets were left");
                (u64::from_be_bytes(began), Origin::Restored(SavedState { data: rest, ..saved }))
            }
            origin => (0, origin),
        };
        Ok(Self { speaker: Speaker::start(context, origin)?, fault: F::default(), began_us })
    }

    fn handle(&mut self, now: Time, events: Vec<Event>) -> Reply {
        if self.began_us == 0 {
            self.began_us = now.monotonic_us;
        }
        let said = self.fault.strike(now.monotonic_us.saturating_sub(self.began_us), &events);
        let mut reply = self.speaker.handle(now, events);
        self.fault.rewrite(&mut reply.effects);
        reply.effects.extend(said);
        reply
    }

    fn snapshot(&self) -> SavedState {
        let saved = self.speaker.snapshot();
        let data = [&self.began_us.to_be_bytes()[..], &saved.data].concat();
        SavedState { data, ..saved }
    }
}
