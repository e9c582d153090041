//! The header around every message: where one ends, and whether it may be so long. Knows no body.
use super::{ErrorCode, Fault};

/// Marker, length and type (RFC 4271 section 4.1).
pub const HEADER: usize = 19;
/// The longest message (RFC 4271 section 4.1).
pub const MAX_MESSAGE: u16 = 4096;
/// The longest message but OPEN and KEEPALIVE once both can (RFC 8654).
pub const MAX_EXTENDED_MESSAGE: u16 = 65535;

const MARKER: [u8; 16] = [0xff; 16];

/// Message type (RFC 4271 section 4.1, RFC 2918).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MessageType {
    /// 1.
    Open,
    /// 2.
    Update,
    /// 3.
    Notification,
    /// 4.
    Keepalive,
    /// 5.
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

    /// The shortest and longest message of this type, where `limit` holds for the types that may be extended. The length
    /// of a ROUTE-REFRESH has an error code of its own, so its body is what is checked (RFC 7313 section 5).
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

/// How long the message is that `octets` begin with, and its type; `None` as long as not even the header is there. It is
/// known from the header alone, before the rest has come. `limit` is what was negotiated, [`MAX_MESSAGE`] at first.
///
/// # Errors
/// RFC 4271 section 6.1: after this nothing of the stream can be read any more.
pub fn frame(octets: &[u8], limit: u16) -> Result<Option<(MessageType, usize)>, Fault> {
    let Some((header, _)) = octets.split_first_chunk::<HEADER>() else { return Ok(None) };
    let [marker @ .., high, low, kind] = header;
    if *marker != MARKER {
        return Err(Fault::reset(
            ErrorCode::NOT_SYNCHRONIZED,
            [],
            "the marker is not all ones: this is no BGP message, or its length was wrong",
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
        format!("the header says {length} octets, {}", expected.as_ref()),
        "RFC 4271 section 6.1",
    )
}

/// A message that has its header and waits for its body.
pub(crate) fn start(kind: MessageType) -> Vec<u8> {
    let mut message = Vec::with_capacity(64);
    message.extend(MARKER);
    message.extend([0, 0, kind.octet()]);
    message
}

/// Writes the length into the header.
pub(crate) fn finish(mut message: Vec<u8>) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("every encoder stays within its limit");
    message[16..18].copy_from_slice(&length.to_be_bytes());
    message
}
