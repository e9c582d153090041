//! Decides the duty of this node for one address: which nodes are eligible, ready and alive, and what must be waited
//! for before a node begins to announce.
use std::net::IpAddr;

use outrigger_sdk::Duty;

use super::Planner;
use super::address_context::AddressContext;
use crate::election::{CandidateRank, Claimant, elect};
use crate::facts::NodeName;
use crate::membership::{Hearing, View};

/// The duty of this node, and the conditions that it waits for.
pub(super) struct Decided {
    pub duty: Duty,
    /// The node that is expected to claim the address; "" = no node.
    expected: NodeName,
    unclaimed: bool,
    /// True if the segment is to be asked first.
    asks: bool,
}

impl Decided {
    fn nothing() -> Self {
        let duty = Duty::Standby(String::new());
        Self { duty, expected: NodeName::new(), unclaimed: true, asks: false }
    }
}

impl Planner {
    pub(super) fn decide(
        &self,
        view: &View,
        case: &AddressContext<'_>,
        address: IpAddr,
    ) -> Decided {
        if case.elected().next().is_none() {
            return Decided::nothing();
        }
        let (eligibility, readiness) = (case.eligibility(), case.readiness(view));
        let leaves = |node: &str| view.members.get(node).is_none_or(|member| member.leaving);
        let standing = |node: &str| match eligibility.check(node) {
            Err(reason) if !reason.is_last_resort() => CandidateRank::Ineligible,
            fit => match readiness.check(node) {
                Err(reason) if reason.is_inability() => CandidateRank::Unable,
                _ if leaves(node) => CandidateRank::Leaving,
                ready if fit.and(ready).is_err() => CandidateRank::LastResort,
                _ => CandidateRank::Candidate,
            },
        };
        // The view lags behind this node's own claims.
        let others = view.claims_on(address).filter(|(node, _)| *node != self.me);
        let mine = self.claims.get(&address).map(|claim| (self.me.as_str(), *claim));
        let mine = mine.filter(|_| !self.doubted.contains(&address));
        let claimants: Vec<_> = others
            .chain(mine)
            .map(|(node, claim)| Claimant { node, claim, standing: standing(node) })
            .collect();
        if claimants.is_empty() && !self.outlook.settled {
            // No announcement may begin now, and ranking every node for every address is slow.
            return Decided::nothing();
        }
        let duty = elect(address, &self.me, &claimants, |wanted| {
            let members = view.members.keys().map(String::as_str);
            let there = members.filter(|node| !self.overdue.is_passed_over(address, node));
            there.filter(|node| standing(node) == wanted).collect::<Vec<_>>()
        });
        let parted = |node: &str| {
            view.members.get(node).is_some_and(|member| member.hearing == Hearing::Parted)
        };
        let unclaimed = claimants.is_empty();
        let is_fresh = unclaimed && self.fresh.waits(address);
        let expected = match &duty {
            Duty::Standby(winner) if unclaimed && !is_fresh => winner.clone(),
            _ => NodeName::new(),
        };
        let begins = mine.is_none() && duty.speaks();
        let asks = begins && unclaimed && !is_fresh && !self.may_begin(address);
        let duty = match duty {
            // No gossip is exchanged with a partitioned node, which follows its own facts.
            Duty::HandOver(to) if parted(&to) => Duty::Standby(to),
            _ if begins && (!self.outlook.settled || is_fresh || asks) => {
                Duty::Standby(String::new())
            }
            duty => duty,
        };
        Decided { duty, expected, unclaimed, asks: asks && self.outlook.settled }
    }

    /// Returns true if this node may begin without asking the segment. The segment must be asked if a node that is not
    /// received may hold the address although no claim is known. If the previous holder died, the segment was asked
    /// before that holder was removed.
    fn may_begin(&self, address: IpAddr) -> bool {
        let was_asked = self.holders.contains_key(&address) && !self.doubted.contains(&address);
        let is_known = self.outlook.informed || was_asked;
        (is_known && !self.overdue.passed_any(address)) || self.asked.is_free(address)
    }

    /// Registers the conditions that the decision waits for.
    pub(super) fn wait(&mut self, address: IpAddr, decided: &Decided) {
        match decided.expected.as_str() {
            "" => self.overdue.end(address, decided.unclaimed),
            node => self.overdue.expect(address, node),
        }
        if decided.asks {
            self.asked.ask(address);
        } else if decided.duty.speaks() {
            self.doubted.remove(&address);
        } else {
            self.asked.forget(address);
        }
    }
}
