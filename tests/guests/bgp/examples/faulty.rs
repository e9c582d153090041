//! Traps on every call for a minute, and works again afterwards.
#![forbid(unsafe_code)]
use bgp_guest::{Fault, Guest};
use outrigger_sdk::{Effect, Event};

/// Time at which it begins to trap, after its first call.
const FROM_US: u64 = 5_000_000;
/// Time at which it stops to trap.
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
