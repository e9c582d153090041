//! The watches, answers and beacons of every owner. Pure bookkeeping: no socket, no clock.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use outrigger_sdk::{Beacon, Endpoint, LinkIndex};

use crate::Owner;

/// An address on a link.
pub(super) type LinkAddress = (LinkIndex, IpAddr);

#[derive(Debug, Default)]
pub(super) struct Table {
    watches: HashMap<LinkAddress, BTreeSet<Owner>>,
    answers: HashMap<LinkAddress, Answer>,
    offloads: BTreeMap<(Owner, Endpoint), Work>,
    /// The same offloads, by the address they announce.
    by_address: BTreeSet<(Owner, IpAddr, Endpoint)>,
    /// The beacons among them, by due time.
    due: BTreeSet<(u64, Owner, Endpoint)>,
}

/// The owner that answers for an address on a link, under one or several numbers.
#[derive(Debug)]
struct Answer {
    owner: Owner,
    ids: BTreeSet<Endpoint>,
}

/// The work of an offload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    Answer(LinkAddress),
    Beacon(Emission),
}

/// The progress of a beacon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Emission {
    pub(super) address: IpAddr,
    pub(super) beacon: Beacon,
    /// Number of frames still to send. `None` if the beacon runs until it is ended.
    pub(super) left: Option<u32>,
    /// Time at which the next frame is due, in monotonic microseconds.
    pub(super) due: u64,
}

/// The error of work for a spot for which another owner already answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Taken;

impl Work {
    pub(super) fn spot(&self) -> LinkAddress {
        match self {
            Self::Answer(spot) => *spot,
            Self::Beacon(emission) => (emission.beacon.frame.link, emission.address),
        }
    }
}

impl Table {
    pub(super) fn watch(&mut self, owner: Owner, spot: LinkAddress) {
        self.watches.entry(spot).or_default().insert(owner);
    }

    pub(super) fn unwatch(&mut self, owner: Owner, spot: LinkAddress) {
        if let Some(owners) = self.watches.get_mut(&spot) {
            owners.remove(&owner);
            if owners.is_empty() {
                self.watches.remove(&spot);
            }
        }
    }

    pub(super) fn watchers(&self, spot: LinkAddress) -> impl Iterator<Item = Owner> {
        self.watches.get(&spot).into_iter().flatten().copied()
    }

    pub(super) fn answers(&self, spot: LinkAddress) -> bool {
        self.answers.contains_key(&spot)
    }

    /// Returns true if the kernel should pass frames about a spot.
    pub(super) fn wants(&self, spot: LinkAddress) -> bool {
        self.answers(spot) || self.watches.contains_key(&spot)
    }

    /// Applies work; the previous work of the number ends and is returned. Refused work changes nothing.
    pub(super) fn set(
        &mut self,
        owner: Owner,
        id: Endpoint,
        work: Work,
    ) -> Result<Option<Work>, Taken> {
        if let Work::Answer(spot) = work
            && self.answers.get(&spot).is_some_and(|answer| answer.owner != owner)
        {
            return Err(Taken);
        }
        let before = self.close(owner, id);
        match &work {
            Work::Answer(spot) => {
                let answer = self.answers.entry(*spot);
                answer.or_insert(Answer { owner, ids: BTreeSet::new() }).ids.insert(id);
            }
            Work::Beacon(emission) => {
                self.due.insert((emission.due, owner, id));
            }
        }
        self.by_address.insert((owner, work.spot().1, id));
        self.offloads.insert((owner, id), work);
        Ok(before)
    }

    /// Ends one offload and returns its work.
    pub(super) fn close(&mut self, owner: Owner, id: Endpoint) -> Option<Work> {
        let work = self.offloads.remove(&(owner, id))?;
        self.by_address.remove(&(owner, work.spot().1, id));
        match &work {
            Work::Answer(spot) => {
                if let Some(answer) = self.answers.get_mut(spot) {
                    answer.ids.remove(&id);
                    if answer.ids.is_empty() {
                        self.answers.remove(spot);
                    }
                }
            }
            Work::Beacon(emission) => {
                self.due.remove(&(emission.due, owner, id));
            }
        }
        Some(work)
    }

    pub(super) fn offloads(&self, owner: Owner) -> Vec<Endpoint> {
        self.offloads.range((owner, 0)..=(owner, Endpoint::MAX)).map(|((_, id), _)| *id).collect()
    }

    /// Returns the owner's offloads that announce an address.
    pub(super) fn offloads_for(&self, owner: Owner, address: IpAddr) -> Vec<Endpoint> {
        let range = (owner, address, 0)..=(owner, address, Endpoint::MAX);
        self.by_address.range(range).map(|(.., id)| *id).collect()
    }

    /// Returns the offloads for which `which` returns true.
    pub(super) fn offloads_where(&self, which: impl Fn(&Work) -> bool) -> Vec<(Owner, Endpoint)> {
        self.offloads.iter().filter(|(_, work)| which(work)).map(|(key, _)| *key).collect()
    }

    /// Returns the spots that this owner watches.
    pub(super) fn watched_by(&self, owner: Owner) -> Vec<LinkAddress> {
        self.watches
            .iter()
            .filter(|(_, owners)| owners.contains(&owner))
            .map(|(spot, _)| *spot)
            .collect()
    }

    /// Ends every watch on a link.
    pub(super) fn unwatch_link(&mut self, link: LinkIndex) {
        self.watches.retain(|spot, _| spot.0 != link);
    }

    /// Returns the time at which the next beacon is due.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.due.first().map(|(due, ..)| *due)
    }

    /// Removes and returns a beacon that is due.
    pub(super) fn take_due(&mut self, now: u64) -> Option<(Owner, Endpoint, Emission)> {
        let &(_, owner, id) = self.due.first().filter(|(due, ..)| *due <= now)?;
        match self.close(owner, id)? {
            Work::Beacon(emission) => Some((owner, id, emission)),
            Work::Answer(_) => unreachable!("only beacons are due"),
        }
    }
}

#[cfg(test)]
mod tests;
