//! Durations as written in the configuration: a number in the field's unit, or text with units as in Kubernetes ("1m30s").
use serde::Deserialize;

use super::read::Fields;

/// A duration in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
    Other(serde_json::Value),
}

impl Span {
    /// Reads a field whose plain numbers are seconds, limited to this range of seconds.
    pub(super) fn seconds(
        fields: &mut Fields<'_>,
        field: &'static str,
        least: u64,
        most: u64,
    ) -> Option<Self> {
        Self::field(fields, field, 1_000_000, least, most)
    }

    /// Reads a field whose plain numbers are milliseconds, limited to this range of milliseconds.
    pub(super) fn of_milliseconds(
        fields: &mut Fields<'_>,
        field: &'static str,
        least: u64,
        most: u64,
    ) -> Option<Self> {
        Self::field(fields, field, 1_000, least, most)
    }

    fn field(
        fields: &mut Fields<'_>,
        field: &'static str,
        unit: u64,
        least: u64,
        most: u64,
    ) -> Option<Self> {
        let span = match fields.optional(field)? {
            Written::Number(number) => Ok(number.saturating_mul(unit)),
            Written::Text(text) => parse(&text),
            Written::Other(other) => {
                Err(format!("{other} is neither a number nor a duration like \"90s\""))
            }
        };
        let name = if unit == 1_000 { "ms" } else { "s" };
        let checked = span.and_then(|span| {
            if (least * unit..=most * unit).contains(&span) {
                Ok(Self(span))
            } else {
                Err(format!("is not between {least}{name} and {most}{name}"))
            }
        });
        checked.map_err(|message| fields.wrong(field, message)).ok()
    }

    /// Returns milliseconds, rounded down; every field has a limit that fits.
    pub(super) fn milliseconds(self) -> u32 {
        u32::try_from(self.0 / 1_000).unwrap_or(u32::MAX)
    }

    pub(super) fn microseconds(self) -> u32 {
        u32::try_from(self.0).unwrap_or(u32::MAX)
    }

    /// Returns whole seconds, the unit of BGP's timers (RFC 4271 section 4.2), or an error if it is not a multiple of one.
    pub(super) fn whole_seconds(self) -> Result<u16, String> {
        if !self.0.is_multiple_of(1_000_000) {
            return Err("must be whole seconds".to_owned());
        }
        u16::try_from(self.0 / 1_000_000).map_err(|_| "is more than 65535 s".to_owned())
    }
}

/// Parses Go's durations, without fractions: "1h2m3s4ms5us".
fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a duration like \"90s\" or \"300ms\"");
    let (mut rest, mut sum) = (text, 0u64);
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let after = &rest[digits..];
        let letters = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let unit = match &after[..letters] {
            "us" | "µs" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return Err(wrong()),
        };
        sum = number.checked_mul(unit).and_then(|part| sum.checked_add(part)).ok_or_else(wrong)?;
        rest = &after[letters..];
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_in_kubernetes() {
        for (text, microseconds) in
            [("90s", 90_000_000), ("1m30s", 90_000_000), ("300ms", 300_000), ("3300us", 3_300)]
        {
            assert_eq!(parse(text), Ok(microseconds), "{text}");
        }
        for text in ["", "90", "s", "1.5s", "-3s", "3 s", "99999999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
