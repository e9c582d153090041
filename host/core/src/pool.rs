//! The addresses that a pool may assign, as one dense row of numbers per family, so that "the n-th address" and "the
//! number of this address" take O(log ranges) and nothing is ever enumerated. Does not know which addresses are held.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use outrigger_sdk::Family;

use crate::facts::{AddressRange, Pool};

mod held;
#[cfg(test)]
mod tests;

pub use held::Held;

/// The space of addresses that a pool may assign: its addresses without its exclusions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpace {
    ipv4: Row,
    ipv6: Row,
}

/// The row of one family. `runs` are sorted and disjoint, in coordinates (see [`Row::coordinate`]).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    runs: Vec<Run>,
    /// Number of addresses in the row. Saturates for `::/0`, whose last address is then never assigned.
    total: u128,
    /// True if coordinates skip IPv4 addresses ending in .0 and .255.
    skips_buggy: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: u128,
    last: u128,
    /// Number of addresses in the runs before this one.
    below: u128,
}

/// First and last number of a range, both included.
type Bounds = (u128, u128);

impl PoolSpace {
    /// Creates the space of a pool.
    pub fn new(pool: &Pool) -> Self {
        let row = |family, skips_buggy| {
            Row::new(&bounds(&pool.addresses, family), &bounds(&pool.exclude, family), skips_buggy)
        };
        Self { ipv4: row(Family::Ipv4, pool.avoid_buggy_ips), ipv6: row(Family::Ipv6, false) }
    }

    /// Returns the number of addresses of this family that may be assigned.
    pub fn total(&self, family: Family) -> u128 {
        self.row(family).total
    }

    /// Returns the number of an address; `None` if it may not be assigned.
    pub fn index(&self, address: IpAddr) -> Option<u128> {
        // An IPv4-mapped address is never written as IPv6, not even if a pool is as wide as ::/0.
        if address != address.to_canonical() {
            return None;
        }
        self.row(Family::of(&address)).index(number(address))
    }

    /// Returns the address with this number; `None` if the number is too large.
    pub fn address(&self, family: Family, index: u128) -> Option<IpAddr> {
        let number = self.row(family).number(index)?;
        Some(match family {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::from(u32::try_from(number).ok()?)),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::from(number)),
        })
    }

    /// Returns the number of assignable addresses that are not above this one, which need not be assignable itself.
    pub fn up_to(&self, address: IpAddr) -> u128 {
        self.row(Family::of(&address)).up_to(number(address))
    }

    fn row(&self, family: Family) -> &Row {
        match family {
            Family::Ipv4 => &self.ipv4,
            Family::Ipv6 => &self.ipv6,
        }
    }
}

impl Row {
    fn new(ranges: &[Bounds], holes: &[Bounds], skips_buggy: bool) -> Self {
        let mut row = Self { runs: Vec::new(), total: 0, skips_buggy };
        for (first, last) in without(&merged(ranges), &merged(holes)) {
            let (Some(first), Some(last)) = (row.at_or_after(first), row.at_or_before(last)) else {
                continue;
            };
            if first <= last {
                row.runs.push(Run { first, last, below: row.total });
                row.total = row.total.saturating_add(last - first).saturating_add(1);
            }
        }
        row
    }

    fn index(&self, number: u128) -> Option<u128> {
        let coordinate = self.coordinate(number)?;
        let run = self.runs.get(self.runs_from(coordinate).checked_sub(1)?)?;
        (coordinate <= run.last).then(|| run.below + (coordinate - run.first))
    }

    fn number(&self, index: u128) -> Option<u128> {
        if index >= self.total {
            return None;
        }
        let run = self.runs.get(self.runs.partition_point(|run| run.below <= index) - 1)?;
        let coordinate = run.first + (index - run.below);
        Some(if self.skips_buggy {
            (coordinate / 254) << 8 | (coordinate % 254 + 1)
        } else {
            coordinate
        })
    }

    fn up_to(&self, number: u128) -> u128 {
        let Some(coordinate) = self.at_or_before(number) else { return 0 };
        match self.runs_from(coordinate) {
            0 => 0,
            n => {
                let run = self.runs[n - 1];
                run.below + (coordinate.min(run.last) - run.first).saturating_add(1)
            }
        }
    }

    /// Returns the number of runs that begin at or below this coordinate.
    fn runs_from(&self, coordinate: u128) -> usize {
        self.runs.partition_point(|run| run.first <= coordinate)
    }

    /// Returns the position of an address in the row of all addresses that can ever be assigned. Leaving out two in
    /// 256 keeps the order, so that ranges stay ranges and a /8 needs no 65,536 pieces.
    fn coordinate(&self, number: u128) -> Option<u128> {
        match (self.skips_buggy, number & 0xff) {
            (false, _) => Some(number),
            (true, 0 | 255) => None,
            (true, octet) => Some((number >> 8) * 254 + octet - 1),
        }
    }

    fn at_or_after(&self, number: u128) -> Option<u128> {
        match number & 0xff {
            0 => self.coordinate(number).or_else(|| self.coordinate(number + 1)),
            255 => self.coordinate(number).or_else(|| self.coordinate(number + 2)),
            _ => self.coordinate(number),
        }
    }

    fn at_or_before(&self, number: u128) -> Option<u128> {
        match number & 0xff {
            0 => self.coordinate(number).or_else(|| self.coordinate(number.checked_sub(2)?)),
            255 => self.coordinate(number).or_else(|| self.coordinate(number - 1)),
            _ => self.coordinate(number),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn bounds(ranges: &[AddressRange], family: Family) -> Vec<Bounds> {
    let of_family = ranges.iter().filter(|range| range.family() == family);
    of_family.map(|range| (number(range.first()), number(range.last()))).collect()
}

fn merged(ranges: &[Bounds]) -> Vec<Bounds> {
    let mut sorted = ranges.to_vec();
    sorted.sort_unstable();
    let mut out: Vec<Bounds> = Vec::new();
    for (first, last) in sorted {
        match out.last_mut() {
            Some(previous) if first <= previous.1.saturating_add(1) => {
                previous.1 = previous.1.max(last);
            }
            _ => out.push((first, last)),
        }
    }
    out
}

fn without(ranges: &[Bounds], holes: &[Bounds]) -> Vec<Bounds> {
    let mut out = Vec::new();
    for &(first, last) in ranges {
        let begin = holes.partition_point(|hole| hole.1 < first);
        let mut rest = Some(first);
        for &(hole_first, hole_last) in holes[begin..].iter().take_while(|hole| hole.0 <= last) {
            let Some(from) = rest else { break };
            if from < hole_first {
                out.push((from, hole_first - 1));
            }
            rest = (hole_last < last).then(|| hole_last + 1);
        }
        out.extend(rest.map(|from| (from, last)));
    }
    out
}
