//! Standard (RFC 1997), large (RFC 8092) and extended (RFC 4360) communities, and their text form.
use std::fmt;
use std::str::FromStr;

/// A standard community: 32 bits, written `64512:100` or by its well-known name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub u32);

/// Well-known standard communities, with the names used by IANA and by routers.
const WELL_KNOWN: &[(&str, Community)] = &[
    ("graceful-shutdown", Community::GRACEFUL_SHUTDOWN),
    ("accept-own", Community(0xffff_0001)),
    ("llgr-stale", Community(0xffff_0006)),
    ("no-llgr", Community(0xffff_0007)),
    ("blackhole", Community::BLACKHOLE),
    ("no-export", Community::NO_EXPORT),
    ("no-advertise", Community::NO_ADVERTISE),
    ("no-export-subconfed", Community(0xffff_ff03)),
    ("no-peer", Community(0xffff_ff04)),
];

impl Community {
    /// 65535:0: prefer any other path (RFC 8326).
    pub const GRACEFUL_SHUTDOWN: Self = Self(0xffff_0000);
    /// 65535:666: discard traffic to the prefix (RFC 7999).
    pub const BLACKHOLE: Self = Self(0xffff_029a);
    /// 65535:65281: do not advertise outside the AS (RFC 1997).
    pub const NO_EXPORT: Self = Self(0xffff_ff01);
    /// 65535:65282: do not advertise to any peer (RFC 1997).
    pub const NO_ADVERTISE: Self = Self(0xffff_ff02);

    /// Returns the two 16-bit numbers before and after the colon.
    pub fn halves(self) -> (u16, u16) {
        let [a, b, c, d] = self.0.to_be_bytes();
        (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match WELL_KNOWN.iter().find(|(_, community)| community == self) {
            Some((name, _)) => f.write_str(name),
            None => {
                let (high, low) = self.halves();
                write!(f, "{high}:{low}")
            }
        }
    }
}

/// The error for a text that is not a community.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not {1}")]
pub struct CommunityError(String, &'static str);

impl FromStr for Community {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let well_known = WELL_KNOWN.iter().find(|(name, _)| *name == text);
        let numbers = || {
            let [high, low] = parts(text)?;
            Some(Self(
                u32::from(u16::try_from(high).ok()?) << 16 | u32::from(u16::try_from(low).ok()?),
            ))
        };
        well_known.map(|(_, community)| *community).or_else(numbers).ok_or_else(|| {
            let form = "a community: 64512:100, each half up to 65535, or a name like no-export";
            CommunityError(text.to_owned(), form)
        })
    }
}

/// A large community: three 32-bit numbers, written `64512:1:2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity(pub [u32; 3]);

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [global, first, second] = self.0;
        write!(f, "{global}:{first}:{second}")
    }
}

impl FromStr for LargeCommunity {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parts(text.strip_prefix("large:").unwrap_or(text)).map(Self).ok_or_else(|| {
            CommunityError(
                text.to_owned(),
                "a large community: 64512:1:2, each part up to 4294967295",
            )
        })
    }
}

/// An extended community: 8 octets, written `rt:64512:100`, `soo:…`, `bandwidth:64512:1250000` (octets per second),
/// or `0x` and 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExtendedCommunity(pub [u8; 8]);

impl ExtendedCommunity {
    /// Creates a link bandwidth community (draft-ietf-idr-link-bandwidth) with a rate in octets per second: type
    /// 0x40, subtype 4, a two-octet AS number and an IEEE float. An AS number that needs four octets is replaced by
    /// AS_TRANS.
    pub fn link_bandwidth(asn: u32, octets_per_second: f32) -> Self {
        let [high, low] = u16::try_from(asn).unwrap_or(super::AS_TRANS).to_be_bytes();
        let [a, b, c, d] = octets_per_second.to_be_bytes();
        Self([0x40, 0x04, high, low, a, b, c, d])
    }

    /// Creates a route target or route origin of a two-octet AS (RFC 4360) or of a four-octet AS (RFC 5668). `None`
    /// if the number does not fit beside a four-octet AS.
    fn of_as(subtype: u8, asn: u32, number: u32) -> Option<Self> {
        let [a, b, c, d] = asn.to_be_bytes();
        let [e, f, g, h] = number.to_be_bytes();
        if asn <= 0xffff {
            return Some(Self([0x00, subtype, c, d, e, f, g, h]));
        }
        (number <= 0xffff).then_some(Self([0x02, subtype, a, b, c, d, g, h]))
    }
}

impl fmt::Display for ExtendedCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [kind, subtype, a, b, c, d, e, g] = self.0;
        let name = match subtype {
            2 => "rt",
            3 => "soo",
            _ => "",
        };
        match kind {
            0x00 if !name.is_empty() => {
                let number = u32::from_be_bytes([c, d, e, g]);
                write!(f, "{name}:{}:{number}", u16::from_be_bytes([a, b]))
            }
            // For an AS number below 65536 this text would parse as the two-octet form.
            0x02 if !name.is_empty() && (a, b) != (0, 0) => {
                let asn = u32::from_be_bytes([a, b, c, d]);
                write!(f, "{name}:{asn}:{}", u16::from_be_bytes([e, g]))
            }
            0x40 if subtype == 4 && f32::from_be_bytes([c, d, e, g]).is_finite() => {
                let speed = f32::from_be_bytes([c, d, e, g]);
                write!(f, "bandwidth:{}:{speed}", u16::from_be_bytes([a, b]))
            }
            _ => write!(f, "0x{:016x}", u64::from_be_bytes(self.0)),
        }
    }
}

impl FromStr for ExtendedCommunity {
    type Err = CommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.split_once(':') {
            Some(("rt", rest)) => parts(rest).and_then(|[asn, number]| Self::of_as(2, asn, number)),
            Some(("soo", rest)) => {
                parts(rest).and_then(|[asn, number]| Self::of_as(3, asn, number))
            }
            Some(("bandwidth", rest)) => bandwidth(rest),
            _ => text
                .strip_prefix("0x")
                .filter(|digits| digits.len() == 16)
                .and_then(|digits| u64::from_str_radix(digits, 16).ok())
                .map(|number| Self(number.to_be_bytes())),
        };
        let form = "an extended community: rt:64512:100, soo:64512:100, bandwidth:64512:1250000 or 0x and 16 digits";
        parsed.ok_or_else(|| CommunityError(text.to_owned(), form))
    }
}

fn bandwidth(text: &str) -> Option<ExtendedCommunity> {
    let (asn, speed) = text.split_once(':')?;
    let speed: f32 = speed.parse().ok().filter(|speed: &f32| speed.is_finite())?;
    let asn: u16 = decimal(asn).and_then(|asn| asn.try_into().ok())?;
    Some(ExtendedCommunity::link_bandwidth(asn.into(), speed))
}

fn parts<const COUNT: usize>(text: &str) -> Option<[u32; COUNT]> {
    let numbers: Option<Vec<u32>> = text.split(':').map(decimal).collect();
    numbers?.try_into().ok()
}

/// Parses a number of digits only; `parse` alone would accept `+1`.
fn decimal(text: &str) -> Option<u32> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok())?
}
