//! NOTIFICATION: the reason a session ends, as numbers and as text in a network engineer's terms.
use std::fmt;

use super::octets::Octets;

/// Error code and subcode of a NOTIFICATION (RFC 4271 section 4.5). Unknown values keep their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode {
    /// Error code, such as 6 for Cease.
    pub code: u8,
    /// Error subcode; 0 = unspecific.
    pub subcode: u8,
}

/// Defines a constant for each pair and the table for [`ErrorCode::name`].
macro_rules! error_codes {
    ($($(#[$doc:meta])* $constant:ident = $code:literal / $subcode:literal, $name:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $constant: Self = Self { code: $code, subcode: $subcode };)*

            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$constant, $name)),*];
        }
    };
}

error_codes! {
    /// The marker of the header is wrong (RFC 4271 section 6.1).
    NOT_SYNCHRONIZED = 1 / 1, "Connection Not Synchronized";
    /// The length in the header is wrong (RFC 4271 section 6.1). The data is the erroneous length.
    BAD_MESSAGE_LENGTH = 1 / 2, "Bad Message Length";
    /// The message type is unknown (RFC 4271 section 6.1). The data is the erroneous type.
    BAD_MESSAGE_TYPE = 1 / 3, "Bad Message Type";
    /// The OPEN is malformed, for example an optional parameter (RFC 4271 section 6.2).
    OPEN_UNSPECIFIC = 2 / 0, "Unspecific";
    /// The BGP version is not supported (RFC 4271 section 6.2). The data is the supported version.
    UNSUPPORTED_VERSION = 2 / 1, "Unsupported Version Number";
    /// The AS number is not acceptable (RFC 4271 section 6.2, RFC 7607).
    BAD_PEER_AS = 2 / 2, "Bad Peer AS";
    /// The BGP identifier is not valid (RFC 4271 section 6.2, RFC 6286).
    BAD_BGP_IDENTIFIER = 2 / 3, "Bad BGP Identifier";
    /// An optional parameter of the OPEN is not recognized (RFC 4271 section 6.2).
    UNSUPPORTED_PARAMETER = 2 / 4, "Unsupported Optional Parameter";
    /// The hold time is not acceptable (RFC 4271 section 6.2).
    UNACCEPTABLE_HOLD_TIME = 2 / 6, "Unacceptable Hold Time";
    /// A required capability is missing (RFC 5492 section 5). The data lists the missing capabilities.
    UNSUPPORTED_CAPABILITY = 2 / 7, "Unsupported Capability";
    /// The roles of the two ends do not match (RFC 9234 section 4.2).
    ROLE_MISMATCH = 2 / 11, "Role Mismatch";
    /// The attributes cannot be parsed, or one occurs twice (RFC 4271 section 6.3).
    MALFORMED_ATTRIBUTE_LIST = 3 / 1, "Malformed Attribute List";
    /// A well-known attribute is not recognized (RFC 4271 section 6.3).
    UNRECOGNIZED_WELL_KNOWN = 3 / 2, "Unrecognized Well-known Attribute";
    /// A mandatory attribute is missing (RFC 4271 section 6.3).
    MISSING_WELL_KNOWN = 3 / 3, "Missing Well-known Attribute";
    /// The flags of an attribute conflict with its type (RFC 4271 section 6.3).
    ATTRIBUTE_FLAGS = 3 / 4, "Attribute Flags Error";
    /// The length of an attribute is wrong (RFC 4271 section 6.3).
    ATTRIBUTE_LENGTH = 3 / 5, "Attribute Length Error";
    /// ORIGIN has an undefined value (RFC 4271 section 6.3).
    INVALID_ORIGIN = 3 / 6, "Invalid ORIGIN Attribute";
    /// NEXT_HOP is not a valid host address (RFC 4271 section 6.3).
    INVALID_NEXT_HOP = 3 / 8, "Invalid NEXT_HOP Attribute";
    /// The value of an optional attribute is wrong (RFC 4271 section 6.3).
    OPTIONAL_ATTRIBUTE = 3 / 9, "Optional Attribute Error";
    /// A prefix is malformed (RFC 4271 section 6.3).
    INVALID_NETWORK = 3 / 10, "Invalid Network Field";
    /// AS_PATH is malformed (RFC 4271 section 6.3).
    MALFORMED_AS_PATH = 3 / 11, "Malformed AS_PATH";
    /// No message was received within the hold time (RFC 4271 section 6.5).
    HOLD_TIMER_EXPIRED = 4 / 0, "Hold Timer Expired";
    /// An unexpected event in the finite state machine (RFC 4271 section 6.6).
    FSM_UNSPECIFIC = 5 / 0, "Unspecific";
    /// An unexpected message in state OpenSent (RFC 6608).
    UNEXPECTED_IN_OPEN_SENT = 5 / 1, "Unexpected Message in OpenSent State";
    /// An unexpected message in state OpenConfirm (RFC 6608).
    UNEXPECTED_IN_OPEN_CONFIRM = 5 / 2, "Unexpected Message in OpenConfirm State";
    /// An unexpected message in state Established (RFC 6608).
    UNEXPECTED_IN_ESTABLISHED = 5 / 3, "Unexpected Message in Established State";
    /// The peer sent too many prefixes (RFC 4486). The data may name the family and the limit.
    MAXIMUM_PREFIXES = 6 / 1, "Maximum Number of Prefixes Reached";
    /// An administrator shut the session down (RFC 4486). Carries a shutdown communication (RFC 9003).
    ADMINISTRATIVE_SHUTDOWN = 6 / 2, "Administrative Shutdown";
    /// The peer was removed from the configuration (RFC 4486).
    PEER_DECONFIGURED = 6 / 3, "Peer De-configured";
    /// An administrator reset the session (RFC 4486). Carries a shutdown communication (RFC 9003).
    ADMINISTRATIVE_RESET = 6 / 4, "Administrative Reset";
    /// The connection is not accepted (RFC 4486).
    CONNECTION_REJECTED = 6 / 5, "Connection Rejected";
    /// Any other change of the configuration (RFC 4486).
    CONFIGURATION_CHANGE = 6 / 6, "Other Configuration Change";
    /// The connection lost the collision resolution (RFC 4486, RFC 4271 section 6.8).
    COLLISION = 6 / 7, "Connection Collision Resolution";
    /// The speaker lacks resources (RFC 4486).
    OUT_OF_RESOURCES = 6 / 8, "Out of Resources";
    /// The session ends without graceful restart (RFC 8538). The data is the real reason.
    HARD_RESET = 6 / 9, "Hard Reset";
    /// BFD reported the path as down (RFC 9384).
    BFD_DOWN = 6 / 10, "BFD Down";
    /// The length of a ROUTE-REFRESH is wrong (RFC 7313 section 5). The data is the whole message.
    REFRESH_LENGTH = 7 / 1, "Invalid Message Length";
    /// The peer accepted no data within the send hold time (RFC 9687).
    SEND_HOLD_TIMER_EXPIRED = 8 / 0, "Send Hold Timer Expired";
}

