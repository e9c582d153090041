//! The common message header: finds the end of a message and checks its length. Does not read the body.
use super::{ErrorCode, Fault};

/// Length of the header in octets: marker, length and type (RFC 4271 section 4.1).
pub const HEADER: usize = 19;
/// The maximum length of a message in octets (RFC 4271 section 4.1).
pub const MAX_MESSAGE: u16 = 4096;
/// The maximum length in octets of messages other than OPEN and KEEPALIVE, once both ends support it (RFC 8654).
pub const MAX_EXTENDED_MESSAGE: u16 = 65535;

const MARKER: [u8; 16] = [0xff; 16];

/// The type of a message (RFC 4271 section 4.1, RFC 2918).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageType {
    /// 1: OPEN.
    Open,
    /// 2: UPDATE.
    Update,
    /// 3: NOTIFICATION.
    Notification,
    /// 4: KEEPALIVE.
    Keepalive,
    /// 5: ROUTE-REFRESH.
    RouteRefresh,
}

impl MessageType {
    fn from_octet(octet: u8) -> Option<Self> {
        Some(match octet {
            1 => Self::Open,
            2 => Self::Update,
            3 => Self::Notification,
            4 => Self::Keepalive,
            5 => Self::RouteRefresh,
            _ => return None,
        })
    }

    fn octet(self) -> u8 {
        match self {
            Self::Open => 1,
            Self::Update => 2,
            Self::Notification => 3,
            Self::Keepalive => 4,
            Self::RouteRefresh => 5,
        }
    }

    /// Returns the shortest and longest length of this type, where `limit` applies to the types that may be extended.
    /// A wrong length of a ROUTE-REFRESH has an error code of its own, so its body is checked instead (RFC 7313
    /// section 5).
    fn lengths(self, limit: u16) -> (u16, u16) {
        match self {
            Self::Open => (29, MAX_MESSAGE),
            Self::Update => (23, limit),
            Self::Notification => (21, limit),
            Self::Keepalive => (19, 19),
            Self::RouteRefresh => (19, limit),
        }
    }
}

/// Returns the type and the length of the message at the start of `octets`, or `None` while the header is incomplete.
/// The header alone is enough; the body may still be missing. `limit` is the negotiated maximum, initially
/// [`MAX_MESSAGE`].
///
/// # Errors
/// Returns a fault for a wrong header (RFC 4271 section 6.1). After it the rest of the stream cannot be read.
pub fn frame(octets: &[u8], limit: u16) -> Result<Option<(MessageType, usize)>, Fault> {
    let Some((header, _)) = octets.split_first_chunk::<HEADER>() else { return Ok(None) };
    let [marker @ .., high, low, kind] = header;
    if *marker != MARKER {
        return Err(Fault::reset(
            ErrorCode::NOT_SYNCHRONIZED,
            [],
            "the marker is not all ones: this is not a BGP message, or the previous length was wrong",
            "RFC 4271 section 6.1",
        ));
    }
    let length = u16::from_be_bytes([*high, *low]);
    if length < 19 || length > limit.max(MAX_MESSAGE) {
        return Err(bad_length(length, format!("19 to {} are allowed", limit.max(MAX_MESSAGE))));
    }
    let Some(kind) = MessageType::from_octet(*kind) else {
        return Err(Fault::reset(
            ErrorCode::BAD_MESSAGE_TYPE,
            [*kind],
            format!("message type {kind} is not known"),
            "RFC 4271 section 6.1",
        ));
    };
    let (least, most) = kind.lengths(limit.max(MAX_MESSAGE));
    if length < least || length > most {
        return Err(bad_length(length, format!("{kind:?} has {least} to {most}")));
    }
    Ok(Some((kind, length.into())))
}

pub(crate) fn bad_length(length: u16, expected: impl AsRef<str>) -> Fault {
    Fault::reset(
        ErrorCode::BAD_MESSAGE_LENGTH,
        length.to_be_bytes(),
        format!("the header has a length of {length} octets, {}", expected.as_ref()),
        "RFC 4271 section 6.1",
    )
}

/// Starts a message: a header with length 0, to which the body is appended.
pub(crate) fn start(kind: MessageType) -> Vec<u8> {
    let mut message = Vec::with_capacity(64);
    message.extend(MARKER);
    message.extend([0, 0, kind.octet()]);
    message
}

/// Sets the length in the header.
pub(crate) fn finish(mut message: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("every encoder stays within its limit");
    message[16..18].copy_from_slice(&length.to_be_bytes());
    message
}
