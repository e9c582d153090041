//! Addresses for which the segment is asked before this node begins to announce them. Must not know how the segment is
//! asked.
use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segment {
    Asked,
    /// No host answered.
    Silent,
    /// Another host answered.
    Answered,
}

#[derive(Debug, Default)]
pub(super) struct SegmentProbes {
    segments: BTreeMap<IpAddr, Segment>,
    /// Addresses that have yet to be asked for.
    new: Vec<IpAddr>,
}

impl SegmentProbes {
    /// Returns true if the segment was asked and no host answered.
    pub fn is_free(&self, address: IpAddr) -> bool {
        self.segments.get(&address) == Some(&Segment::Silent)
    }

    /// Queues a question for the address, unless it was already asked for.
    pub fn ask(&mut self, address: IpAddr) {
        self.segments.entry(address).or_insert_with(|| {
            self.new.push(address);
            Segment::Asked
        });
    }

    /// Records the answer of the segment. Returns false if it is no longer needed.
    pub fn hear(&mut self, address: IpAddr, answered: bool) -> bool {
        let Some(segment) = self.segments.get_mut(&address) else { return false };
        *segment = if answered { Segment::Answered } else { Segment::Silent };
        true
    }

    /// Forgets that the address was free, because this node stops announcing it and must ask again before it begins
    /// again.
    pub fn give_up(&mut self, address: IpAddr) {
        if self.segments.get(&address) == Some(&Segment::Silent) {
            self.segments.remove(&address);
        }
    }

    pub fn forget(&mut self, address: IpAddr) {
        self.segments.remove(&address);
    }

    /// Cancels all questions. Returns the addresses that were waiting.
    pub fn clear(&mut self) -> Vec<IpAddr> {
        self.new.clear();
        std::mem::take(&mut self.segments).into_keys().collect()
    }

    pub fn take_new(&mut self) -> Vec<IpAddr> {
        std::mem::take(&mut self.new)
    }
}
