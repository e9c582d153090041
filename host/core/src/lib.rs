//! The decision logic of the daemon, without any I/O: facts, ledger, membership, election, plan, guard. Must not know
//! tokio, kube or wasmtime, read a clock, or open anything; time and seeds are arguments.
#![forbid(unsafe_code)]

pub mod allocation;
pub mod desired;
pub mod election;
pub mod eligibility;
pub mod facts;
pub mod guard;
pub mod ledger;
pub mod membership;
pub mod outbox;
pub mod plan;
pub mod pool;
pub mod readiness;
pub mod rollout;
pub mod why;
