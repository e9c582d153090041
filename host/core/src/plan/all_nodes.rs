//! The duty of a node for an announcer with `election: all`, for which every eligible node announces: there is no
//! election, no waiting for another node, and there are no claims.
use outrigger_sdk::Duty;

use super::{AddressContext, Planner};
use crate::eligibility::Ineligible;
use crate::facts::Announcer;
use crate::membership::View;

impl Planner {
    /// Returns the duty of this node. A cordoned node continues at the lowest preference (RFC 8326) and does not name a
    /// successor, because the others already announce. Any other node that is a last resort stands by while a better
    /// one exists.
    pub(super) fn everybodys_duty(
        &self,
        view: &View,
        case: &AddressContext<'_>,
        announcer: &Announcer,
    ) -> Duty {
        let eligibility = case.eligibility_of(announcer);
        let better = || {
            let others = view.members.iter().filter(|(node, _)| **node != self.me);
            let mut staying = others.filter(|(_, member)| !member.leaving);
            staying.any(|(node, _)| eligibility.check(node).is_ok())
        };
        match eligibility.check(&self.me) {
            Err(reason) if !reason.is_last_resort() => Duty::Standby(String::new()),
            _ if self.fresh.waits(case.address) => Duty::Standby(String::new()),
            Err(Ineligible::Cordoned) => Duty::HandOver(String::new()),
            Err(_) if better() => Duty::Standby(String::new()),
            _ if case.is_cordoned() => Duty::HandOver(String::new()),
            _ => Duty::Announce,
        }
    }
}
