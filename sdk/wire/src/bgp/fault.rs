//! Errors in received messages: the error, the action that the RFC requires of the receiver, and the clause that
//! requires it.
use std::fmt;

use super::{ErrorCode, Family, Notification};

/// The required reaction to a fault. Ordered from mildest to strongest, so that the strongest of several faults is
/// their maximum (RFC 7606 section 3 h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Ignore the attribute and keep the route.
    AttributeDiscard,
    /// Treat the message's routes as withdrawn.
    TreatAsWithdraw,
    /// Discard the routes of this family and ignore them until the session ends (RFC 4760 section 7).
    DisableFamily(Family),
    /// Send the NOTIFICATION and end the session.
    SessionReset,
}

/// An error in a received message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// The required reaction.
    pub action: Action,
    /// The NOTIFICATION to send if `action` is [`Action::SessionReset`]; otherwise the one that would have been sent
    /// before RFC 7606.
    pub notification: Notification,
    /// Received and expected values, as text.
    pub words: String,
    /// The broken rule, such as "RFC 7606 section 7.1".
    pub clause: &'static str,
}

impl Fault {
    /// Creates a fault that ends the session.
    pub fn reset(
        error: ErrorCode,
        data: impl Into<Vec<u8>>,
        words: impl Into<String>,
        clause: &'static str,
    ) -> Self {
        let notification = Notification::with(error, data);
        Self { action: Action::SessionReset, notification, words: words.into(), clause }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.notification.error, self.words, self.clause)
    }
}
