//! Policy that panics in every decision.
#![forbid(unsafe_code)]
use outrigger_sdk::{Outcome, Policy, Pool, Request};

struct TrapInAllocate;

impl Policy for TrapInAllocate {
    fn allocate(_request: &Request, _pool: &impl Pool) -> Outcome {
        panic!("hostile: traps in allocate");
    }
}

outrigger_sdk::policy!(TrapInAllocate);
