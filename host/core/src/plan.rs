//! What this node is to announce: facts and view in, desired state per announcer and this node's claims out.
//! Must not act, read a clock, or know plugins by more than their names.
//!
//! Incremental: [`Planner::facts_changed`] and [`Planner::view_changed`] mark addresses, [`Planner::plan`] decides the
//! marked ones.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_sdk::{DesiredAddress, Duty};

use crate::election::{Claimant, Standing, elect};
use crate::eligibility::Ineligible;
use crate::facts::{Announcer, Cluster, Election, FactKey, NodeName};
use crate::membership::{Claim, ClaimChanges, View, ViewChange};

mod case;
mod cover;
mod draft;
mod index;
mod reach;
#[cfg(test)]
mod simulation;
#[cfg(test)]
pub(crate) mod test_facts;
#[cfg(test)]
mod tests;

use case::Case;
use cover::Home;
use draft::Draft;
use index::Index;

pub use cover::announcers;
pub use reach::Reach;

/// What an announcer's instance on this node is told. Apply `remove` before `upsert`: an address in both was taken out
/// and must be announced again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceChange {
    /// Name of the announcer.
    pub announcer: String,
    /// No longer desired.
    pub remove: Vec<IpAddr>,
    /// Desired, each entry whole.
    pub upsert: Vec<DesiredAddress>,
}

/// What one [`Planner::plan`] changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Planned {
    /// Per announcer, by name; those without a change are left out.
    pub changes: Vec<InstanceChange>,
    /// For [`crate::membership::Membership::set_claims`].
    pub claims: ClaimChanges,
}

/// Plans for one node.
pub struct Planner {
    me: NodeName,
    /// `None` until the facts are synced.
    index: Option<Index>,
    announcers: BTreeMap<String, Announcer>,
    homes: BTreeMap<IpAddr, Home>,
    desired: BTreeMap<String, BTreeMap<IpAddr, DesiredAddress>>,
    claims: BTreeMap<IpAddr, Claim>,
    /// Highest term seen while somebody holds the address.
    terms: BTreeMap<IpAddr, u32>,
    /// What plugins report as announced.
    announced: BTreeMap<IpAddr, BTreeSet<String>>,
    duties: BTreeMap<IpAddr, Duty>,
    /// Whose duty may change.
    open: BTreeSet<IpAddr>,
    all_open: bool,
    /// Of these, those whose facts changed, so that the entry may change with the same duty.
    stale: BTreeSet<IpAddr>,
    all_stale: bool,
    /// Held by nobody for a moment: to be removed even if it came back.
    taken_out: BTreeSet<IpAddr>,
    settled: bool,
}

impl Planner {
    /// For the node of this name.
    pub fn new(me: NodeName) -> Self {
        Self {
            me,
            index: None,
            announcers: BTreeMap::new(),
            homes: BTreeMap::new(),
            desired: BTreeMap::new(),
            claims: BTreeMap::new(),
            terms: BTreeMap::new(),
            announced: BTreeMap::new(),
            duties: BTreeMap::new(),
            open: BTreeSet::new(),
            all_open: false,
            stale: BTreeSet::new(),
            all_stale: false,
            taken_out: BTreeSet::new(),
            settled: false,
        }
    }

    /// A fact changed; `cluster` already has it. Call once per change, after each, so that a removal followed by an
    /// addition is seen as both.
    pub fn facts_changed(&mut self, cluster: &Cluster, change: &FactKey) {
        let Some(index) = &mut self.index else { return };
        match index.touched(cluster, change) {
            Some(touched) => {
                let gone = touched.iter().filter(|address| !index.is_held(**address));
                self.taken_out.extend(gone);
                self.stale.extend(touched);
            }
            None => self.all_stale = true,
        }
    }

    /// Members or claims changed.
    pub fn view_changed(&mut self, change: &ViewChange) {
        self.all_open |= change.members;
        self.open.extend(&change.addresses);
    }

    /// The plugin of this announcer reports the address as announced, or no longer so.
    pub fn reported(&mut self, announcer: &str, address: IpAddr, announced: bool) {
        let by = self.announced.entry(address).or_default();
        let changed =
            if announced { by.insert(announcer.to_owned()) } else { by.remove(announcer) };
        if changed {
            self.open.insert(address);
        }
    }

