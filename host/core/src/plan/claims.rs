//! The claims of this node. Their terms encode the outlook in which they were made, so that comparing terms is enough
//! for nodes that know nothing about it.
use std::net::IpAddr;

use super::delta::PlanDelta;
use super::{Claim, Outlook, Planner, View};

impl Planner {
    /// Marks the addresses that the new outlook may decide differently: all of them when the node becomes settled, and
    /// otherwise only those that were waiting or are in doubt, and the claims whose term may change.
    pub(super) fn look_out(&mut self, outlook: Outlook) {
        let before = std::mem::replace(&mut self.outlook, outlook);
        self.all_open |= before.settled != outlook.settled;
        if outlook.informed && !before.informed {
            self.open.extend(self.asked.clear());
            self.doubted.clear();
        }
        if std::mem::take(&mut self.stood_still) && !outlook.informed {
            self.doubted.extend(self.claims.keys());
            self.doubted.iter().for_each(|address| self.asked.forget(*address));
            self.open.extend(&self.doubted);
        }
        if before.majority && !outlook.majority {
            self.open.extend(&self.unproven);
        }
        if !before.steady && outlook.steady {
            let alone = self.claims.iter().filter(|(_, claim)| is_alone(claim.term));
            self.open.extend(alone.map(|(address, _)| *address));
        }
    }

    /// Accepts the claims made before the outlook was steady, once it is.
    pub(super) fn prove(&mut self) {
        if self.outlook.steady {
            self.unproven.clear();
        }
    }

    /// Updates this node's claim, which exists exactly while this node speaks for the address.
    pub(super) fn claim(
        &mut self,
        view: &View,
        address: IpAddr,
        speaks: bool,
        draft: &mut PlanDelta,
    ) {
        let others = view.claims_on(address).filter(|(node, _)| *node != self.me);
        let rival = others.map(|(_, claim)| claim.term).max();
        if let Some(rival) = rival {
            self.holders.insert(address, rival);
        }
        let term = self.terms.get(&address).copied().unwrap_or(0).max(rival.unwrap_or(0));
        let before = self.claims.get(&address).copied();
        let mine = before.map(|claim| claim.term);
        let after = speaks.then(|| Claim {
            term: self.term(address, mine, term, rival.is_none()),
            announced: self.is_announced(address),
        });
        let term = after.map_or(term, |claim| claim.term.max(term));
        // An address that every node announces is never claimed.
        if term > 0 {
            self.terms.insert(address, term);
        }
        match after {
            Some(claim) => {
                self.claims.insert(address, claim);
            }
            None => {
                self.claims.remove(&address);
                self.unproven.remove(&address);
                self.asked.give_up(address);
                // A later report belongs to the next announcement.
                self.forget_reports(address);
            }
        }
        if before != after {
            draft.claims.insert(address, after);
        }
    }

    /// Returns the term of this node's claim. `mine` is its term so far, and `known` is the highest term seen. An
    /// address taken over while the network was partitioning is treated as taken over alone. A claim made alone keeps
    /// its term until this node has had a steady majority and no other node claims the address.
    fn term(&mut self, address: IpAddr, mine: Option<u32>, known: u32, undisputed: bool) -> u32 {
        let Outlook { majority, steady, .. } = self.outlook;
        // The term of the holder and not `known`, which includes this node's own earlier terms: the holder to take over
        // from may have had a lower one.
        let holder = self.holders.get(&address).copied().unwrap_or(0);
        match mine {
            None if majority => {
                self.unproven.insert(address);
                among_a_majority(known)
            }
            None => alone(holder),
            Some(_) if !majority && self.unproven.remove(&address) => alone(holder),
            Some(mine) if steady && undisputed && is_alone(mine) => among_a_majority(known),
            Some(mine) => mine,
        }
    }

    /// Returns true if at least one announcer has announced the address. One is enough, because others may never
    /// announce it, for example while their peers are down.
    fn is_announced(&self, address: IpAddr) -> bool {
        self.announced.values().any(|addresses| addresses.contains(&address))
    }

    pub(super) fn forget_reports(&mut self, address: IpAddr) {
        for addresses in self.announced.values_mut() {
            addresses.remove(&address);
        }
    }
}

/// Number of terms reserved below the first claim on an address, for nodes that take it over alone.
const ROOM: u32 = 1 << 10;

/// Returns an even term above every known one.
fn among_a_majority(known: u32) -> u32 {
    (known.max(ROOM) | 1).saturating_add(1) & !1
}

/// Returns an odd term below the known one. A takeover from a claim that was made alone is below that claim too, as far
/// as there is room.
fn alone(known: u32) -> u32 {
    match known {
        // No claim of another node is known.
        0 => ROOM | 1,
        1 | 2 => 1,
        _ if is_alone(known) => known - 2,
        _ => known - 1,
    }
}

fn is_alone(term: u32) -> bool {
    term % 2 == 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn who_decides_among_a_majority_is_above_the_rest_and_who_decides_alone_is_not(
            known in 0_u32..u32::MAX - 2,
        ) {
            prop_assert!(among_a_majority(known) > known);
            prop_assert!(!is_alone(among_a_majority(known)));
            prop_assert!(known < 4 || alone(known) < known);
            prop_assert!(is_alone(alone(known)));
            prop_assert!(alone(among_a_majority(known)) < among_a_majority(known));
            prop_assert!(alone(0) < among_a_majority(0));
        }
    }
}
