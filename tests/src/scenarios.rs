//! Promises of Outrigger, each tested once with real packets. The demonstration tells them as a story; the namespace tests run
//! the same code silently. A scenario fails when its promise is broken.
pub mod bgp;
pub mod crowd;
pub mod failover;
pub mod hostile;
pub mod input;
pub mod kubernetes;
pub mod partition;
pub mod ports;
pub mod serve;
pub mod setup;
pub mod swap;
