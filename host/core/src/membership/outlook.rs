//! The outlook of a node: the decisions it may make, given the nodes it receives. A claim made alone counts less than
//! any claim made among a majority.
use std::collections::BTreeMap;

use super::{Hearing, Membership, MembershipConfig, NodeName, View};

/// Time for which a member that died counts as one that there should be.
const REMEMBERED_US: u64 = 600_000_000;
/// Time for which a lost member is announced to at the shorter interval.
pub(super) const LATELY_US: u64 = 60_000_000;
/// Time without losing a member or the majority, after which a decision cannot be due to a network that was just
/// partitioning.
const STEADY_US: u64 = 1_000_000;

/// The decisions that a node may make now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outlook {
    /// True if it may announce addresses that it did not announce before; never becomes false again. A node that has
    /// just started must first learn which node answers for which address.
    pub settled: bool,
    /// True if it receives every configured node, and knows the claims of each.
    pub informed: bool,
    /// True if it receives more than half of the nodes that were members lately, including itself.
    pub majority: bool,
    /// True if it has had a majority for one second, and knows the claims of all nodes that it receives.
    pub steady: bool,
}

/// The nodes that have been members lately.
#[derive(Debug, Default)]
pub(super) struct RecentMembers {
    /// Members, and nodes that died without a goodbye, with the time of their death.
    known: BTreeMap<NodeName, Option<u64>>,
    /// Time of the last authentic datagram.
    heard_us: u64,
    /// Time at which a member was last lost, or the majority was regained.
    unsteady_us: u64,
    /// The outlook that was last reported.
    told: Outlook,
    /// True if the outlook may have changed; computing it looks at every node.
    unsettled: bool,
    /// Time of the next check, even if nothing is received.
    look_at: Option<u64>,
}

impl Outlook {
    /// The outlook of a node that receives every other node, or that has no peers.
    pub const UNDISTURBED: Self =
        Self { settled: true, informed: true, majority: true, steady: true };
}

impl RecentMembers {
    pub fn heard(&mut self, now_us: u64, config: &MembershipConfig) {
        self.unsettled |= self.is_silent_at(config) <= now_us;
        self.heard_us = now_us;
    }

    /// Marks the outlook for a new check, because something that it depends on has changed.
    pub fn unsettle(&mut self) {
        self.unsettled = true;
    }

    pub fn came(&mut self, name: &str) {
        self.known.insert(name.to_owned(), None);
        self.unsettled = true;
    }

    /// Records the loss of a member. One that sent a goodbye is not missed.
    pub fn went(&mut self, name: &str, in_order: bool, now_us: u64) {
        match in_order {
            true => drop(self.known.remove(name)),
            false => drop(self.known.insert(name.to_owned(), Some(now_us))),
        }
        self.unsteady_us = now_us;
        self.unsettled = true;
    }

    /// Forgets dead nodes that are no longer configured, so that they are not missed.
    pub fn retain(&mut self, is_configured: impl Fn(&str) -> bool) {
        self.known.retain(|name, died| died.is_none() || is_configured(name));
    }

    /// Returns true while a node that was lost may be about to rejoin.
    pub fn lost_lately(&self, now_us: u64) -> bool {
        let lately = |at: &u64| now_us < at.saturating_add(LATELY_US);
        self.known.values().flatten().any(lately)
    }

    pub fn heard_us(&self) -> u64 {
        self.heard_us
    }

    /// Returns the time from which this node counts as alone. A node that misses one member and has received from no
    /// other since then is itself the one that is missing.
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
    /// Returns the decisions that this node may make.
    pub fn outlook(&self, now_us: u64) -> Outlook {
        let Self { company, config, .. } = self;
        let alone = !company.known.is_empty() && company.is_silent_at(config) <= now_us;
        let majority = !alone && company.has_majority(&self.view, now_us);
        // If no majority was reported last, it is regained at this moment.
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

    /// Reports the outlook if it has changed.
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

    /// Returns the time of the next check, even if nothing is received.
    pub(super) fn look_at(&self) -> Option<u64> {
        self.company.look_at
    }

    /// Returns the time at which the outlook may change even if nothing is received.
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
