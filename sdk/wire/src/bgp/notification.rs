//! NOTIFICATION: why a session ends, in numbers and in a network engineer's words. Knows no other message.
use std::fmt;

use super::octets::Octets;

/// Error code and subcode of a NOTIFICATION (RFC 4271 section 4.5). Unknown ones keep their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode {
    /// Error code: 6 = Cease.
    pub code: u8,
    /// Error subcode, 0 = unspecific.
    pub subcode: u8,
}

/// Names the pair, and lists it for [`ErrorCode::name`].
macro_rules! error_codes {
    ($($(#[$doc:meta])* $constant:ident = $code:literal / $subcode:literal, $name:literal;)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $constant: Self = Self { code: $code, subcode: $subcode };)*

            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$constant, $name)),*];
        }
    };
}

error_codes! {
    /// RFC 4271 section 6.1.
    NOT_SYNCHRONIZED = 1 / 1, "Connection Not Synchronized";
    /// RFC 4271 section 6.1. The data is the erroneous length.
    BAD_MESSAGE_LENGTH = 1 / 2, "Bad Message Length";
    /// RFC 4271 section 6.1. The data is the erroneous type.
    BAD_MESSAGE_TYPE = 1 / 3, "Bad Message Type";
    /// RFC 4271 section 6.2: malformed optional parameter.
    OPEN_UNSPECIFIC = 2 / 0, "Unspecific";
    /// RFC 4271 section 6.2. The data is the version that would do.
    UNSUPPORTED_VERSION = 2 / 1, "Unsupported Version Number";
    /// RFC 4271 section 6.2, RFC 7607.
    BAD_PEER_AS = 2 / 2, "Bad Peer AS";
    /// RFC 4271 section 6.2, RFC 6286.
    BAD_BGP_IDENTIFIER = 2 / 3, "Bad BGP Identifier";
    /// RFC 4271 section 6.2.
    UNSUPPORTED_PARAMETER = 2 / 4, "Unsupported Optional Parameter";
    /// RFC 4271 section 6.2.
    UNACCEPTABLE_HOLD_TIME = 2 / 6, "Unacceptable Hold Time";
    /// RFC 5492 section 5. The data lists the missing capabilities.
    UNSUPPORTED_CAPABILITY = 2 / 7, "Unsupported Capability";
    /// RFC 9234 section 4.2.
    ROLE_MISMATCH = 2 / 11, "Role Mismatch";
    /// RFC 4271 section 6.3.
    MALFORMED_ATTRIBUTE_LIST = 3 / 1, "Malformed Attribute List";
    /// RFC 4271 section 6.3.
    UNRECOGNIZED_WELL_KNOWN = 3 / 2, "Unrecognized Well-known Attribute";
    /// RFC 4271 section 6.3.
    MISSING_WELL_KNOWN = 3 / 3, "Missing Well-known Attribute";
    /// RFC 4271 section 6.3.
    ATTRIBUTE_FLAGS = 3 / 4, "Attribute Flags Error";
    /// RFC 4271 section 6.3.
    ATTRIBUTE_LENGTH = 3 / 5, "Attribute Length Error";
    /// RFC 4271 section 6.3.
    INVALID_ORIGIN = 3 / 6, "Invalid ORIGIN Attribute";
    /// RFC 4271 section 6.3.
    INVALID_NEXT_HOP = 3 / 8, "Invalid NEXT_HOP Attribute";
    /// RFC 4271 section 6.3.
    OPTIONAL_ATTRIBUTE = 3 / 9, "Optional Attribute Error";
    /// RFC 4271 section 6.3.
    INVALID_NETWORK = 3 / 10, "Invalid Network Field";
    /// RFC 4271 section 6.3.
    MALFORMED_AS_PATH = 3 / 11, "Malformed AS_PATH";
    /// RFC 4271 section 6.5.
    HOLD_TIMER_EXPIRED = 4 / 0, "Hold Timer Expired";
    /// RFC 4271 section 6.6.
    FSM_UNSPECIFIC = 5 / 0, "Unspecific";
    /// RFC 6608.
    UNEXPECTED_IN_OPEN_SENT = 5 / 1, "Unexpected Message in OpenSent State";
    /// RFC 6608.
    UNEXPECTED_IN_OPEN_CONFIRM = 5 / 2, "Unexpected Message in OpenConfirm State";
    /// RFC 6608.
    UNEXPECTED_IN_ESTABLISHED = 5 / 3, "Unexpected Message in Established State";
    /// RFC 4486. The data may name the family and the limit.
    MAXIMUM_PREFIXES = 6 / 1, "Maximum Number of Prefixes Reached";
    /// RFC 4486; carries a shutdown communication (RFC 9003).
    ADMINISTRATIVE_SHUTDOWN = 6 / 2, "Administrative Shutdown";
    /// RFC 4486.
    PEER_DECONFIGURED = 6 / 3, "Peer De-configured";
    /// RFC 4486; carries a shutdown communication (RFC 9003).
    ADMINISTRATIVE_RESET = 6 / 4, "Administrative Reset";
    /// RFC 4486.
    CONNECTION_REJECTED = 6 / 5, "Connection Rejected";
    /// RFC 4486.
    CONFIGURATION_CHANGE = 6 / 6, "Other Configuration Change";
    /// RFC 4486, RFC 4271 section 6.8.
    COLLISION = 6 / 7, "Connection Collision Resolution";
    /// RFC 4486.
    OUT_OF_RESOURCES = 6 / 8, "Out of Resources";
    /// RFC 8538: the session is to end without graceful restart. The data is the real reason.
    HARD_RESET = 6 / 9, "Hard Reset";
    /// RFC 9384.
    BFD_DOWN = 6 / 10, "BFD Down";
    /// RFC 7313 section 5. The data is the whole message.
    REFRESH_LENGTH = 7 / 1, "Invalid Message Length";
    /// RFC 9687.
    SEND_HOLD_TIMER_EXPIRED = 8 / 0, "Send Hold Timer Expired";
}

