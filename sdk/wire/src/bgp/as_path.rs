//! AS_PATH: the ASes a route passed through. Handles no other attribute.
use std::fmt;

use super::octets::Octets;
use super::open::AS_TRANS;

/// An AS_PATH (RFC 4271 section 4.3 b), empty for routes that originate in this AS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AsPath(pub Vec<Segment>);

/// One segment of an AS_PATH. On the wire it has at most 255 ASes; longer ones are encoded as several segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// Ordered or unordered.
    pub kind: SegmentKind,
    /// AS numbers, at least one.
    pub asns: Vec<u32>,
}

/// The type of a path segment. The types of confederations (RFC 5065) must not leave a confederation and are
/// malformed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentKind {
    /// 1: AS_SET, unordered.
    Set,
    /// 2: AS_SEQUENCE, ordered.
    Sequence,
}

impl AsPath {
    /// Creates a path with one AS_SEQUENCE, or an empty path if there are no ASes.
    pub fn sequence(asns: impl IntoIterator<Item = u32>) -> Self {
        let asns: Vec<u32> = asns.into_iter().collect();
        let segment = Segment { kind: SegmentKind::Sequence, asns };
        Self(if segment.asns.is_empty() { Vec::new() } else { vec![segment] })
    }

    /// Returns all AS numbers in order, including those in sets.
    pub fn asns(&self) -> impl Iterator<Item = u32> {
        self.0.iter().flat_map(|segment| segment.asns.iter().copied())
    }

    /// Returns the number of ASes as used in route selection, where a set counts as one (RFC 4271 section 9.1.2.2 a).
    pub fn hops(&self) -> usize {
        let hops = |segment: &Segment| match segment.kind {
            SegmentKind::Set => 1,
            SegmentKind::Sequence => segment.asns.len(),
        };
        self.0.iter().map(hops).sum()
    }

    /// Returns true if any AS number needs four octets.
    pub(crate) fn is_wide(&self) -> bool {
        self.asns().any(|asn| u16::try_from(asn).is_err())
    }

    /// Decodes an attribute value. Returns the error as text if it is malformed (RFC 7606 section 7.2, RFC 7607
    /// section 2).
    pub(crate) fn decode(value: &[u8], four_octet: bool) -> Result<Self, &'static str> {
        let mut octets = Octets(value);
        let mut segments = Vec::new();
        while !octets.is_empty() {
            let kind = match octets.u8() {
                Some(1) => SegmentKind::Set,
                Some(2) => SegmentKind::Sequence,
                Some(3 | 4) => return Err("a confederation segment from outside a confederation"),
                _ => return Err("an unknown segment type"),
            };
            let count = usize::from(octets.u8().ok_or("a segment without a length")?);
            if count == 0 {
                return Err("a segment without an AS");
            }
            let width = if four_octet { 4 } else { 2 };
            let asns = octets.take(count * width).ok_or("a segment that runs past the end")?;
            let asns: Vec<u32> = asns.chunks_exact(width).map(number).collect();
            if asns.contains(&0) {
                return Err("AS 0");
            }
            segments.push(Segment { kind, asns });
        }
        Ok(Self(segments))
    }

    pub(crate) fn encode(&self, four_octet: bool) -> Vec<u8> {
        let mut value = Vec::new();
        for segment in &self.0 {
            for asns in segment.asns.chunks(usize::from(u8::MAX)) {
                value.push(match segment.kind {
                    SegmentKind::Set => 1,
                    SegmentKind::Sequence => 2,
                });
                value.push(u8::try_from(asns.len()).expect("chunks of at most 255"));
                for asn in asns {
                    if four_octet {
                        value.extend(asn.to_be_bytes());
                    } else {
                        value.extend(u16::try_from(*asn).unwrap_or(AS_TRANS).to_be_bytes());
                    }
                }
            }
        }
        value
    }

    /// Merges the AS_PATH of an OLD speaker with its AS4_PATH (RFC 6793 section 4.2.3): the ASes by which AS_PATH is
    /// longer, followed by those of AS4_PATH. An AS4_PATH that is longer than the AS_PATH is ignored.
    pub(crate) fn merged_with(self, as4_path: Self) -> Self {
        let Some(mut more) = self.hops().checked_sub(as4_path.hops()) else { return self };
        let mut segments = Vec::new();
        for mut segment in self.0 {
            if more == 0 {
                break;
            }
            match segment.kind {
                SegmentKind::Set => more -= 1,
                SegmentKind::Sequence => {
                    segment.asns.truncate(more);
                    more -= segment.asns.len();
                }
            }
            segments.push(segment);
        }
        for segment in as4_path.0 {
            match segments.last_mut() {
                Some(last)
                    if last.kind == SegmentKind::Sequence
                        && segment.kind == SegmentKind::Sequence =>
                {
                    last.asns.extend(segment.asns);
                }
                _ => segments.push(segment),
            }
        }
        Self(segments)
    }
}

fn number(octets: &[u8]) -> u32 {
    octets.iter().fold(0, |number, octet| number << 8 | u32::from(*octet))
}

/// Writes the path as routers display it: `64512 64513 {65001,65002}`.
impl fmt::Display for AsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            let (open, between, close) = match segment.kind {
                SegmentKind::Set => ("{", ",", "}"),
                SegmentKind::Sequence => ("", " ", ""),
            };
            f.write_str(if index > 0 { " " } else { "" })?;
            f.write_str(open)?;
            for (index, asn) in segment.asns.iter().enumerate() {
                write!(f, "{}{asn}", if index > 0 { between } else { "" })?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}
