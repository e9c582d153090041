//! Plans what this node announces: from facts and the view to the desired state of each announcer and this node's
//! claims. Must not act, read a clock, or know plugins by more than their names.
//!
//! The planner is incremental: [`Planner::facts_changed`] and [`Planner::view_changed`] mark addresses, and
//! [`Planner::plan`] decides about the marked ones.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::Duty;

use crate::desired::Desired;
use crate::facts::{Announcer, Cluster, Difference, Election, NodeName};
use crate::membership::{Claim, ClaimChanges, Outlook, View, ViewChange};

mod address_context;
mod all_nodes;
mod announce_delay;
mod announceable;
mod claims;
mod cover;
mod delta;
mod duty;
mod index;
mod nodes;
mod observed;
mod overdue;
mod segment_probes;
#[cfg(test)]
mod simulation;
#[cfg(test)]
pub(crate) mod test_facts;
#[cfg(test)]
mod tests;
mod why;

use address_context::AddressContext;
use announce_delay::AnnounceDelay;
use cover::{PoolBinding, PoolBindings};
use delta::PlanDelta;
use index::Index;
use overdue::Overdue;
use segment_probes::SegmentProbes;

pub use announceable::Announceable;
pub use cover::{announcers, built_in_beside};
pub use observed::{
    AddressObservation, AnnouncerObservation, Details, NodeObservation, Observations, Unreachable,
};
pub use why::{AddressWhy, NodeRole, NodeWhy, SHIPPED, why as why_address};

/// A change for an announcer's instance on this node. Apply `remove` before `upsert`: an address in both was withdrawn
/// and must be announced again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceChange {
    /// Name of the announcer.
    pub announcer: String,
    /// Addresses that are no longer desired.
    pub remove: Vec<IpAddr>,
    /// Addresses that are desired, each with its complete entry.
    pub upsert: Vec<Arc<Desired>>,
}

/// The changes made by one [`Planner::plan`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Planned {
    /// Changes for each announcer, by name; announcers without a change are omitted.
    pub changes: Vec<InstanceChange>,
    /// Changes of this node's claims, for [`crate::membership::Membership::set_claims`].
    pub claims: ClaimChanges,
    /// Addresses for which the segment is to be asked whether another host answers; the result is reported with
    /// [`Planner::segment_said`].
    pub ask: Vec<IpAddr>,
}

/// The state of an address that at least one Service holds.
struct Held {
    /// The duty of this node that was last decided.
    duty: Duty,
    /// The address's pool; `None` if it was never in one.
    home: Option<Arc<PoolBinding>>,
    /// True if another node claims the address as well, although this node is to announce it.
    rivalled: bool,
    /// Number of additional announcements to the network.
    announcements: u32,
}

/// The planner of one node.
pub struct Planner {
    me: NodeName,
    /// Index of Services by address; `None` until the facts are synced.
    index: Option<Index>,
    announcers: BTreeMap<String, Arc<Announcer>>,
    homes: PoolBindings,
    held: BTreeMap<IpAddr, Held>,
    desired: BTreeMap<String, BTreeMap<IpAddr, Arc<Desired>>>,
    claims: BTreeMap<IpAddr, Claim>,
    /// Highest term seen since a Service has held the address.
    terms: BTreeMap<IpAddr, u32>,
    /// Addresses that plugins report as announced, by announcer.
    announced: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Addresses whose duty may change.
    open: BTreeSet<IpAddr>,
    all_open: bool,
    /// Those of the open addresses whose facts changed, so that the entry may change even if the duty does not.
    stale: BTreeSet<IpAddr>,
    all_stale: bool,
    /// Addresses that no Service held for a moment; they are removed even if a Service holds them again.
    taken_out: BTreeSet<IpAddr>,
    fresh: AnnounceDelay,
    overdue: Overdue,
    asked: SegmentProbes,
    /// Addresses for which an unknown node may answer: this node claimed them and was frozen while others were not
    /// received, or another node's claim ended because it did not answer for the address.
    doubted: BTreeSet<IpAddr>,
    stood_still: bool,
    outlook: Outlook,
    /// Term of the last claim of another node that was seen.
    holders: BTreeMap<IpAddr, u32>,
    /// Claims made with a majority while the network may have been partitioning.
    unproven: BTreeSet<IpAddr>,
}

