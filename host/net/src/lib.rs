//! The only crate that touches the network: clock, links, frames, streams, datagrams, offloads, multicast groups,
//! gossip. Its `unsafe` code is confined to `sys` and `memory`. Linux only.
//!
//! Makes no decisions: the caller orders what is watched, answered, sent and ended, after the guard has allowed it.
//! Knows nothing of Services, pools or plugins; an [`Owner`] is a number.
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

/// Raises the priority of this thread above that of ordinary threads where that is allowed. It does not get real-time
/// priority, because outsiders can keep it busy without limit.
pub fn be_early() {
    if let Err(error) = sys::sockets::be_less_nice() {
        tracing::debug!(%error, "cannot raise the priority of this thread");
    }
}

/// The number of the announcer instance that requested a watch, an offload or a group.
pub type Owner = u32;
