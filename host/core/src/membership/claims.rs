//! Delivery of claims from each node to all others: a numbered log of changes, sent until acknowledged. Must not know
//! sockets, keys or time.
//!
//! Each change of this node's claims has a number. Every alive member acknowledges the number up to which it knows the
//! changes, and receives the rest, so that loss, reordering and replay do no harm: a chunk that starts beyond the known
//! changes or ends within them changes nothing. An address moves to a new place in the log instead of having two
//! places, so a chunk that overlaps the known changes adds only newer ones.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::message::{Ack, Chunk, Entry};
use super::{Claim, ClaimChanges};

/// Maximum number of entries in one chunk, which fits a datagram with IPv6 addresses and the longest node name.
const CHUNK: usize = 32;
/// Maximum number of changes sent to one member without an acknowledgement: 32 datagrams.
const WINDOW: u64 = 1024;
/// Number of withdrawn claims at which a log is replaced with a new one, if there are also at least as many of them as
/// live claims.
const STALE: usize = 4096;

/// This node's claims as an ordered log of changes.
pub(super) struct Log {
    number: u64,
    version: u64,
    leaving: bool,
    changes: BTreeMap<u64, (IpAddr, Option<Claim>)>,
    places: BTreeMap<IpAddr, u64>,
    live: usize,
}

/// The state known of another member, and the part of our log that it has.
pub(super) struct Peer {
    pub address: SocketAddr,
    pub generation: u64,
    /// The claims that apply. While the claims of a new generation are still arriving, they are those of the previous
    /// one.
    pub claims: BTreeMap<IpAddr, Claim>,
    pub leaving: bool,
    /// True if all claims of this generation have arrived.
    pub complete: bool,
    /// Number of the last message about each announcer.
    pub readiness: BTreeMap<String, u64>,
    coming: BTreeMap<IpAddr, Claim>,
    /// Addresses withdrawn in the part of the log that has arrived.
    ended: BTreeSet<IpAddr>,
    log: u64,
    known: u64,
    acked: u64,
    sent: u64,
}

/// The changes made by a chunk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    pub addresses: BTreeSet<IpAddr>,
    /// Addresses that were claimed and withdrawn before this node received the claim.
    pub ended: BTreeSet<IpAddr>,
    pub leaving: bool,
    pub completed: bool,
}

impl Log {
    pub fn new() -> Self {
        // Version 1 means "no claims"; a member that knows 0 has not received even that.
        Self {
            number: 0,
            version: 1,
            leaving: false,
            changes: BTreeMap::new(),
            places: BTreeMap::new(),
            live: 0,
        }
    }

    /// Appends changes to the log, and skips claims that are unchanged. Returns true if the log must be sent again from
    /// the start.
    pub fn apply(&mut self, changes: &ClaimChanges) -> bool {
        for (address, claim) in changes {
            let place = self.places.get(address).copied();
            let before =
                place.and_then(|place| self.changes.get(&place)).and_then(|change| change.1);
            if before == *claim {
                continue;
            }
            if let Some(place) = place {
                self.changes.remove(&place);
            }
            self.push(*address, *claim);
            self.live = self.live + usize::from(claim.is_some()) - usize::from(before.is_some());
        }
        self.compact()
    }

    #[cfg(test)]
    pub fn claims(&self) -> BTreeMap<IpAddr, Claim> {
        let changes = self.changes.values();
        changes.filter_map(|(address, claim)| Some((*address, (*claim)?))).collect()
    }

    pub fn leave(&mut self) {
        self.leaving = true;
        self.version += 1;
    }

    fn push(&mut self, address: IpAddr, claim: Option<Claim>) {
        self.version += 1;
        self.changes.insert(self.version, (address, claim));
        self.places.insert(address, self.version);
    }

    fn compact(&mut self) -> bool {
        let stale = self.changes.len() - self.live;
        if stale < STALE || stale < self.live {
            return false;
        }
        let before = std::mem::take(&mut self.changes);
        self.places.clear();
        self.number += 1;
        self.version = 1;
        for (address, claim) in before.into_values().filter(|(_, claim)| claim.is_some()) {
            self.push(address, claim);
        }
        true
    }

    /// Returns the chunk at the end of the log, which adds nothing for a member that knows all claims.
    pub fn end(&self) -> Chunk {
        self.chunk(self.version)
    }

    fn chunk(&self, base: u64) -> Chunk {
        let mut entries: Vec<Entry> = Vec::new();
        let mut upto = self.version;
        for (place, (address, claim)) in self.changes.range(base + 1..) {
            if entries.len() == CHUNK {
                upto = place - 1;
                break;
            }
            entries.push((*address, claim.map(|claim| (claim.term, claim.announced))));
        }
        let (log, version, leaving) = (self.number, self.version, self.leaving);
        Chunk { log, base, upto, version, leaving, entries }
    }
}

