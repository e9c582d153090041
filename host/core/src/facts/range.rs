//! One line of a pool's `addresses`: a CIDR or a range.
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Subnets, Ipv6Subnets};
use outrigger_sdk::Family;
use serde::{Deserialize, Serialize};

/// A contiguous run of addresses of one family, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

/// The reason why a line is not a range. The message names the line and the fix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// The line is neither a CIDR nor a range.
    #[error("{0:?} is neither a CIDR (192.0.2.0/28) nor a range (192.0.2.1-192.0.2.9)")]
    Syntax(String),
    /// One end is not an IP address.
    #[error("{part:?} in {line:?} is not an IP address")]
    Address {
        /// The line.
        line: String,
        /// The part that is not an IP address.
        part: String,
    },
    /// The ends are of different address families.
    #[error("{0:?} goes from one address family to the other: write one range per family")]
    Families(String),
    /// The end is below the start.
    #[error("{0:?} ends before it starts: swap its ends")]
    Backwards(String),
    /// An end is an IPv4-mapped IPv6 address.
    #[error("{0:?} is an IPv4-mapped IPv6 address: write it as IPv4")]
    Mapped(String),
}

impl AddressRange {
    /// Returns the lowest address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// Returns the highest address.
    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// Returns the address family.
    pub fn family(&self) -> Family {
        Family::of(&self.first)
    }

    /// Returns true if the range contains the address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }

    /// Returns true if both ranges have an address in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.family() == other.family() && self.first <= other.last && other.first <= self.last
    }

    /// Returns the parts of the range that are outside a hole: none, one or two ranges.
    pub fn without(&self, hole: &Self) -> Vec<Self> {
        if !self.overlaps(hole) {
            return vec![*self];
        }
        let before = step(hole.first, false).filter(|_| self.first < hole.first);
        let after = step(hole.last, true).filter(|_| hole.last < self.last);
        let before = before.map(|last| Self { first: self.first, last });
        let after = after.map(|first| Self { first, last: self.last });
        before.into_iter().chain(after).collect()
    }

    /// Returns the smallest set of CIDRs that covers exactly this range.
    pub fn prefixes(&self) -> Vec<IpNet> {
        match (self.first, self.last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                Ipv4Subnets::new(first, last, 0).map(IpNet::V4).collect()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                Ipv6Subnets::new(first, last, 0).map(IpNet::V6).collect()
            }
            _ => Vec::new(), // not constructible: both ends are of one family
        }
    }
}

/// Returns the next address, or the previous one if `up` is false; `None` at the end of the family's address space.
fn step(address: IpAddr, up: bool) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(address) => {
            let number = u32::from(address);
            let next = if up { number.checked_add(1) } else { number.checked_sub(1) };
            std::net::Ipv4Addr::from(next?).into()
        }
        IpAddr::V6(address) => {
            let number = u128::from(address);
            let next = if up { number.checked_add(1) } else { number.checked_sub(1) };
            std::net::Ipv6Addr::from(next?).into()
        }
    })
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(line: &str) -> Result<Self, RangeError> {
        if let Some((first, last)) = line.split_once('-') {
            return Self::between(line, address(line, first)?, address(line, last)?);
        }
        if line.contains('/') {
            let net: IpNet =
                line.trim().parse().map_err(|_| RangeError::Syntax(line.to_owned()))?;
            return Self::between(line, net.network(), net.broadcast());
        }
        Err(RangeError::Syntax(line.to_owned()))
    }
}

impl AddressRange {
    fn between(line: &str, first: IpAddr, last: IpAddr) -> Result<Self, RangeError> {
        if first.is_ipv4() != last.is_ipv4() {
            return Err(RangeError::Families(line.to_owned()));
        }
        if first > last {
            return Err(RangeError::Backwards(line.to_owned()));
        }
        if first != first.to_canonical() || last != last.to_canonical() {
            return Err(RangeError::Mapped(line.to_owned()));
        }
        Ok(Self { first, last })
    }
}

impl std::fmt::Display for AddressRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.prefixes().as_slice() {
            [one] => write!(f, "{one}"),
            _ => write!(f, "{}-{}", self.first, self.last),
        }
    }
}

fn address(line: &str, part: &str) -> Result<IpAddr, RangeError> {
    part.trim()
        .parse()
        .map_err(|_| RangeError::Address { line: line.to_owned(), part: part.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_leaves_what_is_around_it() {
        for (range, hole, left) in [
            ("10.0.0.0/29", "10.0.0.3/32", "10.0.0.0-10.0.0.2 10.0.0.4/30"),
            ("10.0.0.0/30", "10.0.0.0/31", "10.0.0.2/31"),
            ("10.0.0.0/30", "10.0.0.2-10.0.0.9", "10.0.0.0/31"),
            ("10.0.0.0/30", "10.0.0.0/8", ""),
            ("10.0.0.0/30", "10.0.1.0/30", "10.0.0.0/30"),
            ("0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1"),
            ("2001:db8::/127", "2001:db8::/128", "2001:db8::1/128"),
            ("10.0.0.0/30", "2001:db8::/64", "10.0.0.0/30"),
        ] {
            let parse = |line: &str| line.parse::<AddressRange>().unwrap();
            let parts = parse(range).without(&parse(hole));
            let parts: Vec<String> = parts.iter().map(ToString::to_string).collect();
            assert_eq!(parts.join(" "), left, "{range} without {hole}");
        }
    }

    #[test]
    fn lines_are_read_or_refused_with_the_fix() {
        for (line, expected) in [
            ("192.168.1.240/28", "192.168.1.240/28"),
            ("192.168.1.241/28", "192.168.1.240/28"),
            (" 10.0.0.1 - 10.0.0.3 ", "10.0.0.1-10.0.0.3"),
            ("10.0.0.4-10.0.0.7", "10.0.0.4/30"),
            ("2001:db8::/126", "2001:db8::/126"),
            ("10.0.0.300-1", "\"10.0.0.300\" in \"10.0.0.300-1\" is not an IP address"),
            ("10.0.0.9-10.0.0.1", "\"10.0.0.9-10.0.0.1\" ends before it starts: swap its ends"),
            (
                "10.0.0.1",
                "\"10.0.0.1\" is neither a CIDR (192.0.2.0/28) nor a range (192.0.2.1-192.0.2.9)",
            ),
            (
                "10.0.0.1-2001:db8::1",
                "\"10.0.0.1-2001:db8::1\" goes from one address family to the other: write one range per family",
            ),
            (
                "::ffff:10.0.0.0/120",
                "\"::ffff:10.0.0.0/120\" is an IPv4-mapped IPv6 address: write it as IPv4",
            ),
        ] {
            let got = match line.parse::<AddressRange>() {
                Ok(range) => range.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expected, "for {line:?}");
        }
    }
}
