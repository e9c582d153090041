//! Messages as text that a person can check: `marker` is sixteen octets of ones, `length` the length of the whole message,
//! `{us}` and `{them}` the ends' IPv4 addresses; everything else is hexadecimal digits.
use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};

/// Returns the octets of one message.
pub(super) fn message(text: &str, us: Ipv4Addr, them: Ipv4Addr) -> Result<Vec<u8>> {
    let mut octets = Vec::new();
    let mut length = None;
    for word in text.split_whitespace() {
        match word {
            "marker" => octets.extend([0xff; 16]),
            "length" => {
                length = Some(octets.len());
                octets.extend([0, 0]);
            }
            "{us}" => octets.extend(us.octets()),
            "{them}" => octets.extend(them.octets()),
            digits => octets.extend(hex(digits)?),
        }
    }
    if let Some(place) = length {
        let length = u16::try_from(octets.len()).context("longer than any message")?;
        octets[place..place + 2].copy_from_slice(&length.to_be_bytes());
    }
    Ok(octets)
}

/// Parses hexadecimal digits.
pub(super) fn hex(digits: &str) -> Result<Vec<u8>> {
    ensure!(
        digits.is_ascii() && digits.len().is_multiple_of(2),
        "{digits:?} is not a list of octets"
    );
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).context("no hexadecimal digit"))
        .collect()
}

/// Formats octets as hexadecimal digits.
pub(super) fn digits(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
