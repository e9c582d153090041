//! Members that were declared down. A port that is closed looks like a death, and one observer that hears nobody would rob the others of all
//! that they have: a member is asked itself, by gossip and on the segment, before its claims go (invariant 11). One that answers for an
//! address there lives; it is parted, and keeps each claim while it answers for the address. Knows nothing of how the segment is asked.
use std::collections::BTreeMap;
use std::net::IpAddr;

use super::claims::Peer;
use super::outlook::LATELY_US;
use super::{Claim, Hearing, Member, Membership, MembershipConfig, NodeName};

/// Between two questions to a member that is parted.
const ASK_AGAIN_US: u64 = 100_000;
/// Six questions in a row without an answer.
const SILENT_US: u64 = 600_000;
/// A node that hears nobody, and whose segment is silent too, is the one that is cut off, or the last one: it takes over so late.
const CUT_OFF_US: u64 = 2_000_000;
/// Gossip comes through within this where it can: who was lost is called so often.
const HEALED_US: u64 = 1_000_000;
/// `DEFEND_INTERVAL` of RFC 5227 section 1.1.
const DEFEND_US: u64 = 10_000_000;
/// A segment that was heard longer ago may be silent now.
const LIVES_US: u64 = 300_000;
/// A node that hears nobody looks so often if its segment lives.
const LOOK_US: u64 = 20_000;
/// Addresses that a member is asked for at once, in turn of all that it claims: before it is given up, and while it is parted.
const SAMPLE: usize = 8;
const FEW: usize = 2;
/// A parted member that did not answer for an address so often, and did for others, answers for it no more.
const UNANSWERED: u8 = 6;

/// A member that was declared down.
pub(super) struct Missing {
    since_us: u64,
    /// When to decide.
    until_us: u64,
    ask_at: u64,
    /// Of its claims, the one to ask for next.
    turn: usize,
    /// When it answered last on the segment.
    answered_us: Option<u64>,
    /// Questions since the last answer, by address.
    unanswered: BTreeMap<IpAddr, u8>,
    /// It is parted: what was known of it before.
    parted: Option<Peer>,
}

impl Missing {
    fn new(now_us: u64, wait_us: u64) -> Self {
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

    /// The next of the addresses that the network was told to find there.
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
        self.missing.insert(name.to_owned(), Missing::new(now_us, self.config.probe_rtt_us));
        self.ask(now_us);
        self.announce_soon(now_us);
        let turn = self.swim.announce(now_us, name, address);
        self.absorb(now_us, turn);
    }

    /// Has the segment asked for what missing members answer for.
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

    /// A parted member answers for others and not for this address: it gave it up, or never heard that it should have it.
    fn end_claim(&mut self, name: &str, address: IpAddr) {
        let missing = self.missing.get_mut(name);
        let Some(peer) = missing.and_then(|missing| missing.parted.as_mut()) else { return };
        peer.claims.remove(&address);
        self.view.set(address, name, None);
        self.change.addresses.insert(address);
        self.change.lapsed.insert(address);
    }

    /// A member that is missing answered on the segment for an address that it was asked for.
    pub fn answered(&mut self, now_us: u64, name: &str, address: IpAddr) {
        self.wake(now_us);
        if let Some(missing) = self.missing.get_mut(name) {
            missing.answered_us = Some(now_us);
            missing.unanswered.remove(&address);
        }
    }

    /// Another node announced on the segment that it has an address which this node answers for, and none of its gossip comes through. Where
    /// this node hears nobody, it is the one that was given up: when it hears that again, it leaves the address to the other while that
    /// one answers for it. A node in company keeps its address, and says so (RFC 5227 section 2.4 c) for the other to hear.
    pub fn overheard(&mut self, now_us: u64, name: &str, address: IpAddr) {
        self.wake(now_us);
        let me = self.swim.me().name.clone();
        let mine = self.view.claims.get(&(address, me)).copied();
        let Some(mine) = mine.filter(|_| !self.peers.contains_key(name)) else { return };
        if !self.hears_nobody(now_us) {
            return self.defend(now_us, address);
        }
        // A network that has just healed lets gossip through a moment later.
        let heard_us = self.company.heard_us();
        self.overheard.retain(|_, at| *at > heard_us);
        let first_us = *self.overheard.entry(address).or_insert(now_us);
        if first_us.saturating_add(HEALED_US) <= now_us {
            self.overheard.remove(&address);
            self.yield_to(now_us, name, address, mine);
        }
    }

