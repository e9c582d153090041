//! BGP-4 messages. One codec serves the plugin that speaks BGP, the guard that checks its messages, and the tests.
//!
//! The session parameters are an argument ([`Negotiated`]), and nothing is kept between messages, so this module has
//! no states, timers or earlier routes. Errors in a message are returned as [`Fault`]s: the action that the RFC requires
//! of the receiver, the NOTIFICATION to send, and the clause. No input panics, and no memory is allocated
//! for octets that were not received.
//!
//! ```
//! use outrigger_wire::bgp::{self, Attributes, AsPath, Message, Negotiated, NextHop};
//!
//! let negotiated = Negotiated { four_octet_as: true, families: vec![bgp::Family::IPV4_UNICAST], ..Negotiated::default() };
//! let attributes = Attributes { as_path: AsPath::sequence([64512]), ..Attributes::default() };
//! let next_hop = NextHop::V4("192.0.2.1".parse()?);
//! let prefixes = ["198.51.100.7/32".parse()?];
//! let packed: Vec<_> = bgp::announcements(&attributes, next_hop, &prefixes, &negotiated)?.collect();
//! let peer = Negotiated { local_as: 64513, remote_as: 64512, ..negotiated };
//! let Message::Update(update) = bgp::decode(&packed[0].message, &peer)? else { unreachable!() };
//! assert_eq!(update.announced[0].prefixes, prefixes);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod as_path;
mod attribute;
mod capability;
mod community;
mod family;
mod fault;
mod header;
mod negotiated;
mod nlri;
mod notification;
mod octets;
mod open;
mod pack;
mod path;
mod refresh;
mod update;

pub use as_path::{AsPath, Segment, SegmentKind};
pub use attribute::{Aggregator, Attributes, NextHop, Origin, RawAttribute};
pub use capability::{Capability, GracefulRestart};
pub use community::{Community, CommunityError, ExtendedCommunity, LargeCommunity};
pub use family::Family;
pub use fault::{Action, Fault};
pub use header::{HEADER, MAX_EXTENDED_MESSAGE, MAX_MESSAGE, MessageType, frame};
pub use negotiated::Negotiated;
pub use notification::{ErrorCode, Notification};
pub use open::{AS_TRANS, Open, missing_capabilities};
pub use pack::{AttributesTooLong, Packed, announcements, end_of_rib, withdrawals};
pub use refresh::{RefreshKind, RouteRefresh};
pub use update::{Announced, Update};

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The peer's parameters.
    Open(Open),
    /// Announced and withdrawn routes. Its `faults` list the errors handled as the RFC requires.
    Update(Box<Update>),
    /// The peer closes the session.
    Notification(Notification),
    /// The peer is alive.
    Keepalive,
    /// The peer requests its routes again, or marks the begin or end of a refresh.
    RouteRefresh(RouteRefresh),
}

/// Decodes exactly one message, header included. Until both OPENs are received, `negotiated` is the default.
///
/// # Errors
/// Returns the fault that ends the session, always with [`Action::SessionReset`].
pub fn decode(message: &[u8], negotiated: &Negotiated) -> Result<Message, Fault> {
    let framed = header::frame(message, negotiated.receive_limit)?;
    let Some((kind, _)) = framed.filter(|(_, length)| *length == message.len()) else {
        // The stream was split inside a message or across messages: the caller did not use `frame` to split it.
        let length = framed.map_or(message.len(), |(_, length)| length);
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        return Err(header::bad_length(length, format!("{} are there", message.len())));
    };
    let body = &message[HEADER..];
    match kind {
        MessageType::Open => Open::decode_body(body).map(Message::Open),
        MessageType::Update => {
            Update::decode_body(body, negotiated).map(|update| Message::Update(Box::new(update)))
        }
        MessageType::Notification => Notification::decode_body(body)
            .map(Message::Notification)
            .ok_or_else(|| header::bad_length(HEADER as u16, "a NOTIFICATION has 21 at least")),
        MessageType::Keepalive => Ok(Message::Keepalive),
        MessageType::RouteRefresh => {
            RouteRefresh::decode_body(body, message).map(Message::RouteRefresh)
        }
    }
}

/// Returns a whole KEEPALIVE message.
pub fn keepalive() -> Vec<u8> {
    header::finish(header::start(MessageType::Keepalive))
}

impl Open {
    /// Encodes the whole message. Capabilities that do not fit are left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = header::start(MessageType::Open);
        self.encode_body(&mut message);
        header::finish(message)
    }
}

impl Notification {
    /// Encodes the whole message. Data beyond the maximum of 4096 octets is cut off.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = header::start(MessageType::Notification);
        self.encode_body(&mut message, MAX_MESSAGE.into());
        header::finish(message)
    }
}

impl RouteRefresh {
    /// Encodes the whole message.
    pub fn encode(self) -> Vec<u8> {
        let mut message = header::start(MessageType::RouteRefresh);
        self.encode_body(&mut message);
        header::finish(message)
    }
}

#[cfg(test)]
mod tests;