impl ErrorCode {
    /// The subcode's name as IANA has it.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.iter().find(|(code, _)| *code == self).map(|(_, name)| *name)
    }

    /// The error code's name as IANA has it.
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

    /// Whether RFC 9003 allows a shutdown communication in the data.
    fn carries_communication(self) -> bool {
        matches!(self, Self::ADMINISTRATIVE_SHUTDOWN | Self::ADMINISTRATIVE_RESET)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.class(), self.name()) {
            // 4/0 and 8/0 have no subcodes: the class says it all.
            (Some(class), Some(name)) if class != name => write!(f, "{class}/{name}"),
            (Some(class), Some(_)) => f.write_str(class),
            (Some(class), None) if self.subcode == 0 => f.write_str(class),
            (Some(class), None) => write!(f, "{class}/subcode {}", self.subcode),
            (None, _) => write!(f, "error code {}/{}", self.code, self.subcode),
        }
    }
}

/// The message that ends a session (RFC 4271 section 4.5). `Display` is for people: `Cease/Hard Reset (Cease/Administrative
/// Shutdown: "moved to rack 7")`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Notification {
    /// Why.
    pub error: ErrorCode,
    /// What the error's definition puts there.
    pub data: Vec<u8>,
}

impl Notification {
    /// Without data.
    pub fn new(error: ErrorCode) -> Self {
        Self { error, data: Vec::new() }
    }

    /// With data.
    pub fn with(error: ErrorCode, data: impl Into<Vec<u8>>) -> Self {
        Self { error, data: data.into() }
    }

    /// With a shutdown communication (RFC 9003), cut at 255 octets between characters. Only Administrative Shutdown
    /// and Administrative Reset carry one: for all others it is left out.
    pub fn with_communication(error: ErrorCode, words: &str) -> Self {
        if !error.carries_communication() || words.is_empty() {
            return Self::new(error);
        }
        let words = &words.as_bytes()[..words.floor_char_boundary(usize::from(u8::MAX))];
        let length = u8::try_from(words.len()).expect("cut at 255");
        Self::with(error, [&[length], words].concat())
    }

    /// The same reason as a Hard Reset: the peer keeps no route of ours although it is capable of graceful restart
    /// (RFC 8538 section 3.1).
    pub fn into_hard_reset(self) -> Self {
        let mut data = vec![self.error.code, self.error.subcode];
        data.extend(self.data);
        Self::with(ErrorCode::HARD_RESET, data)
    }

    /// What a Hard Reset encloses.
    pub fn enclosed(&self) -> Option<Self> {
        if self.error != ErrorCode::HARD_RESET {
            return None;
        }
        let mut octets = Octets(&self.data);
        let error = ErrorCode { code: octets.u8()?, subcode: octets.u8()? };
        Some(Self::with(error, octets.0))
    }

    /// The shutdown communication (RFC 9003). One that is not UTF-8 is shown with replacement characters, and control
    /// characters are spaces: it goes into logs.
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

    /// Reads the body. The message's length was checked: there are two octets at least.
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
        // A Hard Reset in a Hard Reset is nonsense that must not recurse.
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
