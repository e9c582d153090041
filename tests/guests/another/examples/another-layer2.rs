//! `layer2` in another build.
#![forbid(unsafe_code)]

outrigger_sdk::announcer!(another::Another<outrigger_layer2::Layer2>);
