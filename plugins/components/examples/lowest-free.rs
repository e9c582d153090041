//! The `lowest-free` plugin as a component.
#![forbid(unsafe_code)]

outrigger_sdk::policy!(outrigger_lowest_free::LowestFree);
