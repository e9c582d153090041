//! Traps at whatever happens for a while, and works again then.
#![forbid(unsafe_code)]
use bgp_guest::{Fault, Guest};
use outrigger_sdk::{Effect, Event};

/// When it begins to trap, after its first call.
const FROM_US: u64 = 5_000_000;
/// When it ends.
const TO_US: u64 = 65_000_000;

#[derive(Default)]
struct Faulty;

impl Fault for Faulty {
    fn strike(&mut self, age_us: u64, _events: &[Event]) -> Vec<Effect> {
        assert!(
            !(FROM_US..TO_US).contains(&age_us),
            "faulty: traps {age_us} us after its first call"
        );
        Vec::new()
    }
}

outrigger_sdk::announcer!(Guest<Faulty>);
