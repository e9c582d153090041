//! `layer2` as a component.
#![forbid(unsafe_code)]

outrigger_sdk::announcer!(outrigger_layer2::Layer2);
