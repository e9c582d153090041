//! What is wrong with a received message, what the RFC has the receiver do about it, and where it says so.
use std::fmt;

use super::{ErrorCode, Family, Notification};

/// What to do about a fault, mildest first, so that the strongest of several is their maximum (RFC 7606 section 3 h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The attribute is ignored, the route stays.
    AttributeDiscard,
    /// The message's routes count as withdrawn.
    TreatAsWithdraw,
    /// Routes of this family are forgotten and ignored until the session ends (RFC 4760 section 7).
    DisableFamily(Family),
    /// The NOTIFICATION is sent and the session ends.
    SessionReset,
}

/// One thing that is wrong with a received message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// What to do.
    pub action: Action,
    /// What to send if `action` is [`Action::SessionReset`]; otherwise what would have been sent before RFC 7606.
    pub notification: Notification,
    /// What was received and what was expected.
    pub words: String,
    /// The rule that was broken: "RFC 7606 section 7.1".
    pub clause: &'static str,
}

impl Fault {
    /// One that ends the session.
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