    /// Decides everything that was marked. Until the facts have been listed once nothing changes (invariant 1).
    /// `settled` is [`crate::membership::Membership::settled`]: before it nothing new is announced.
    pub fn plan(&mut self, cluster: &Cluster, view: &View, settled: bool) -> Planned {
        if !cluster.synced {
            return Planned::default();
        }
        self.all_open |= std::mem::replace(&mut self.settled, settled) != settled;
        let index = self.index.take().unwrap_or_else(|| {
            self.all_stale = true;
            Index::of(cluster)
        });
        self.mark(cluster, &index);
        let mut draft = Draft::default();
        for address in std::mem::take(&mut self.open) {
            self.plan_address(cluster, view, &index, address, &mut draft);
        }
        self.stale.clear();
        self.taken_out.clear();
        self.desired.retain(|_, addresses| !addresses.is_empty());
        self.index = Some(index);
        Planned { changes: draft.changes.into_values().collect(), claims: draft.claims }
    }

    /// Everything that this announcer's instance is to announce, for a new instance.
    pub fn desired(&self, announcer: &str) -> &BTreeMap<IpAddr, DesiredAddress> {
        static NOTHING: BTreeMap<IpAddr, DesiredAddress> = BTreeMap::new();
        self.desired.get(announcer).unwrap_or(&NOTHING)
    }

    /// What this node claims.
    pub fn claims(&self) -> &BTreeMap<IpAddr, Claim> {
        &self.claims
    }

    /// For people: of every node that is known or alive, whether it may answer for the address, or why not.
    pub fn why(
        &self,
        cluster: &Cluster,
        view: &View,
        address: IpAddr,
    ) -> BTreeMap<NodeName, Result<(), Ineligible>> {
        let built;
        let index = match &self.index {
            Some(index) => index,
            None => {
                built = Index::of(cluster);
                &built
            }
        };
        let announcers = announcers(cluster);
        let home = Home::find(cluster, address).or_else(|| self.homes.get(&address).cloned());
        let case = Case::new(cluster, &self.me, &announcers, index, home.as_ref(), address);
        let eligibility = case.any_eligibility();
        let nodes: BTreeSet<_> = cluster.nodes.keys().chain(view.members.keys()).collect();
        let verdict = |node: &str| {
            let member = view.members.get(node).ok_or(Ineligible::NotAlive)?;
            if member.leaving {
                return Err(Ineligible::Leaving);
            }
            eligibility.check(node)
        };
        nodes.into_iter().map(|node| (node.clone(), verdict(node))).collect()
    }

    /// Spells out what is marked as a whole.
    fn mark(&mut self, cluster: &Cluster, index: &Index) {
        let known = || index.addresses().chain(self.duties.keys().copied());
        if std::mem::take(&mut self.all_stale) {
            self.announcers = announcers(cluster);
            self.stale.extend(known());
        }
        if std::mem::take(&mut self.all_open) {
            self.open.extend(known());
        }
        self.open.extend(&self.stale);
    }

    fn plan_address(
        &mut self,
        cluster: &Cluster,
        view: &View,
        index: &Index,
        address: IpAddr,
        draft: &mut Draft,
    ) {
        if let Some(home) = Home::find(cluster, address) {
            self.homes.insert(address, home);
        } else if index.services(cluster, address).iter().any(|(service, _)| service.ours) {
            // Its pool went while this daemon was down. What it gave is served all the same (invariant 4).
            self.homes.entry(address).or_insert_with(Home::lost);
        }
        let home = self.homes.get(&address);
        let case = Case::new(cluster, &self.me, &self.announcers, index, home, address);
        let duty = self.duty(view, &case, address);
        let same = self.duties.get(&address) == Some(&duty);
        let everywhere = case.cover.iter().any(|announcer| announcer.election == Election::All);
        let wanted = (self.stale.contains(&address) || !same || everywhere)
            .then(|| self.wanted(view, &case, address, &duty));
        if let Some(wanted) = wanted {
            self.record(address, wanted, draft);
        }
        self.claim(view, address, duty.speaks(), draft);
        if index.is_held(address) {
            self.duties.insert(address, duty);
        } else {
            self.forget(address);
        }
    }

    /// Nobody holds the address any more.
    fn forget(&mut self, address: IpAddr) {
        self.duties.remove(&address);
        self.homes.remove(&address);
        self.terms.remove(&address);
        self.announced.remove(&address);
    }

    /// By announcer. A node that an announcer no longer selects still hands over what it has.
    fn wanted(
        &self,
        view: &View,
        case: &Case<'_>,
        address: IpAddr,
        duty: &Duty,
    ) -> BTreeMap<String, DesiredAddress> {
        let has = |name: &str| self.desired(name).contains_key(&address);
        let entry = |announcer: &&Announcer| {
            let duty = match announcer.election {
                Election::One if case.selects_me(announcer) => duty.clone(),
                Election::One if duty.speaks() && has(&announcer.name) => duty.clone(),
                Election::All if case.selects_me(announcer) => {
                    everybodys_duty(&self.me, view, case, announcer)
                }
                _ => return None,
            };
            Some((announcer.name.clone(), case.entry(announcer, &duty)))
        };
        case.cover.iter().filter_map(entry).collect()
    }

