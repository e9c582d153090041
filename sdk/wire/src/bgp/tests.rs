//! Helpers shared by all tests of the codec: messages built octet by octet.
use super::*;

mod error_text;
mod notification;
mod open;
mod packing;
mod properties;
mod update;

/// Returns a message with a correct header.
pub(super) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(HEADER + body.len()).expect("a test's message is short");
    [&[0xff; 16], length.to_be_bytes().as_slice(), &[kind], body].concat()
}

/// Parses octets from hexadecimal digits; spaces are ignored.
pub(super) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<char> = digits.chars().filter(|digit| !digit.is_whitespace()).collect();
    let octet = |pair: &[char]| u8::from_str_radix(&String::from_iter(pair), 16);
    digits.chunks(2).map(|pair| octet(pair).expect("hexadecimal digits")).collect()
}

/// Parameters of a session of AS 64512, the end that reads, with AS 64513. Every feature is negotiated except
/// extended messages.
pub(super) fn external() -> Negotiated {
    Negotiated {
        local_as: 64512,
        remote_as: 64513,
        families: vec![Family::IPV4_UNICAST, Family::IPV6_UNICAST],
        four_octet_as: true,
        ipv6_next_hop: true,
        send_limit: MAX_MESSAGE,
        receive_limit: MAX_MESSAGE,
        route_refresh: true,
        enhanced_route_refresh: true,
    }
}

/// The same parameters within one AS.
pub(super) fn internal() -> Negotiated {
    Negotiated { remote_as: 64512, ..external() }
}

/// Returns the code, subcode and data of the fault of a message that ends the session.
pub(super) fn reset(octets: &[u8], negotiated: &Negotiated) -> (u8, u8, Vec<u8>) {
    let fault = decode(octets, negotiated).expect_err("the message is wrong");
    assert_eq!(fault.action, Action::SessionReset, "{fault}");
    assert!(!fault.words.is_empty() && fault.clause.starts_with("RFC "), "{fault}");
    let ErrorCode { code, subcode } = fault.notification.error;
    (code, subcode, fault.notification.data)
}
