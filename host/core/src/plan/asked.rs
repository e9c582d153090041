//! Addresses for which the segment is asked before this node begins to announce them. Must not know how, or of whom.
use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Segment {
    Asked,
    /// Nobody answered.
    Silent,
    /// Somebody did.
    Answered,
}

#[derive(Debug, Default)]
pub(super) struct Asked {
    segments: BTreeMap<IpAddr, Segment>,
    /// To be asked from now on.
    new: Vec<IpAddr>,
}

impl Asked {
    /// True: it was asked for, and nobody answered.
    pub fn is_free(&self, address: IpAddr) -> bool {
        self.segments.get(&address) == Some(&Segment::Silent)
    }

    /// Has it asked for, unless it was already.
    pub fn ask(&mut self, address: IpAddr) {
        self.segments.entry(address).or_insert_with(|| {
            self.new.push(address);
            Segment::Asked
        });
    }

    /// Takes in the answer of the segment. Returns false when nobody wants to know any more.
    pub fn hear(&mut self, address: IpAddr, answered: bool) -> bool {
        let Some(segment) = self.segments.get_mut(&address) else { return false };
        *segment = if answered { Segment::Answered } else { Segment::Silent };
        true
    }

    /// This node ends announcing it: it is asked for anew before it begins again.
    pub fn give_up(&mut self, address: IpAddr) {
        if self.segments.get(&address) == Some(&Segment::Silent) {
            self.segments.remove(&address);
        }
    }

    pub fn forget(&mut self, address: IpAddr) {
        self.segments.remove(&address);
    }

    /// Nobody need be asked. Gives what was waited for.
    pub fn clear(&mut self) -> Vec<IpAddr> {
        self.new.clear();
        std::mem::take(&mut self.segments).into_keys().collect()
    }

    pub fn take_new(&mut self) -> Vec<IpAddr> {
        std::mem::take(&mut self.new)
    }
}
