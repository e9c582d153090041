//! SDK for plugin authors: the types of both WIT worlds as plain Rust, one trait per world, and the wasm shell. The
//! host uses the same types, so a plugin's logic runs natively in tests exactly as it runs as a component.
//!
//! A plugin is a crate of type `["cdylib"]` that implements [`Announcer`] or [`Policy`] and ends with
//! `outrigger_sdk::announcer!(Type);` or `outrigger_sdk::policy!(Type);`. If the logic is also used as a library, for
//! example by tests, that line belongs in a separate crate.
//!
//! Nothing in this crate reads a clock, a socket or the environment: time and seed are arguments.
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
    Accepted, CloseReason, Closed, Connect, Datagram, Listen, OpenSocket, Opened, Protocol,
    ResumedEndpoint, SecretRef, SendDatagram, SocketOption, StreamBytes,
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
pub use service::{IpProtocol, Service, ServicePort, TrafficPolicy};
pub use wire::MacAddr;

/// Number of a stream, a listener, a socket or an offload; one number space per instance. The plugin chooses numbers
/// below `0x8000_0000`; the host chooses those of accepted streams, with the top bit set. WIT: `network.endpoint`.
pub type Endpoint = u32;
/// Name and value of a label, an annotation, a header or an extension. WIT: `types.pair`.
pub type Pair = (String, String);
