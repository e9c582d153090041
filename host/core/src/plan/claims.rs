//! The claims of this node, and the company in which it made them, which is in their terms. By their order alone a node that knows nothing of
//! this agrees.
use std::net::IpAddr;

use super::draft::Draft;
use super::{Claim, Outlook, Planner, View};

impl Planner {
    /// Marks what is decided otherwise in another company: everything while nothing could be decided, and else only the claims whose
    /// term may change.
    pub(super) fn look_out(&mut self, outlook: Outlook) {
        let before = std::mem::replace(&mut self.outlook, outlook);
        self.all_open |= before.settled != outlook.settled;
        if outlook.informed && !before.informed {
            self.open.extend(self.asked.clear());
            self.doubted.clear();
        }
        if std::mem::take(&mut self.stood_still) && !outlook.informed {
            self.doubted = self.claims.keys().copied().collect();
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

    /// Claims that were made before the company was steady have proved themselves.
    pub(super) fn prove(&mut self) {
        if self.outlook.steady {
            self.unproven.clear();
        }
    }

    /// A claim exists exactly while this node speaks for the address.
    pub(super) fn claim(&mut self, view: &View, address: IpAddr, speaks: bool, draft: &mut Draft) {
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
        // Nobody ever claims what every node announces.
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
                // A report from now on is about the next time.
                self.forget_reports(address);
            }
        }
        if before != after {
            draft.claims.insert(address, after);
        }
    }

    /// The term of this node's claim, which is `mine` so far; `known` is the highest there was. What was taken over while the network
    /// was parting is as if it had been taken over alone, and what was taken over alone stays so until this node has been among a
    /// majority for a while and nobody else claims it.
    fn term(&mut self, address: IpAddr, mine: Option<u32>, known: u32, undisputed: bool) -> u32 {
        let Outlook { majority, steady, .. } = self.outlook;
        // Not below a term that this node itself had once: the holder that it takes over from may have had a lower one.
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

    /// One announcer suffices: others may never announce it, such as one whose peers are away.
    fn is_announced(&self, address: IpAddr) -> bool {
        self.announced.values().any(|addresses| addresses.contains(&address))
    }

    pub(super) fn forget_reports(&mut self, address: IpAddr) {
        for addresses in self.announced.values_mut() {
            addresses.remove(&address);
        }
    }
}

/// Room below the first claim on an address, for those who take it over alone.
const ROOM: u32 = 1 << 10;

/// Above everything that is known: even.
fn among_a_majority(known: u32) -> u32 {
    (known.max(ROOM) | 1).saturating_add(1) & !1
}

/// Below what is known: odd. Who takes over from one that was made alone stands below that too, as far as there is room.
fn alone(known: u32) -> u32 {
    match known {
        // Nobody is known to have claimed it.
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