    fn yield_to(&mut self, now_us: u64, name: &str, address: IpAddr, mine: Claim) {
        if !self.view.members.contains_key(name) {
            self.revive(now_us, name);
        }
        let Some(missing) = self.missing.get_mut(name) else { return };
        let Some(peer) = &mut missing.parted else { return };
        let claim = Claim { term: mine.term.saturating_add(2), announced: true };
        peer.claims.insert(address, claim);
        missing.unanswered.remove(&address);
        self.view.set(address, name, Some(claim));
        self.change.addresses.insert(address);
    }

    fn defend(&mut self, now_us: u64, address: IpAddr) {
        self.defended.retain(|_, at| now_us < *at + DEFEND_US);
        if !self.defended.contains_key(&address) {
            self.defended.insert(address, now_us);
            self.change.ended.insert(address);
        }
    }

    /// A node that was given up lives, and no gossip of it comes through.
    fn revive(&mut self, now_us: u64, name: &str) {
        let Some(address) = self.configured.iter().flatten().find(|(it, _)| *it == name) else {
            return;
        };
        let address = *address.1;
        let mut missing = Missing::new(now_us, SILENT_US);
        missing.answered_us = Some(now_us);
        missing.parted = Some(Peer::new(address, 0));
        self.missing.insert(name.to_owned(), missing);
        let member = Member { leaving: false, hearing: Hearing::Parted, address };
        self.view.members.insert(name.to_owned(), member);
        self.change.members = true;
        self.company.unsettle();
    }

    /// Until when a member that is missing counts as alive. One that speaks lives: it is this node that is not heard. What a dead one said
    /// last came longer ago than it takes to declare it down. The segment knows better, once it has answered there.
    fn alive_us(&self, name: &str, missing: &Missing) -> u64 {
        if let Some(at) = missing.answered_us {
            return at.saturating_add(SILENT_US);
        }
        let MembershipConfig { probe_interval_us, announce_us, announce_again_us, .. } =
            self.config;
        let address = self.view.members.get(name).map(|member| member.address);
        let heard_us = address.and_then(|address| self.heard.get(&address)).copied();
        let spoke = heard_us.filter(|at| *at + probe_interval_us * 3 / 2 >= missing.since_us);
        // So often it calls this node, if it takes it for dead: it may have done so for longer.
        let calls_us = match missing.since_us.saturating_add(LATELY_US * 3 / 4) {
            early if spoke.is_some_and(|at| at < early) => announce_again_us,
            _ => announce_us,
        };
        spoke.map_or(0, |at| at.saturating_add(3 * calls_us))
    }

    /// True: it was declared down and is not given up.
    pub fn is_missing(&self, name: &str) -> bool {
        self.missing.contains_key(name)
    }

    /// Says if it matters whether the segment lives: this node hears nobody, and is about to give a member up.
    pub fn looks_for_life(&self, now_us: u64) -> bool {
        !self.missing.is_empty() && self.hears_nobody(now_us)
    }

    fn hears_nobody(&self, now_us: u64) -> bool {
        self.has_others() && self.company.is_silent_at(&self.config) <= now_us
    }

    /// A frame of another host came lately on a segment that addresses are announced on.
    pub fn segment_lives(&mut self, now_us: u64) {
        self.segment_us = now_us;
    }

    /// Decides what became of the members that were missed for long enough. Where the segment is silent too nobody can be reached there
    /// anyway: who was parted stays so until something is heard.
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

    /// This node stood still: what was not answered meanwhile it did not hear.
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

    /// A member that was missing is back. Gives what was known of it.
    pub(super) fn found(&mut self, name: &str) -> Option<Peer> {
        let missing = self.missing.remove(name)?;
        missing.parted.or_else(|| self.peers.remove(name))
    }

    /// Gives up a member that is gone. Returns its claims.
    pub(super) fn buried(&mut self, name: &str) -> Option<Peer> {
        let parted = self.missing.remove(name).and_then(|missing| missing.parted);
        parted.or_else(|| self.peers.remove(name))
    }

    /// When a question or a decision is due.
    pub(super) fn missing_at(&self) -> Option<u64> {
        self.missing.values().map(|missing| missing.until_us.min(missing.ask_at)).min()
    }
}

/// By name.
pub(super) type MissingMembers = BTreeMap<NodeName, Missing>;
