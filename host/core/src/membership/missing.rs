//! Members that were declared down. A closed port looks like a death, and one node that receives no gossip would take
//! over all addresses of the others. Therefore a member is asked directly, by gossip and on the segment, before its
//! claims are removed (invariant 11). A member that answers for an address there is alive; it is partitioned, and keeps
//! each claim while it answers for the address. Must not know how the segment is asked.
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::claims::Peer;
use super::outlook::LATELY_US;
use super::{Hearing, Membership, MembershipConfig, NodeName};

/// Interval between two questions to a partitioned member.
const ASK_AGAIN_US: u64 = 100_000;
/// Time without an answer after which a partitioned member is given up: six questions in a row.
pub(super) const SILENT_US: u64 = 600_000;
/// Delay before a node takes over if it receives no gossip and its segment is silent too. Such a node is either the one
/// that is cut off, or the last one left.
const CUT_OFF_US: u64 = 2_000_000;
/// Time after which a segment on which another host was observed may be silent.
const LIVES_US: u64 = 300_000;
/// Interval at which a node that receives no gossip checks whether its segment is alive.
const LOOK_US: u64 = 20_000;
/// Number of addresses that a member is asked for at once, rotating through all that it claims: [`SAMPLE`] before it is
/// given up, and [`FEW`] while it is partitioned.
const SAMPLE: usize = 8;
const FEW: usize = 2;
/// Number of unanswered questions for an address after which a partitioned member that answered for others no longer
/// counts as answering for it.
const UNANSWERED: u8 = 6;

/// A member that was declared down.
pub(super) struct Missing {
    since_us: u64,
    /// Time of the decision.
    until_us: u64,
    ask_at: u64,
    /// Index of the claim to ask for next.
    turn: usize,
    /// Time of its last answer on the segment.
    pub(super) answered_us: Option<u64>,
    /// Number of questions since the last answer, by address.
    pub(super) unanswered: BTreeMap<IpAddr, u8>,
    /// The state known of it before; `None` if it is not partitioned.
    pub(super) parted: Option<Peer>,
}

impl Missing {
    pub fn new(now_us: u64, wait_us: u64) -> Self {
        Self {
            since_us: now_us,
            until_us: now_us.saturating_add(wait_us),
            ask_at: now_us,
            turn: 0,
            answered_us: None,
            unanswered: BTreeMap::new(),
            parted: None,
        }
    }

    /// Returns the next of the member's announced addresses.
    fn sample(&mut self, peer: Option<&Peer>, most: usize) -> Vec<IpAddr> {
        let claims = peer.into_iter().flat_map(|peer| &peer.claims);
        let announced: Vec<IpAddr> =
            claims.filter(|(_, claim)| claim.announced).map(|(address, _)| *address).collect();
        let next = announced.iter().cycle().skip(self.turn % announced.len().max(1));
        let sample: Vec<_> = next.take(most.min(announced.len())).copied().collect();
        self.turn = self.turn.wrapping_add(sample.len());
        for address in &sample {
            let count = self.unanswered.entry(*address).or_default();
            *count = count.saturating_add(1);
        }
        sample
    }
}

impl Membership {
    /// Handles that a member was declared down, by any node. It rejoins with a new generation if it can. A member that
    /// is leaving is removed at once, because it has announced that.
    pub(super) fn missed(&mut self, now_us: u64, name: &str) {
        let Some(member) = self.view.members.get(name) else { return };
        if member.leaving {
            return self.went(now_us, name);
        }
        if self.missing.contains_key(name) {
            return;
        }
        let address = member.address;
        self.missing.insert(name.to_owned(), Missing::new(now_us, self.config.probe_rtt_us));
        self.ask(now_us);
        self.announce_soon(now_us);
        let turn = self.swim.announce(now_us, name, address);
        self.absorb(now_us, turn);
    }

    /// Queues questions to the segment for the addresses of missing members.
    pub(super) fn ask(&mut self, now_us: u64) {
        let wait_us = self.config.probe_rtt_us;
        let mut lost = Vec::new();
        for (name, missing) in &mut self.missing {
            if missing.ask_at > now_us {
                continue;
            }
            let decides_soon = missing.since_us + wait_us > now_us;
            let (pause_us, most) =
                if decides_soon { (wait_us / 4, SAMPLE) } else { (ASK_AGAIN_US, FEW) };
            missing.ask_at = now_us.saturating_add(pause_us.max(1));
            let peer = missing.parted.take();
            let addresses = missing.sample(peer.as_ref().or_else(|| self.peers.get(name)), most);
            missing.parted = peer;
            if addresses.is_empty() {
                continue;
            }
            if missing.parted.is_some() && missing.answered_us.is_some() {
                let silent = missing.unanswered.extract_if(.., |_, count| *count > UNANSWERED);
                lost.extend(silent.map(|(address, _)| (name.clone(), address)));
            }
            self.questions.push_back((name.clone(), addresses));
        }
        for (name, address) in lost {
            self.end_claim(&name, address);
        }
    }

    /// Ends the claim of a partitioned member that answers for other addresses and not for this one: it gave the
    /// address up, or never learned that it should have it.
    fn end_claim(&mut self, name: &str, address: IpAddr) {
        let missing = self.missing.get_mut(name);
        let Some(peer) = missing.and_then(|missing| missing.parted.as_mut()) else { return };
        peer.claims.remove(&address);
        self.view.set(address, name, None);
        self.change.addresses.insert(address);
        self.change.lapsed.insert(address);
    }

