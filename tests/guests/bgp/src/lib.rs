//! The speaker that ships, with a fault of its own, in the way that its feature names. It begins as the real one does,
//! so that there is a session for it to harm.
#![forbid(unsafe_code)]
use outrigger_bgp::Speaker;
use outrigger_sdk::{
    Announcer, Context, Event, FieldError, Origin, Reply, SavedState, StartError, Time,
};

mod rogue;

use rogue::Rogue;

/// When it begins to trap, after its first call.
const FAULTY_FROM_US: u64 = 5_000_000;
/// When it ends.
const FAULTY_TO_US: u64 = 65_000_000;

/// The plugin.
pub struct Guest {
    speaker: Speaker,
    rogue: Rogue,
    /// When its first call was; 0 = there was none.
    began_us: u64,
}

impl Announcer for Guest {
    fn validate(config: &str) -> Result<(), Vec<FieldError>> {
        Speaker::validate(config)
    }

    fn start(context: Context, origin: Origin) -> Result<Self, StartError> {
        // The moment goes before the real one's state, so that a restart does not begin anew. Only its own kind is restored.
        let (began_us, origin) = match origin {
            Origin::Restored(mut saved) if saved.data.len() >= 8 => {
                let rest = saved.data.split_off(8);
                let began = saved.data.try_into().expect("eight octets were left");
                (u64::from_be_bytes(began), Origin::Restored(SavedState { data: rest, ..saved }))
            }
            origin => (0, origin),
        };
        Ok(Self { speaker: Speaker::start(context, origin)?, rogue: Rogue::default(), began_us })
    }

    fn handle(&mut self, now: Time, events: Vec<Event>) -> Reply {
        if self.began_us == 0 {
            self.began_us = now.monotonic_us;
        }
        let age = now.monotonic_us.saturating_sub(self.began_us);
        if cfg!(feature = "faulty") && (FAULTY_FROM_US..FAULTY_TO_US).contains(&age) {
            panic!("faulty: traps {age} us after its first call");
        }
        self.rogue.see(&events);
        let mut reply = self.speaker.handle(now, events);
        if cfg!(feature = "rogue") {
            reply.effects.extend(self.rogue.harm());
        }
        reply
    }

    fn snapshot(&self) -> SavedState {
        let saved = self.speaker.snapshot();
        let data = [&self.began_us.to_be_bytes()[..], &saved.data].concat();
        SavedState { data, ..saved }
    }
}

outrigger_sdk::announcer!(Guest);
