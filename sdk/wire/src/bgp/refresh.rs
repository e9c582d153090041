//! ROUTE-REFRESH (RFC 2918) and its begin and end marks (RFC 7313).
use super::{ErrorCode, Family, Fault};

/// A ROUTE-REFRESH message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteRefresh {
    /// Family to refresh. A family that was not negotiated must be ignored (RFC 2918 section 4).
    pub family: Family,
    /// Request, or one of the marks.
    pub kind: RefreshKind,
}

/// The subtype of a ROUTE-REFRESH (RFC 7313 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefreshKind {
    /// 0: send the Adj-RIB-Out again.
    Request,
    /// 1, BoRR: the refresh begins.
    Begin,
    /// 2, EoRR: the refresh is complete.
    End,
    /// Any other subtype, which must be ignored (RFC 7313 section 5).
    Unknown(u8),
}

impl RefreshKind {
    fn from_octet(octet: u8) -> Self {
        match octet {
            0 => Self::Request,
            1 => Self::Begin,
            2 => Self::End,
            other => Self::Unknown(other),
        }
    }

    fn octet(self) -> u8 {
        match self {
            Self::Request => 0,
            Self::Begin => 1,
            Self::End => 2,
            Self::Unknown(octet) => octet,
        }
    }
}

impl RouteRefresh {
    /// Decodes the body of `message`. If the length is wrong, the NOTIFICATION contains the whole message (RFC 7313
    /// section 5).
    pub(crate) fn decode_body(body: &[u8], message: &[u8]) -> Result<Self, Fault> {
        let [high, low, subtype, safi] = *body else {
            return Err(Fault::reset(
                ErrorCode::REFRESH_LENGTH,
                message,
                format!("a ROUTE-REFRESH has a body of 4 octets, this one has {}", body.len()),
                "RFC 7313 section 5",
            ));
        };
        let family = Family { afi: u16::from_be_bytes([high, low]), safi };
        Ok(Self { family, kind: RefreshKind::from_octet(subtype) })
    }

    pub(crate) fn encode_body(self, message: &mut Vec<u8>) {
        message.extend(self.family.afi.to_be_bytes());
        message.extend([self.kind.octet(), self.family.safi]);
    }
}