impl Peer {
    pub fn new(address: SocketAddr, generation: u64) -> Self {
        Self {
            address,
            generation,
            claims: BTreeMap::new(),
            leaving: false,
            complete: false,
            readiness: BTreeMap::new(),
            coming: BTreeMap::new(),
            ended: BTreeSet::new(),
            log: 0,
            known: 0,
            acked: 0,
            sent: 0,
        }
    }

    /// Starts a new generation of the same node, which continued without a break as far as any node observed.
    pub fn renew(&mut self, address: SocketAddr, generation: u64) {
        let before = std::mem::replace(self, Self::new(address, generation));
        self.claims = before.claims;
        self.leaving = before.leaving;
    }

    /// Applies a chunk of this member's claims.
    pub fn learn(&mut self, chunk: &Chunk) -> Learned {
        if chunk.log > self.log {
            (self.log, self.known, self.complete) = (chunk.log, 0, false);
        }
        let next = chunk.base <= self.known && self.known < chunk.upto;
        if chunk.log < self.log || !next {
            return Learned::default();
        }
        if chunk.base == 0 {
            self.coming.clear();
            self.ended.clear();
            self.complete = false;
        }
        self.known = chunk.upto;
        let leaving = std::mem::replace(&mut self.leaving, chunk.leaving) != chunk.leaving;
        if self.complete {
            let claimed = |address: &IpAddr| self.claims.contains_key(address);
            let unheard_of = taken_back(chunk).filter(|address| !claimed(address)).collect();
            let addresses = put(&mut self.claims, &chunk.entries);
            return Learned { addresses, ended: unheard_of, leaving, ..Learned::default() };
        }
        put(&mut self.coming, &chunk.entries);
        self.ended.extend(taken_back(chunk));
        if chunk.upto < chunk.version {
            return Learned { leaving, ..Learned::default() };
        }
        self.complete = true;
        let before = std::mem::replace(&mut self.claims, std::mem::take(&mut self.coming));
        let ended = std::mem::take(&mut self.ended);
        Learned { addresses: differences(&before, &self.claims), ended, leaving, completed: true }
    }

    /// Returns true if the claims up to and including the end of this chunk's log are complete.
    pub fn has_all(&self, chunk: &Chunk) -> bool {
        self.complete && chunk.log == self.log && chunk.version <= self.known
    }

    pub fn ack(&self) -> Ack {
        Ack { of: self.generation, log: self.log, known: self.known }
    }

    /// Applies the member's acknowledgement.
    pub fn acknowledge(&mut self, log: &Log, ack: Ack) {
        let known = if ack.log == log.number { ack.known.min(log.version) } else { 0 };
        let back = known < self.acked;
        self.acked = known;
        self.sent = if back { known } else { self.sent.max(known) };
    }

    pub fn knows_all(&self, log: &Log) -> bool {
        self.acked >= log.version
    }

    /// Returns true if the member lacks some of our claims, or this node some of its.
    pub fn behind(&self, log: &Log) -> bool {
        !self.knows_all(log) || !self.complete
    }

    /// Starts again at the position that the member acknowledged, because later chunks may be lost.
    pub fn rewind(&mut self) {
        self.sent = self.acked;
    }

    /// Starts from the beginning, because the log was replaced.
    pub fn restart(&mut self) {
        (self.acked, self.sent) = (0, 0);
    }

    /// Returns the chunks to send now.
    pub fn chunks(&mut self, log: &Log) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        while self.sent < log.version && self.sent - self.acked < WINDOW {
            let chunk = log.chunk(self.sent);
            self.sent = chunk.upto;
            chunks.push(chunk);
        }
        chunks
    }
}

fn taken_back(chunk: &Chunk) -> impl Iterator<Item = IpAddr> {
    chunk.entries.iter().filter(|(_, claim)| claim.is_none()).map(|(address, _)| *address)
}

/// Applies entries to the claims. Returns the addresses that changed.
fn put(claims: &mut BTreeMap<IpAddr, Claim>, entries: &[Entry]) -> BTreeSet<IpAddr> {
    let mut changed = BTreeSet::new();
    for (address, entry) in entries {
        let claim = entry.map(|(term, announced)| Claim { term, announced });
        let before = match claim {
            Some(claim) => claims.insert(*address, claim),
            None => claims.remove(address),
        };
        if before != claim {
            changed.insert(*address);
        }
    }
    changed
}

fn differences(
    before: &BTreeMap<IpAddr, Claim>,
    after: &BTreeMap<IpAddr, Claim>,
) -> BTreeSet<IpAddr> {
    let all = before.keys().chain(after.keys());
    all.filter(|address| before.get(address) != after.get(address)).copied().collect()
}
