//! The `bgp` plugin as a component.
#![forbid(unsafe_code)]

outrigger_sdk::announcer!(outrigger_bgp::Speaker);
