//! Rivals on the segment: another node, whose gossip does not arrive, announces what this node answers for. Decides which of
//! the two keeps the address. This module must not know how the announcement was observed.
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use super::claims::Peer;
use super::missing::{Missing, SILENT_US};
use super::{Claim, Hearing, Member, Membership};

/// Time within which the announcement must be observed again: nodes announce every 1.1 s.
const OVERHEARD_US: u64 = 3_000_000;
/// Interval at which a node without a majority announces its addresses again, so that the majority notices it after an
/// outage of the segment.
const REMIND_US: u64 = 30_000_000;
/// `DEFEND_INTERVAL` of RFC 5227 section 1.1.
const DEFEND_US: u64 = 10_000_000;
/// Time within which gossip arrives again after a network has healed, because lost members are announced to at this
/// interval.
const HEALED_US: u64 = 1_000_000;

/// The addresses that a rival announced.
#[derive(Debug, Default)]
pub(super) struct Rivals {
    /// Time at which this node last announced an address again because another node had announced it.
    defended: BTreeMap<IpAddr, u64>,
    /// Time at which another node was first observed announcing an address while this node had no majority.
    overheard: BTreeMap<IpAddr, u64>,
    /// Time at which this node last had a majority, or announced its addresses again without one.
    reminded_us: u64,
}

impl Membership {
    /// Handles that another node, whose gossip does not arrive, announced on the segment an address which this node
    /// answers for. A node without a majority is the one that was declared down: when it observes the announcement again,
    /// it yields the address while the other node answers for it. A node in a majority keeps its address, and announces
    /// it (RFC 5227 section 2.4 c) so that the other node notices.
    pub fn overheard(&mut self, now_us: u64, name: &str, address: IpAddr) {
        self.wake(now_us);
        let me = self.swim.me().name.clone();
        let mine = self.view.claims.get(&(address, me)).copied();
        let Some(mine) = mine.filter(|_| !self.peers.contains_key(name)) else { return };
        if self.outlook(now_us).majority {
            return self.defend(now_us, address);
        }
        // In a network that has just healed, gossip of the other node arrives before it announces again.
        self.rivals.overheard.retain(|_, at| now_us < at.saturating_add(OVERHEARD_US));
        let first_us = *self.rivals.overheard.entry(address).or_insert(now_us);
        if first_us.saturating_add(HEALED_US) <= now_us {
            self.rivals.overheard.remove(&address);
            self.yield_to(now_us, name, address, mine);
        }
    }

    /// Announces all addresses again from time to time while this node has no majority.
    pub(super) fn remind(&mut self, now_us: u64) {
        if !self.has_others() || self.outlook(now_us).majority {
            self.rivals.reminded_us = now_us;
        } else if self.rivals.reminded_us.saturating_add(REMIND_US) <= now_us {
            self.rivals.reminded_us = now_us;
            self.tell_network_again();
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
        self.rivals.defended.retain(|_, at| now_us < *at + DEFEND_US);
        if let Entry::Vacant(vacant) = self.rivals.defended.entry(address) {
            vacant.insert(now_us);
            self.change.ended.insert(address);
        }
    }

    /// Restores a node that had been removed, because it is alive although no gossip from it arrives.
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
}
