//! What a plugin author uses: the vocabulary of both WIT worlds as plain Rust types, one trait per world, and the
//! wasm shell. The host uses the same vocabulary, so a plugin's logic runs natively in tests exactly as it runs as a
//! component.
//!
//! A plugin is a crate of type `["cdylib"]` that implements [`Announcer`] or [`Policy`] and ends with
//! `outrigger_sdk::announcer!(Type);` or `outrigger_sdk::policy!(Type);`. One whose logic others use as a library, tests included,
//! leaves that line to a crate of its own.
//!
//! Nothing here reads a clock, a socket or the environment: time and seed are arguments.
#![forbid(unsafe_code)]

pub mod announcer;
pub mod effect;
pub mod endpoint;
pub mod event;
pub mod log;
pub mod policy;
pub mod report;
pub mod service;

#[cfg(target_family = "wasm")]
pub mod guest;
mod shell;

pub use announcer::{Announcer, Context, FieldError, Origin, SavedState, StartError};
pub use effect::{
    Beacon, DatagramBeacon, Effect, FrameWatch, Offload, OffloadWork, Reply, Topic, Wake,
};
pub use endpoint::{
    Accepted, CloseReason, Closed, Connect, Datagram, Listen, OpenSocket, Opened, ResumedEndpoint,
    SecretRef, SendDatagram, SocketOption, Speech, StreamBytes,
};
pub use event::{
    Denied, DesiredAddress, DesiredChanged, Duty, EndpointCount, Event, Frame, Link, LinkIndex,
    LinksChanged, Resumed, StopReason, Stopping, Time,
};
pub use ipnet::IpNet;
pub use outrigger_wire as wire;
pub use policy::{
    AddressState, Family, HeldAddress, Holder, Outcome, Policy, Pool, PoolCount, Refusal, Request,
};
pub use report::{
    AddressReport, AnnouncementState, Condition, PeerHealth, PeerReport, Report, ServiceEvent,
};
pub use service::{Protocol, Service, ServicePort, TrafficPolicy};
pub use wire::MacAddr;

/// Names a stream, a listener, a socket or an offload: one number space per instance. The plugin chooses numbers below
/// `0x8000_0000`, the host those of accepted streams, with the top bit set. WIT: `network.endpoint`.
pub type Endpoint = u32;
/// A label, an annotation, a header, an extension: name and value.
pub type Pair = (String, String);
