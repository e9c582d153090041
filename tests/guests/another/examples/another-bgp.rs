//! Another build of `bgp`.
#![forbid(unsafe_code)]

outrigger_sdk::announcer!(another::Another<outrigger_bgp::Speaker>);