impl Planner {
    /// Creates a planner for the node of this name.
    pub fn new(me: NodeName) -> Self {
        Self {
            me,
            index: None,
            announcers: BTreeMap::new(),
            homes: PoolBindings::default(),
            held: BTreeMap::new(),
            desired: BTreeMap::new(),
            claims: BTreeMap::new(),
            terms: BTreeMap::new(),
            announced: BTreeMap::new(),
            open: BTreeSet::new(),
            all_open: false,
            stale: BTreeSet::new(),
            all_stale: false,
            taken_out: BTreeSet::new(),
            fresh: AnnounceDelay::default(),
            overdue: Overdue::default(),
            asked: SegmentProbes::default(),
            doubted: BTreeSet::new(),
            stood_still: false,
            outlook: Outlook::default(),
            holders: BTreeMap::new(),
            unproven: BTreeSet::new(),
        }
    }

    /// Sets the delay before a newly assigned address is announced, counted from when it was first seen. Addresses that
    /// existed when the facts were listed, or for which another node answers, are not delayed.
    pub fn with_delay(self, delay_us: u64) -> Self {
        Self { fresh: AnnounceDelay::with_delay(delay_us), ..self }
    }

    /// Sets the current time in monotonic microseconds; [`Planner::plan`] then decides again on the addresses that
    /// waited for it.
    pub fn time(&mut self, now_us: u64) {
        self.open.extend(self.fresh.time(now_us));
        self.open.extend(self.overdue.time(now_us));
    }

    /// Returns when to call [`Planner::time`] even if nothing else happens.
    pub fn next_deadline(&self) -> Option<u64> {
        self.fresh.next().into_iter().chain(self.overdue.next()).min()
    }

    /// Records whether another host answered on the segment for an address of [`Planned::ask`]. Returns false if the
    /// segment need not be asked again.
    pub fn segment_said(&mut self, address: IpAddr, answered: bool) -> bool {
        self.open.insert(address);
        self.asked.hear(address, answered) && answered
    }

    /// Applies a changed fact; `cluster` must already contain it. Call it once after each change, so that a removal
    /// followed by an addition is seen as both.
    pub fn facts_changed(&mut self, cluster: &Cluster, change: &Difference) {
        let (Some(index), Difference::Fact { key, before }) = (&mut self.index, change) else {
            return;
        };
        match index.touched(cluster, key, before.as_ref()) {
            Some(touched) => {
                let gone = touched.iter().filter(|address| !index.is_held(**address));
                self.taken_out.extend(gone);
                let is_new = |address: &&IpAddr| {
                    index.is_held(**address) && !self.held.contains_key(*address)
                };
                touched.iter().filter(is_new).for_each(|address| self.fresh.add(*address));
                self.stale.extend(touched);
            }
            None => self.all_stale = true,
        }
    }

    /// Applies a change of members or claims.
    pub fn view_changed(&mut self, change: &ViewChange) {
        self.all_open |= change.members | change.readiness;
        self.stood_still |= change.caught_up.is_some();
        self.open.extend(&change.addresses);
        self.doubted.extend(change.lapsed.iter().filter(|it| !self.claims.contains_key(*it)));
        // This node must announce these addresses to the hosts that other nodes informed.
        for address in &change.ended {
            // A node that takes over as planned learns that the other one has ended, and has announced the address
            // itself.
            let held = self.held.get_mut(address);
            if let Some(held) = held.filter(|held| held.duty == Duty::Announce) {
                held.rivalled = true;
                self.open.insert(*address);
            }
        }
    }

    /// Records that the announcer's plugin reports the address as announced, or as no longer announced.
    pub fn reported(&mut self, announcer: &str, address: IpAddr, announced: bool) {
        let known = self.announced.entry(announcer.to_owned()).or_default();
        let changed = if announced { known.insert(address) } else { known.remove(&address) };
        if changed {
            self.open.insert(address);
        }
    }

    /// Decides about everything that was marked. Changes nothing until the facts have been listed once (invariant 1).
    /// `outlook` is [`crate::membership::Membership::outlook`]; before it is settled nothing new is announced.
    pub fn plan(&mut self, cluster: &Cluster, view: &View, outlook: Outlook) -> Planned {
        if !cluster.synced {
            return Planned::default();
        }
        self.look_out(outlook);
        let index = self.index.take().unwrap_or_else(|| {
            self.all_stale = true;
            Index::of(cluster)
        });
        self.mark(cluster, &index);
        let mut draft = PlanDelta::default();
        for address in std::mem::take(&mut self.open) {
            self.plan_address(cluster, view, &index, address, &mut draft);
        }
        self.stale.clear();
        self.taken_out.clear();
        self.prove();
        self.desired.retain(|_, addresses| !addresses.is_empty());
        self.announced.retain(|_, addresses| !addresses.is_empty());
        self.index = Some(index);
        let changes = draft.changes.into_values().collect();
        Planned { changes, claims: draft.claims, ask: self.asked.take_new() }
    }

