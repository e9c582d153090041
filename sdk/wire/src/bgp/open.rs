//! OPEN: the identity and capabilities of a speaker. Performs all checks that do not depend on the expected peer.
use std::net::Ipv4Addr;

use super::octets::Octets;
use super::{Capability, ErrorCode, Fault, GracefulRestart, MAX_MESSAGE, Notification};

/// The AS number used in a two-octet field in place of one that does not fit (RFC 6793).
pub const AS_TRANS: u16 = 23456;

const CAPABILITIES: u8 = 2;
const EXTENDED_LENGTH: u8 = 255;

/// An OPEN message (RFC 4271 section 4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// AS number of the speaker, from the 4-octet AS capability if present. `encode` does not add that capability.
    pub asn: u32,
    /// Proposed hold time in seconds: 0, or at least 3.
    pub hold_time: u16,
    /// BGP Identifier, never 0.0.0.0.
    pub router_id: Ipv4Addr,
    /// Capabilities in the order received, including the 4-octet AS capability.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// Returns the first graceful restart capability; further ones have no meaning (RFC 4724 section 3).
    pub fn graceful_restart(&self) -> Option<&GracefulRestart> {
        self.capabilities.iter().find_map(|capability| match capability {
            Capability::GracefulRestart(restart) => Some(restart),
            _ => None,
        })
    }

    /// Returns true if the OPEN lists exactly this capability.
    pub fn offers(&self, capability: &Capability) -> bool {
        self.capabilities.contains(capability)
    }

    pub(crate) fn decode_body(body: &[u8]) -> Result<Self, Fault> {
        let mut octets = Octets(body);
        let version = octets.u8().ok_or_else(short)?;
        if version != 4 {
            return Err(Fault::reset(
                ErrorCode::UNSUPPORTED_VERSION,
                4_u16.to_be_bytes(),
                format!("the peer uses BGP version {version}, but only version 4 is supported"),
                "RFC 4271 section 6.2",
            ));
        }
        let my_as = octets.u16().ok_or_else(short)?;
        let hold_time = octets.u16().ok_or_else(short)?;
        let router_id = octets.ipv4().ok_or_else(short)?;
        let capabilities = decode_parameters(octets)?;
        let asn = asn(my_as, &capabilities)?;
        let open = Self { asn, hold_time, router_id, capabilities };
        open.check()?;
        Ok(open)
    }

    fn check(&self) -> Result<(), Fault> {
        if self.router_id.is_unspecified() {
            return Err(Fault::reset(
                ErrorCode::BAD_BGP_IDENTIFIER,
                [],
                "the peer's BGP identifier is 0.0.0.0",
                "RFC 6286 section 2.1",
            ));
        }
        if matches!(self.hold_time, 1 | 2) {
            return Err(Fault::reset(
                ErrorCode::UNACCEPTABLE_HOLD_TIME,
                [],
                format!(
                    "the peer proposes a hold time of {} s: allowed are 0, or 3 and more",
                    self.hold_time
                ),
                "RFC 4271 section 6.2",
            ));
        }
        Ok(())
    }

    pub(crate) fn encode_body(&self, message: &mut Vec<u8>) {
        message.push(4);
        message.extend(u16::try_from(self.asn).unwrap_or(AS_TRANS).to_be_bytes());
        message.extend(self.hold_time.to_be_bytes());
        message.extend(self.router_id.octets());
        let mut capabilities = Vec::new();
        // Capabilities that do not fit are left out: an OPEN is never an extended message (RFC 8654 section 4).
        let room = usize::from(MAX_MESSAGE) - message.len() - 7;
        for capability in self.capabilities.iter().map(Capability::encode) {
            if capabilities.len() + capability.len() <= room {
                capabilities.extend(capability);
            }
        }
        match u8::try_from(capabilities.len()) {
            Ok(0) => message.push(0),
            Ok(length @ ..=253) => message.extend([length + 2, CAPABILITIES, length]),
            // RFC 9072 section 2: 255, 255, then lengths with two octets.
            _ => {
                let length = u16::try_from(capabilities.len()).expect("cut at the room there is");
                message.extend([EXTENDED_LENGTH, EXTENDED_LENGTH]);
                message.extend((length + 3).to_be_bytes());
                message.push(CAPABILITIES);
                message.extend(length.to_be_bytes());
            }
        }
        message.extend(capabilities);
    }
}

/// The fault for an OPEN that is too short, which the check of the header already rules out.
fn short() -> Fault {
    malformed("it ends before its fixed fields do")
}

fn malformed(words: &str) -> Fault {
    Fault::reset(ErrorCode::OPEN_UNSPECIFIC, [], words, "RFC 4271 section 6.2")
}

fn decode_parameters(mut octets: Octets<'_>) -> Result<Vec<Capability>, Fault> {
    let length = octets.u8().ok_or_else(short)?;
    // RFC 9072 section 2: the first parameter's type selects the extended form, for any length other than 0.
    let extended = length != 0 && octets.0.first() == Some(&EXTENDED_LENGTH);
    let mut length = usize::from(length);
    if extended {
        octets.take(1);
        length = octets.u16().ok_or_else(|| malformed("the extended length is cut off"))?.into();
    }
    if length != octets.len() {
        let have = octets.len();
        let words = format!(
            "the optional parameters have a length of {length} octets, but the message has {have}"
        );
        return Err(malformed(&words));
    }
    let mut capabilities = Vec::new();
    while !octets.is_empty() {
        let (kind, value) = take_parameter(&mut octets, extended)
            .ok_or_else(|| malformed("an optional parameter runs past the end of the message"))?;
        if kind != CAPABILITIES {
            return Err(Fault::reset(
                ErrorCode::UNSUPPORTED_PARAMETER,
                [],
                format!(
                    "optional parameter type {kind} is unknown; only 2, capabilities, is supported"
                ),
                "RFC 4271 section 6.2",
            ));
        }
        Capability::decode_all(value, &mut capabilities)?;
    }
    Ok(capabilities)
}

fn take_parameter<'a>(octets: &mut Octets<'a>, extended: bool) -> Option<(u8, &'a [u8])> {
    let kind = octets.u8()?;
    let length = if extended { octets.u16()?.into() } else { octets.u8()?.into() };
    Some((kind, octets.take(length)?))
}

/// Returns the speaker's AS number. AS 0 is reserved (RFC 7607); the number in the capability replaces that in the
/// field (RFC 6793 section 4.1).
fn asn(my_as: u16, capabilities: &[Capability]) -> Result<u32, Fault> {
    let four_octet = capabilities.iter().find_map(|capability| match capability {
        Capability::FourOctetAs(asn) => Some(*asn),
        _ => None,
    });
    let asn = four_octet.unwrap_or_else(|| my_as.into());
    if asn == 0 || my_as == 0 {
        let error = ErrorCode::BAD_PEER_AS;
        return Err(Fault::reset(error, [], "the peer's AS number is 0", "RFC 7607 section 2"));
    }
    Ok(asn)
}

/// Returns the NOTIFICATION for missing capabilities without which the session is useless (RFC 5492 section 5).
pub fn missing_capabilities(missing: &[Capability]) -> Notification {
    let data: Vec<u8> = missing.iter().flat_map(Capability::encode).collect();
    Notification::with(ErrorCode::UNSUPPORTED_CAPABILITY, data)
}
