//! The `layer2` plugin as a component.
#![forbid(unsafe_code)]

outrigger_sdk::announcer!(outrigger_layer2::Layer2);
