//! Members that were declared down. A port that is closed looks like a death, and one observer that hears nobody would rob the others of all
//! that they have: a member is asked itself, by gossip and on the segment, before its claims go (invariant 11). One that answers for an
//! address there lives; it is parted, and keeps its claims while it answers. Knows nothing of how the segment is asked.
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::claims::Peer;
use super::outlook::LATELY_US;
use super::{Hearing, Membership, MembershipConfig, NodeName};

/// Between two questions to a member that is parted.
const ASK_AGAIN_US: u64 = 100_000;
/// Six questions in a row without an answer.
const SILENT_US: u64 = 600_000;
/// A node that hears nobody, and whose segment is silent too, is the one that is cut off, or the last one: it takes over so late.
const CUT_OFF_US: u64 = 2_000_000;
/// A node that hears nobody looks so often if its segment lives.
const LOOK_US: u64 = 20_000;
/// Between two looks at who is heard.
const LISTEN_US: u64 = 1_000_000;
/// A member that said nothing itself for so long is heard through others alone.
const UNHEARD_US: u64 = 4_000_000;
/// Addresses that a member is asked for: its responder answers for all of them or for none.
const SAMPLE: usize = 8;

/// What became of a member that was declared down.
pub(super) struct Missing {
    since_us: u64,
    /// When to decide.
    until_us: u64,
    ask_at: u64,
    /// Until when it counts as alive for its answers on the segment; 0 = it gave none.
    alive_us: u64,
    /// It answers on the segment: what was known of it when it was parted.
    parted: Option<Peer>,
}

impl Membership {
    /// A member was declared down, by whomever. It comes back as its own next life if it can. One that is leaving has said so.
    pub(super) fn missed(&mut self, now_us: u64, name: &str) {
        let Some(member) = self.view.members.get(name) else { return };
        if member.leaving {
            return self.went(now_us, name);
        }
        if self.missing.contains_key(name) {
            return;
        }
        let address = member.address;
        let until_us = now_us.saturating_add(self.config.probe_rtt_us);
        let missing = Missing { since_us: now_us, until_us, ask_at: 0, alive_us: 0, parted: None };
        self.missing.insert(name.to_owned(), missing);
        self.ask(now_us);
        self.announce_soon(now_us);
        let turn = self.swim.announce(now_us, name, address);
        self.absorb(now_us, turn);
    }

    /// Has the segment asked for what missing members answer for.
    pub(super) fn ask(&mut self, now_us: u64) {
        let pause_us = self.config.probe_rtt_us / 4;
        for (name, missing) in &mut self.missing {
            if missing.ask_at > now_us {
                continue;
            }
            let decides_soon = missing.since_us + self.config.probe_rtt_us > now_us;
            let pause_us = if decides_soon { pause_us } else { ASK_AGAIN_US };
            missing.ask_at = now_us.saturating_add(pause_us.max(1));
            let peer = missing.parted.as_ref().or_else(|| self.peers.get(name));
            let addresses = peer.map(sample).unwrap_or_default();
            if !addresses.is_empty() {
                self.questions.push_back((name.clone(), addresses));
            }
        }
    }

    /// A member that is missing answered on the segment for an address that it was asked for.
    pub fn answered(&mut self, now_us: u64, name: &str) {
        self.wake(now_us);
        if let Some(missing) = self.missing.get_mut(name) {
            missing.alive_us = now_us.saturating_add(SILENT_US);
        }
    }

    /// A genuine datagram came from this address.
    pub(super) fn heard_from(&mut self, now_us: u64, from: SocketAddr) {
        if let Some(at) = self.heard.get_mut(&from) {
            *at = now_us;
        }
    }

    /// Until when a member that is missing counts as alive. One that speaks lives: it is this node that is not heard. What a dead one said
    /// last came longer ago than it takes to declare it down. The segment knows better, once it has answered there.
    fn alive_us(&self, name: &str, missing: &Missing) -> u64 {
        if missing.alive_us > 0 {
            return missing.alive_us;
        }
        let MembershipConfig { probe_interval_us, announce_us, announce_again_us, .. } =
            self.config;
        let address = self.view.members.get(name).map(|member| member.address);
        let heard_us = address.and_then(|address| self.heard.get(&address)).copied();
        let spoke = heard_us.filter(|at| *at + probe_interval_us * 3 / 2 >= missing.since_us);
        // So often it calls this node, if it takes it for dead.
        let calls_us = match missing.since_us.saturating_add(LATELY_US) {
            early if spoke.is_some_and(|at| at < early) => announce_again_us,
            _ => announce_us,
        };
        spoke.map_or(0, |at| at.saturating_add(3 * calls_us))
    }

