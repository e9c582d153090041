//! An announcer that misbehaves, in the way that its feature names. A real component of the world: it starts, it is
//! told everything, and it asks for what it likes.
#![forbid(unsafe_code)]
use std::hint::black_box;

use outrigger_sdk::{
    Announcer, Context, Effect, Event, FieldError, Origin, Reply, SavedState, StartError, Time,
    Wake,
};

mod forgery;
mod routes;

use forgery::Forger;
use routes::Speaker;

/// The plugin.
#[derive(Default)]
pub struct Hostile {
    forger: Forger,
    speaker: Speaker,
    /// Calls that brought something.
    calls: u32,
    /// Events of any kind.
    events: u32,
}

impl Announcer for Hostile {
    fn validate(_config: &str) -> Result<(), Vec<FieldError>> {
        Ok(())
    }

    fn start(context: Context, _origin: Origin) -> Result<Self, StartError> {
        if cfg!(feature = "trap-in-start") {
            panic!("hostile: traps in start");
        }
        Ok(Self { speaker: Speaker::new(&context.config), ..Self::default() })
    }

    fn handle(&mut self, _now: Time, events: Vec<Event>) -> Reply {
        let brings = |event: &Event| {
            matches!(event, Event::DesiredChanged(_) | Event::Frame(_) | Event::Wake(_))
        };
        self.calls += u32::from(events.iter().any(brings));
        if cfg!(feature = "trap") && self.calls >= 3 {
            panic!("hostile: traps in handle");
        }
        self.events += u32::try_from(events.len()).unwrap_or(u32::MAX);
        if cfg!(feature = "late-trap") && self.events > 10 {
            panic!("hostile: traps after ten events");
        }
        if cfg!(feature = "loop") {
            spin();
        }
        if cfg!(feature = "memory") {
            devour();
        }
        let effects = if cfg!(feature = "garbage") {
            (0..100_000).map(Effect::Close).collect()
        } else if cfg!(feature = "withdraw") {
            let in_force = events.into_iter().filter_map(|event| match event {
                Event::Resumed(resumed) => Some(resumed.offloads),
                _ => None,
            });
            in_force.flatten().map(Effect::Close).collect()
        } else if cfg!(feature = "forgery") {
            self.forger.handle(events)
        } else if cfg!(feature = "routes") {
            self.speaker.handle(events)
        } else {
            Vec::new()
        };
        // Comes back soon, so that it need not wait for traffic to misbehave.
        Reply { effects, wake: Wake::After { ms: 10, reason: "again".to_owned() } }
    }

    fn snapshot(&self) -> SavedState {
        SavedState { format: "hostile/1".to_owned(), data: Vec::new() }
    }
}

fn spin() {
    let mut turns = 0_u64;
    while black_box(turns) < u64::MAX {
        turns += 1;
    }
}

fn devour() {
    // Not touched, so that it is memory and not time that runs out first.
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(Vec::<u8>::with_capacity(1 << 20)));
    }
}

#[cfg(not(feature = "trap-in-allocate"))]
outrigger_sdk::announcer!(Hostile);

#[cfg(feature = "trap-in-allocate")]
mod policy {
    use outrigger_sdk::{Outcome, Policy, Pool, Request};

    /// Decides nothing.
    struct Hostile;

    impl Policy for Hostile {
        fn allocate(_request: &Request, _pool: &impl Pool) -> Outcome {
            panic!("hostile: traps in allocate");
        }
    }

    outrigger_sdk::policy!(Hostile);
}