impl ErrorCode {
    /// Returns the IANA name of the subcode; `None` if it is unknown.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(code, _)| *code == self).map(|(_, name)| *name)
    }

    /// Returns the IANA name of the error code; `None` if it is unknown.
    pub fn class(self) -> Option<&'static str> {
        Some(match self.code {
            1 => "Message Header Error",
            2 => "OPEN Message Error",
            3 => "UPDATE Message Error",
            4 => "Hold Timer Expired",
            5 => "Finite State Machine Error",
            6 => "Cease",
            7 => "ROUTE-REFRESH Message Error",
            8 => "Send Hold Timer Expired",
            _ => return None,
        })
    }

    /// Returns true if RFC 9003 allows a shutdown communication in the data.
    fn carries_communication(self) -> bool {
        matches!(self, Self::ADMINISTRATIVE_SHUTDOWN | Self::ADMINISTRATIVE_RESET)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.class(), self.name()) {
            // 4/0 and 8/0 have no subcodes; the name of the class is enough.
            (Some(class), Some(name)) if class != name => write!(f, "{class}/{name}"),
            (Some(class), Some(_)) => f.write_str(class),
            (Some(class), None) if self.subcode == 0 => f.write_str(class),
            (Some(class), None) => write!(f, "{class}/subcode {}", self.subcode),
            (None, _) => write!(f, "error code {}/{}", self.code, self.subcode),
        }
    }
}