    /// Looks now and then whether members are heard by their own datagrams. One that had nothing to say is asked.
    pub(super) fn listen(&mut self, now_us: u64) {
        if now_us < self.listen_at {
            return;
        }
        self.listen_at = now_us.saturating_add(LISTEN_US);
        let mut silent = Vec::new();
        for (name, peer) in &self.peers {
            let Some(member) = self.view.members.get_mut(name) else { continue };
            let heard_us = self.heard.get(&peer.address).copied().unwrap_or(0);
            let silent_us = now_us.saturating_sub(heard_us);
            if silent_us >= UNHEARD_US / 2 {
                silent.push(name.clone());
            }
            let hearing =
                if silent_us < UNHEARD_US { Hearing::Itself } else { Hearing::ThroughOthers };
            self.change.members |= member.hearing != hearing;
            member.hearing = hearing;
        }
        for name in silent {
            self.inquire(now_us, &name);
        }
    }

    /// True: it was declared down and is not given up.
    pub fn is_missing(&self, name: &str) -> bool {
        self.missing.contains_key(name)
    }

    /// Says if it matters whether the segment lives: this node hears nobody.
    pub fn hears_nobody(&self, now_us: u64) -> bool {
        self.has_others() && self.company.is_silent_at(&self.config) <= now_us
    }

    /// A frame of another host came on a segment that addresses are announced on, since this node last heard a member.
    pub fn segment_lives(&mut self, now_us: u64) {
        self.segment_us = now_us;
    }

    /// Decides what became of the members that were missed for long enough.
    pub(super) fn bury(&mut self, now_us: u64) {
        let is_due = |(_, missing): &(&NodeName, &Missing)| missing.until_us <= now_us;
        let due: Vec<_> =
            self.missing.iter().filter(is_due).map(|(name, _)| name.clone()).collect();
        let cut_off = self.hears_nobody(now_us) && self.segment_us < self.company.heard_us();
        for name in due {
            let alive_us =
                self.missing.get(&name).map_or(0, |missing| self.alive_us(&name, missing));
            let Some(missing) = self.missing.get_mut(&name) else { continue };
            let late_us = missing.since_us.saturating_add(CUT_OFF_US);
            if now_us < alive_us {
                missing.until_us = alive_us;
                self.part(now_us, &name);
            } else if cut_off && missing.parted.is_none() && now_us < late_us {
                missing.until_us = now_us.saturating_add(LOOK_US).min(late_us);
            } else {
                self.went(now_us, &name);
            }
        }
    }

    /// Its gossip does not come through, and it lives.
    fn part(&mut self, now_us: u64, name: &str) {
        let Some(peer) = self.peers.remove(name) else { return };
        if let Some(missing) = self.missing.get_mut(name) {
            missing.parted = Some(peer);
        }
        let member = self.view.members.get_mut(name);
        member.into_iter().for_each(|member| member.hearing = Hearing::Parted);
        self.lost(now_us, name, false);
    }

    /// A member that was missing is back. Gives what was known of it.
    pub(super) fn found(&mut self, name: &str) -> Option<Peer> {
        let missing = self.missing.remove(name)?;
        match missing.parted {
            Some(peer) => Some(peer),
            None => self.peers.remove(name),
        }
    }

    /// What a member that is gone claimed.
    pub(super) fn buried(&mut self, name: &str) -> Option<Peer> {
        let parted = self.missing.remove(name).and_then(|missing| missing.parted);
        parted.or_else(|| self.peers.remove(name))
    }

    /// When a question or a decision is due.
    pub(super) fn missing_at(&self) -> Option<u64> {
        self.missing.values().map(|missing| missing.until_us.min(missing.ask_at)).min()
    }
}

/// Some of the addresses that the network was told to find there, from all over.
fn sample(peer: &Peer) -> Vec<IpAddr> {
    let announced = peer.claims.iter().filter(|(_, claim)| claim.announced);
    let announced: Vec<IpAddr> = announced.map(|(address, _)| *address).collect();
    let step = announced.len().div_ceil(SAMPLE).max(1);
    announced.into_iter().step_by(step).collect()
}

/// By name.
pub(super) type MissingMembers = BTreeMap<NodeName, Missing>;
