//! Promises of the speaker to its peers, with real routers: a plugin may trap, be replaced or be hostile, and a node may stop,
//! restart or vanish; each scenario checks what the router then sees.
pub mod anycast;
pub mod ecmp;
pub mod input;
pub mod oracle;
pub mod plugin;
pub mod storm;
pub mod vrf;
