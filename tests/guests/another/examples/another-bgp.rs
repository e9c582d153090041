//! `bgp` in another build.
#![forbid(unsafe_code)]

outrigger_sdk::announcer!(another::Another<outrigger_bgp::Speaker>);