    /// Records that a missing member answered on the segment for an address that it was asked for.
    pub fn answered(&mut self, now_us: u64, name: &str, address: IpAddr) {
        self.wake(now_us);
        if let Some(missing) = self.missing.get_mut(name) {
            missing.answered_us = Some(now_us);
            missing.unanswered.remove(&address);
        }
    }

    /// Returns the time until which a missing member counts as alive. A member that still sends is alive, and does not
    /// receive this node: the last datagram of a dead one came longer ago than it takes to declare it down. An answer
    /// on the segment takes precedence.
    fn alive_us(&self, name: &str, missing: &Missing) -> u64 {
        if let Some(at) = missing.answered_us {
            return at.saturating_add(SILENT_US);
        }
        let MembershipConfig { probe_interval_us, announce_us, announce_again_us, .. } =
            self.config;
        let address = self.view.members.get(name).map(|member| member.address);
        let heard_us = address.and_then(|address| self.heard.get(&address)).copied();
        let spoke = heard_us.filter(|at| *at + probe_interval_us * 3 / 2 >= missing.since_us);
        // Interval at which the member announces itself to this node, if it considers this node dead. It may have done
        // so for longer than `since_us`.
        let calls_us = match missing.since_us.saturating_add(LATELY_US * 3 / 4) {
            early if spoke.is_some_and(|at| at < early) => announce_again_us,
            _ => announce_us,
        };
        spoke.map_or(0, |at| at.saturating_add(3 * calls_us))
    }

    /// Returns true if the member was declared down but is not removed yet.
    pub fn is_missing(&self, name: &str) -> bool {
        self.missing.contains_key(name)
    }

    /// Returns true if it matters whether the segment is alive: this node receives no gossip, and is about to remove a
    /// member.
    pub fn looks_for_life(&self, now_us: u64) -> bool {
        !self.missing.is_empty() && self.hears_nobody(now_us)
    }

    fn hears_nobody(&self, now_us: u64) -> bool {
        self.has_others() && self.company.is_silent_at(&self.config) <= now_us
    }

    /// Records that a frame of another host was received on a segment on which addresses are announced.
    pub fn segment_lives(&mut self, now_us: u64) {
        self.segment_us = now_us;
    }

    /// Decides about the members that have been missing for long enough. If the segment is silent too, no host can be
    /// reached there anyway, and a partitioned member remains so until something is received.
    pub(super) fn bury(&mut self, now_us: u64) {
        let is_due = |(_, missing): &(&NodeName, &Missing)| missing.until_us <= now_us;
        let due: Vec<_> =
            self.missing.iter().filter(is_due).map(|(name, _)| name.clone()).collect();
        let lives = self.segment_us >= self.company.heard_us()
            && self.segment_us.saturating_add(LIVES_US) >= now_us;
        let cut_off = self.hears_nobody(now_us) && !lives;
        for name in due {
            let alive_us =
                self.missing.get(&name).map_or(0, |missing| self.alive_us(&name, missing));
            let Some(missing) = self.missing.get_mut(&name) else { continue };
            let late_us = match missing.parted {
                Some(_) => u64::MAX,
                None => missing.since_us.saturating_add(CUT_OFF_US),
            };
            if now_us < alive_us {
                missing.until_us = alive_us;
                self.part(now_us, &name);
            } else if cut_off && now_us < late_us {
                missing.until_us = now_us.saturating_add(LOOK_US).min(late_us);
            } else {
                self.went(now_us, &name);
            }
        }
    }

    /// Marks a missing member as partitioned: it is alive, but its gossip does not arrive.
    fn part(&mut self, now_us: u64, name: &str) {
        let Some(peer) = self.peers.remove(name) else { return };
        if let Some(missing) = self.missing.get_mut(name) {
            missing.parted = Some(peer);
        }
        let member = self.view.members.get_mut(name);
        member.into_iter().for_each(|member| member.hearing = Hearing::Parted);
        self.lost(now_us, name, false);
    }

    /// Restarts the decisions about missing members after this node was frozen, because it did not receive the answers
    /// that came meanwhile.
    pub(super) fn miss_anew(&mut self, now_us: u64) {
        let wait_us = self.config.probe_rtt_us;
        for missing in self.missing.values_mut() {
            let before = std::mem::replace(missing, Missing::new(now_us, wait_us));
            missing.parted = before.parted;
            if missing.parted.is_some() {
                missing.answered_us = Some(now_us);
                missing.until_us = now_us.saturating_add(SILENT_US);
            }
        }
    }

    /// Ends the absence of a member that is back. Returns the state known of it.
    pub(super) fn found(&mut self, name: &str) -> Option<Peer> {
        let missing = self.missing.remove(name)?;
        missing.parted.or_else(|| self.peers.remove(name))
    }

    /// Removes a member that is gone. Returns the state known of it, with its claims.
    pub(super) fn buried(&mut self, name: &str) -> Option<Peer> {
        let parted = self.missing.remove(name).and_then(|missing| missing.parted);
        parted.or_else(|| self.peers.remove(name))
    }

    /// Returns the time of the next question or decision.
    pub(super) fn missing_at(&self) -> Option<u64> {
        self.missing.values().map(|missing| missing.until_us.min(missing.ask_at)).min()
    }
}

/// Missing members by name.
pub(super) type MissingMembers = BTreeMap<NodeName, Missing>;
