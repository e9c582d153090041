//! How claims get from each node to all others: a numbered log of changes, sent until acknowledged. Knows nothing of
//! sockets, keys or time.
//!
//! Each change of this node's claims has a number. Every alive member acknowledges the number up to which it knows
//! them, and gets the rest, so that loss, reordering and replay do no harm: a chunk that starts beyond what is known
//! or ends within it changes nothing. An address changes its place in the log instead of having two, so a chunk that
//! overlaps what is known brings only what is newer.
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::message::{Ack, Chunk, Entry};
use super::{Claim, ClaimChanges};

/// Entries in one chunk: with IPv6 addresses and the longest node name it fits a datagram.
const CHUNK: usize = 32;
/// Changes on their way to one member before an acknowledgement comes: 32 datagrams.
const WINDOW: u64 = 1024;
/// A log with this many withdrawn claims, and more of them than live ones, starts anew.
const STALE: usize = 4096;

/// This node's claims as changes in order.
pub(super) struct Log {
    number: u64,
    version: u64,
    leaving: bool,
    changes: BTreeMap<u64, (IpAddr, Option<Claim>)>,
    places: BTreeMap<IpAddr, u64>,
    live: usize,
}

/// What is known of another member, and how much of our log it has.
pub(super) struct Peer {
    pub address: SocketAddr,
    pub generation: u64,
    /// In force: while a new life's claims are still coming in, those of the life before.
    pub claims: BTreeMap<IpAddr, Claim>,
    pub leaving: bool,
    /// All claims of this life are here.
    pub complete: bool,
    /// The number of what was said last of each announcer.
    pub readiness: BTreeMap<String, u64>,
    coming: BTreeMap<IpAddr, Claim>,
    /// Among what is coming: taken back.
    ended: BTreeSet<IpAddr>,
    log: u64,
    known: u64,
    acked: u64,
    sent: u64,
}

/// What a chunk changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    pub addresses: BTreeSet<IpAddr>,
    /// Claimed and taken back before this member was heard.
    pub ended: BTreeSet<IpAddr>,
    pub leaving: bool,
    pub completed: bool,
}

impl Log {
    pub fn new() -> Self {
        // Version 1 is "no claims": a member that knows 0 has not heard even that.
        Self {
            number: 0,
            version: 1,
            leaving: false,
            changes: BTreeMap::new(),
            places: BTreeMap::new(),
            live: 0,
        }
    }

    /// Takes changes in, skips what is already so. True if the log must be told again from the start.
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

    /// A chunk that is known to whoever knows all.
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

    /// Another life of the same node, which went on without a break as far as anyone saw.
    pub fn renew(&mut self, address: SocketAddr, generation: u64) {
        let before = std::mem::replace(self, Self::new(address, generation));
        self.claims = before.claims;
        self.leaving = before.leaving;
    }

    /// Takes a chunk of this member's claims in.
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

    /// True: nothing that this chunk ends with, or came before it, is missing.
    pub fn has_all(&self, chunk: &Chunk) -> bool {
        self.complete && chunk.log == self.log && chunk.version <= self.known
    }

    pub fn ack(&self) -> Ack {
        Ack { of: self.generation, log: self.log, known: self.known }
    }

    /// The member says how far it is.
    pub fn acknowledge(&mut self, log: &Log, ack: Ack) {
        let known = if ack.log == log.number { ack.known.min(log.version) } else { 0 };
        let back = known < self.acked;
        self.acked = known;
        self.sent = if back { known } else { self.sent.max(known) };
    }

    pub fn knows_all(&self, log: &Log) -> bool {
        self.acked >= log.version
    }

    /// Whether it lacks something of ours, or we of it.
    pub fn behind(&self, log: &Log) -> bool {
        !self.knows_all(log) || !self.complete
    }

    /// Begins again at what the member acknowledged: what was sent since may be lost.
    pub fn rewind(&mut self) {
        self.sent = self.acked;
    }

    /// The log was begun anew.
    pub fn restart(&mut self) {
        (self.acked, self.sent) = (0, 0);
    }

    /// What to send now.
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

/// Which addresses changed.
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