/// The message that ends a session (RFC 4271 section 4.5). `Display` writes text for operators: `Cease/Hard Reset
/// (Cease/Administrative Shutdown: "moved to rack 7")`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Notification {
    /// The reason.
    pub error: ErrorCode,
    /// Data as defined for the error.
    pub data: Vec<u8>,
}

impl Notification {
    /// Creates a message without data.
    pub fn new(error: ErrorCode) -> Self {
        Self { error, data: Vec::new() }
    }

    /// Creates a message with data.
    pub fn with(error: ErrorCode, data: impl Into<Vec<u8>>) -> Self {
        Self { error, data: data.into() }
    }

    /// Creates a message with a shutdown communication (RFC 9003), cut at 255 octets between characters. Only
    /// Administrative Shutdown and Administrative Reset carry one; for any other error it is left out.
    pub fn with_communication(error: ErrorCode, words: &str) -> Self {
        if !error.carries_communication() || words.is_empty() {
            return Self::new(error);
        }
        let words = &words.as_bytes()[..words.floor_char_boundary(usize::from(u8::MAX))];
        let length = u8::try_from(words.len()).expect("cut at 255");
        Self::with(error, [&[length], words].concat())
    }

    /// Wraps the reason in a Hard Reset: the peer then keeps none of our routes, even if it supports graceful restart
    /// (RFC 8538 section 3.1).
    pub fn into_hard_reset(self) -> Self {
        let mut data = vec![self.error.code, self.error.subcode];
        data.extend(self.data);
        Self::with(ErrorCode::HARD_RESET, data)
    }

    /// Returns the notification enclosed in a Hard Reset; `None` for any other error, or if the data is too short.
    pub fn enclosed(&self) -> Option<Self> {
        if self.error != ErrorCode::HARD_RESET {
            return None;
        }
        let mut octets = Octets(&self.data);
        let error = ErrorCode { code: octets.u8()?, subcode: octets.u8()? };
        Some(Self::with(error, octets.0))
    }

    /// Returns the shutdown communication (RFC 9003); `None` if there is none. Invalid UTF-8 is replaced by
    /// replacement characters and control characters by spaces, because the text is written to logs.
    pub fn communication(&self) -> Option<String> {
        if !self.error.carries_communication() {
            return None;
        }
        let mut octets = Octets(&self.data);
        let length = octets.u8()?;
        let words = String::from_utf8_lossy(octets.take(usize::from(length))?).into_owned();
        let words = words.replace(char::is_control, " ");
        (!words.is_empty()).then_some(words)
    }

    /// Decodes the body. The message's length was checked, so there are at least two octets.
    pub(crate) fn decode_body(body: &[u8]) -> Option<Self> {
        let mut octets = Octets(body);
        let error = ErrorCode { code: octets.u8()?, subcode: octets.u8()? };
        Some(Self::with(error, octets.0))
    }

    pub(crate) fn encode_body(&self, message: &mut Vec<u8>, limit: usize) {
        message.extend([self.error.code, self.error.subcode]);
        let room = limit.saturating_sub(message.len());
        message.extend(&self.data[..self.data.len().min(room)]);
    }
}

impl fmt::Display for Notification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)?;
        if let Some(words) = self.communication() {
            return write!(f, ": \"{words}\"");
        }
        // A Hard Reset inside a Hard Reset is invalid and must not recurse.
        if let Some(enclosed) = self.enclosed().filter(|it| it.error != ErrorCode::HARD_RESET) {
            return write!(f, " ({enclosed})");
        }
        let mut data = Octets(&self.data);
        match (self.error, data.u16()) {
            (ErrorCode::BAD_MESSAGE_LENGTH, Some(length)) => write!(f, " (length {length})"),
            (ErrorCode::UNSUPPORTED_VERSION, Some(version)) => write!(f, " (supports {version})"),
            _ if self.data.is_empty() => Ok(()),
            _ => {
                f.write_str(" (data")?;
                self.data.iter().take(16).try_for_each(|octet| write!(f, " {octet:02x}"))?;
                f.write_str(if self.data.len() > 16 { " ...)" } else { ")" })
            }
        }
    }
}
