//! What the speaker promises its peers, with real routers: that a plugin may trap, be replaced, be hostile, and a node
//! stop, restart or vanish, and what the router then sees.
pub mod anycast;
pub mod ecmp;
pub mod input;
pub mod oracle;
pub mod plugin;
pub mod storm;
pub mod vrf;