    /// Returns all desired addresses of this announcer, for a new instance.
    pub fn desired(&self, announcer: &str) -> &BTreeMap<IpAddr, Arc<Desired>> {
        static NOTHING: BTreeMap<IpAddr, Arc<Desired>> = BTreeMap::new();
        self.desired.get(announcer).unwrap_or(&NOTHING)
    }

    /// Returns the claims of this node.
    pub fn claims(&self) -> &BTreeMap<IpAddr, Claim> {
        &self.claims
    }

    /// Expands the marks that apply to all addresses.
    fn mark(&mut self, cluster: &Cluster, index: &Index) {
        let known = || index.addresses().chain(self.held.keys().copied());
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
        draft: &mut PlanDelta,
    ) {
        let ours = || index.services(cluster, address).iter().any(|(service, _)| service.ours);
        let home = match (PoolBinding::find(cluster, address), self.home(address)) {
            (Some(found), _) => Some(self.homes.share(found)),
            // The pool was deleted while this daemon was down. Its addresses are served all the same (invariant 4).
            (None, None) if ours() => Some(self.homes.share(PoolBinding::lost())),
            (None, known) => known,
        };
        let case = AddressContext::new(
            cluster,
            &self.me,
            &self.announcers,
            index,
            home.as_deref(),
            address,
        );
        let decided = self.decide(view, &case, address);
        let duty = decided.duty.clone();
        let rivalled =
            duty == Duty::Announce && view.claims_on(address).any(|(it, _)| it != self.me);
        let before = self.held.get(&address);
        let mut announcements = before.map_or(0, |held| held.announcements);
        // The rival is gone, but the network may still follow its last announcement.
        let again = duty == Duty::Announce
            && !rivalled
            && before.is_some_and(|held| held.rivalled && held.duty == duty);
        announcements += u32::from(again);
        let same = before.is_some_and(|held| held.duty == duty) && !again;
        let everywhere = case.cover.iter().any(|announcer| announcer.election == Election::All);
        let wanted = (self.stale.contains(&address) || !same || everywhere)
            .then(|| self.wanted(view, &case, &duty, announcements));
        if let Some(wanted) = wanted {
            self.record(address, wanted, draft);
        }
        self.wait(address, &decided);
        self.claim(view, address, duty.speaks(), draft);
        if index.is_held(address) {
            self.held.insert(address, Held { duty, home, rivalled, announcements });
        } else {
            self.forget(address);
        }
    }

    fn home(&self, address: IpAddr) -> Option<Arc<PoolBinding>> {
        self.held.get(&address)?.home.clone()
    }

    /// Removes the state of an address that no Service holds any more.
    fn forget(&mut self, address: IpAddr) {
        self.held.remove(&address);
        self.fresh.forget(address);
        self.overdue.forget(address);
        self.asked.forget(address);
        self.doubted.remove(&address);
        self.terms.remove(&address);
        self.holders.remove(&address);
        self.unproven.remove(&address);
        self.forget_reports(address);
    }

    /// Returns the desired entry of the address for each announcer. A node that an announcer no longer selects still
    /// hands over the addresses that it has.
    fn wanted(
        &self,
        view: &View,
        case: &AddressContext<'_>,
        duty: &Duty,
        announcements: u32,
    ) -> BTreeMap<String, Desired> {
        let has = |name: &str| self.desired(name).contains_key(&case.address);
        let entry = |announcer: &&Announcer| {
            let duty = match announcer.election {
                Election::One if case.selects_me(announcer) => duty.clone(),
                Election::One if duty.speaks() && has(&announcer.name) => duty.clone(),
                Election::All if case.selects_me(announcer) => {
                    self.everybodys_duty(view, case, announcer)
                }
                _ => return None,
            };
            Some((announcer.name.clone(), case.entry(announcer, &duty, announcements)))
        };
        case.cover.iter().filter_map(entry).collect()
    }

    /// Applies the desired entries of an address, and adds the differences to the draft.
    fn record(
        &mut self,
        address: IpAddr,
        wanted: BTreeMap<String, Desired>,
        draft: &mut PlanDelta,
    ) {
        let again = self.taken_out.contains(&address);
        for (announcer, addresses) in &mut self.desired {
            if addresses.contains_key(&address) && (again || !wanted.contains_key(announcer)) {
                addresses.remove(&address);
                // The earlier report no longer applies, whatever the plugin reports later.
                if let Some(announced) = self.announced.get_mut(announcer) {
                    announced.remove(&address);
                }
                draft.of(announcer).remove.push(address);
            }
        }
        for (announcer, entry) in wanted {
            let addresses = self.desired.entry(announcer.clone()).or_default();
            if addresses.get(&address).is_none_or(|known| **known != entry) {
                let entry = Arc::new(entry);
                draft.of(&announcer).upsert.push(entry.clone());
                addresses.insert(address, entry);
            }
        }
    }
}
