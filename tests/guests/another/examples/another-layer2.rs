//! Another build of `layer2`.
#![forbid(unsafe_code)]

outrigger_sdk::announcer!(another::Another<outrigger_layer2::Layer2>);
