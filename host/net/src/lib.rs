//! The only room that touches the network, and the only one with `unsafe` (all of it in `sys` and `memory`): clock, links, frames,
//! streams, datagrams, offloads, multicast groups, gossip. Linux only.
//!
//! Decides nothing: what is watched, answered, sent and ended is told by the caller, after the guard. Knows nothing of
//! Services, pools or plugins; an [`Owner`] is a number.
#![deny(unsafe_code)]

mod clock;
mod gateways;
mod gossip;
mod groups;
mod links;
mod memory;
mod received;
mod responder;
mod streams;
mod sys;
pub mod sysctl;

#[cfg(test)]
mod namespace;

pub use clock::{now, thread_us};
pub use gateways::{default_gateways, default_link};
pub use gossip::{GossipError, GossipSocket, MAX_DATAGRAM};
pub use groups::{GroupError, Groups};
pub use links::{Excludes, LinkError, Links, watch};
pub use memory::give_back;
pub use received::received;
pub use responder::{
    Counters, LinkFailure, OffloadError, Responder, ResponderHandle, SendError, Sink,
};

pub use streams::{EndpointError, Keys, SecretKey, StreamSink, Streams, StreamsHandle};

/// Puts this thread before ordinary ones where that is allowed. Not before all: it may be made to work without an end from outside.
pub fn be_early() {
    if let Err(error) = sys::sockets::be_less_nice() {
        tracing::debug!(%error, "this thread runs like any other");
    }
}

/// Who asked for a watch, an offload or a group: the number of an announcer instance.
pub type Owner = u32;
