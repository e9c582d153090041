//! The company in which a node decides: a claim that is made alone counts less than any that was made among the others.
use std::collections::BTreeMap;

use super::{Hearing, Membership, MembershipConfig, NodeName, View};

/// A member that died counts for so long among those that there should be.
const REMEMBERED_US: u64 = 600_000_000;
/// A member that is lost is called often for so long.
pub(super) const LATELY_US: u64 = 60_000_000;
/// A time without losing a member or the majority: a decision in it was no error of a network that was just parting.
const STEADY_US: u64 = 1_000_000;

/// The decisions that a node may make now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outlook {
    /// It may announce what it did not announce before: once true, true for good. A node that has just come up must first hear who
    /// answers for what.
    pub settled: bool,
    /// It hears every node that there should be, and knows what each answers for.
    pub informed: bool,
    /// It hears more than half of the nodes that were members lately, itself counted.
    pub majority: bool,
    /// The same, so it was for a second, and it knows the claims of all that it hears.
    pub steady: bool,
}

/// The nodes that were there lately.
#[derive(Debug, Default)]
pub(super) struct Company {
    /// Members, and those that died and did not say goodbye: since when.
    known: BTreeMap<NodeName, Option<u64>>,
    /// When the last genuine datagram came.
    heard_us: u64,
    /// When the last member was lost, or the majority came back.
    unsteady_us: u64,
    /// As it was told last.
    told: Outlook,
    /// The outlook may be another now: it costs a look at every node.
    unsettled: bool,
    /// And then, though nothing comes.
    look_at: Option<u64>,
}

impl Outlook {
    /// Of a node that hears everybody, or has nobody to hear.
    pub const UNDISTURBED: Self =
        Self { settled: true, informed: true, majority: true, steady: true };
}

impl Company {
    pub fn heard(&mut self, now_us: u64, config: &MembershipConfig) {
        self.unsettled |= self.is_silent_at(config) <= now_us;
        self.heard_us = now_us;
    }

    /// Something that the outlook depends on is another.
    pub fn unsettle(&mut self) {
        self.unsettled = true;
    }

    pub fn came(&mut self, name: &str) {
        self.known.insert(name.to_owned(), None);
        self.unsettled = true;
    }

    /// One that said goodbye is not missed.
    pub fn went(&mut self, name: &str, in_order: bool, now_us: u64) {
        match in_order {
            true => drop(self.known.remove(name)),
            false => drop(self.known.insert(name.to_owned(), Some(now_us))),
        }
        self.unsteady_us = now_us;
        self.unsettled = true;
    }

    /// Nodes that there should be no more are not missed.
    pub fn retain(&mut self, is_configured: impl Fn(&str) -> bool) {
        self.known.retain(|name, died| died.is_none() || is_configured(name));
    }

    /// True while a node that was lost may be about to come back.
    pub fn lost_lately(&self, now_us: u64) -> bool {
        let lately = |at: &u64| now_us < at.saturating_add(LATELY_US);
        self.known.values().flatten().any(lately)
    }

    pub fn heard_us(&self) -> u64 {
        self.heard_us
    }

    /// The time from which this node counts as alone: one that misses one member and hears no other since is the one that is missing.
    pub fn is_silent_at(&self, config: &MembershipConfig) -> u64 {
        self.heard_us.saturating_add(config.suspect_us)
    }

    fn has_majority(&self, view: &View, now_us: u64) -> bool {
        let is_missed =
            |died: &&Option<u64>| died.is_none_or(|at| now_us < at.saturating_add(REMEMBERED_US));
        let others = self.known.values().filter(is_missed).count();
        let here = view.members.values().filter(|member| member.hearing != Hearing::Parted).count();
        2 * here > others + 1
    }
}

impl Membership {
    /// The decisions that this node may make.
    pub fn outlook(&self, now_us: u64) -> Outlook {
        let Self { company, config, .. } = self;
        let alone = !company.known.is_empty() && company.is_silent_at(config) <= now_us;
        let majority = !alone && company.has_majority(&self.view, now_us);
        // While it was not told of a majority this is the moment in which it comes back.
        let since_us = if company.told.majority { company.unsteady_us } else { now_us };
        let complete = self.peers.values().all(|peer| peer.complete);
        let steady = majority && complete && since_us.saturating_add(STEADY_US) <= now_us;
        let settled = self.settled || self.would_settle(now_us);
        Outlook { settled, informed: self.is_informed(), majority, steady }
    }

    fn is_informed(&self) -> bool {
        let hears = |name: &NodeName| {
            self.view.members.get(name).is_some_and(|member| member.hearing == Hearing::Itself)
        };
        let is_known =
            |name: &NodeName| hears(name) && self.peers.get(name).is_some_and(|it| it.complete);
        self.configured.as_ref().is_some_and(|nodes| nodes.keys().all(is_known))
    }

    /// Says so when the outlook is another.
    pub(super) fn look_out(&mut self, now_us: u64) {
        let due = self.company.look_at.is_some_and(|at| at <= now_us);
        if !std::mem::take(&mut self.company.unsettled) && !due {
            return;
        }
        let outlook = self.outlook(now_us);
        self.settled = outlook.settled;
        if outlook != self.company.told {
            if outlook.majority && !self.company.told.majority {
                self.company.unsteady_us = now_us;
            }
            self.change.members |= outlook.settled != self.company.told.settled;
            self.change.outlook = true;
            self.company.told = outlook;
        }
        self.company.look_at = self.outlook_changes_at();
    }

    /// When to look again though nothing comes.
    pub(super) fn look_at(&self) -> Option<u64> {
        self.company.look_at
    }

    /// When the outlook may be another though nothing comes.
    fn outlook_changes_at(&self) -> Option<u64> {
        let Self { company, config, .. } = self;
        let Outlook { settled, majority, steady, .. } = company.told;
        let settles = self.settle_at().filter(|_| !settled);
        let silent = (majority && !company.known.is_empty()).then(|| company.is_silent_at(config));
        let complete = self.peers.values().all(|peer| peer.complete);
        let calm = (majority && complete && !steady)
            .then(|| company.unsteady_us.saturating_add(STEADY_US));
        [settles, silent, calm].into_iter().flatten().min()
    }
}