    fn duty(&self, view: &View, case: &Case<'_>, address: IpAddr) -> Duty {
        if case.elected().next().is_none() {
            return Duty::Standby(String::new());
        }
        let eligibility = case.eligibility();
        let leaves = |node: &str| view.members.get(node).is_none_or(|member| member.leaving);
        let standing = |node: &str| match eligibility.check(node) {
            Err(reason) if !reason.is_last_resort() => Standing::Ineligible,
            _ if leaves(node) => Standing::Leaving,
            Err(_) => Standing::LastResort,
            Ok(()) => Standing::Candidate,
        };
        // What the view says of this node's own claims lags behind.
        let others = view.claims_on(address).filter(|(node, _)| *node != self.me);
        let mine = self.claims.get(&address).map(|claim| (self.me.as_str(), *claim));
        let claimants: Vec<_> = others
            .chain(mine)
            .map(|(node, claim)| Claimant { node, claim, standing: standing(node) })
            .collect();
        let duty = elect(address, &self.me, &claimants, |wanted| {
            let members = view.members.keys().map(String::as_str);
            members.filter(|node| standing(node) == wanted).collect::<Vec<_>>()
        });
        if duty.speaks() && mine.is_none() && !self.settled {
            return Duty::Standby(String::new());
        }
        duty
    }

    /// A claim exists exactly while this node speaks for the address.
    fn claim(&mut self, view: &View, address: IpAddr, speaks: bool, draft: &mut Draft) {
        let known = view.claims_on(address).map(|(_, claim)| claim.term).max().unwrap_or(0);
        let term = self.terms.get(&address).copied().unwrap_or(0).max(known);
        let before = self.claims.get(&address).copied();
        let after = speaks.then(|| Claim {
            term: before.map_or(term.saturating_add(1), |claim| claim.term),
            announced: self.is_announced(address),
        });
        self.terms.insert(address, after.map_or(term, |claim| claim.term.max(term)));
        match after {
            Some(claim) => {
                self.claims.insert(address, claim);
            }
            None => {
                self.claims.remove(&address);
                // A report from now on is about the next time.
                self.announced.remove(&address);
            }
        }
        if before != after {
            draft.claims.insert(address, after);
        }
    }

    /// One announcer suffices: others may never announce it, such as one whose peers are away.
    fn is_announced(&self, address: IpAddr) -> bool {
        self.announced.get(&address).is_some_and(|by| !by.is_empty())
    }

    /// Puts what is wanted of an address in force, and the difference into the draft.
    fn record(
        &mut self,
        address: IpAddr,
        wanted: BTreeMap<String, DesiredAddress>,
        draft: &mut Draft,
    ) {
        let again = self.taken_out.contains(&address);
        for (announcer, addresses) in &mut self.desired {
            if addresses.contains_key(&address) && (again || !wanted.contains_key(announcer)) {
                addresses.remove(&address);
                // What was reported is no longer so, whatever the plugin says later.
                self.announced.entry(address).or_default().remove(announcer);
                draft.of(announcer).remove.push(address);
            }
        }
        for (announcer, entry) in wanted {
            let addresses = self.desired.entry(announcer.clone()).or_default();
            if addresses.get(&address) != Some(&entry) {
                draft.of(&announcer).upsert.push(entry.clone());
                addresses.insert(address, entry);
            }
        }
    }
}

/// Of an announcer for which every node that may announces: nobody is elected, nobody waits for another.
///
/// A cordoned node goes on at the lowest preference (RFC 8326) and hands over to nobody by name, since the others announce
/// already. A node that could only if no other can stands by while another can.
fn everybodys_duty(me: &str, view: &View, case: &Case<'_>, announcer: &Announcer) -> Duty {
    let eligibility = case.eligibility_of(announcer);
    let leaves = |node: &str| view.members.get(node).is_some_and(|member| member.leaving);
    let better = || {
        let others = view.members.keys().filter(|node| *node != me);
        others.filter(|node| !leaves(node)).any(|node| eligibility.check(node).is_ok())
    };
    match eligibility.check(me) {
        Err(reason) if !reason.is_last_resort() || better() => Duty::Standby(String::new()),
        _ if case.is_cordoned() => Duty::HandOver(String::new()),
        _ => Duty::Announce,
    }
}
