//! Policy that never ends a decision.
#![forbid(unsafe_code)]
use std::hint::black_box;

use outrigger_sdk::{Outcome, Policy, Pool, Request};

struct LoopInAllocate;

impl Policy for LoopInAllocate {
    fn allocate(_request: &Request, _pool: &impl Pool) -> Outcome {
        let mut turns = 0_u64;
        while black_box(turns) < u64::MAX {
            turns += 1;
        }
        Outcome::Assign(Vec::new())
    }
}

outrigger_sdk::policy!(LoopInAllocate);
