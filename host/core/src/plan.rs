//! What this node is to announce: facts and view in, desired state per announcer and this node's claims out.
//! Must not act, read a clock, or know plugins by more than their names.
//!
//! Incremental: [`Planner::facts_changed`] and [`Planner::view_changed`] mark addresses, [`Planner::plan`] decides the
//! marked ones.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::Duty;

use crate::desired::Desired;
use crate::facts::{Announcer, Cluster, Difference, Election, NodeName};
use crate::membership::{Claim, ClaimChanges, Outlook, View, ViewChange};

mod asked;
mod case;
mod claims;
mod cover;
mod draft;
mod duty;
mod everywhere;
mod fresh;
mod heard;
mod index;
mod nodes;
mod overdue;
mod reach;
#[cfg(test)]
mod simulation;
#[cfg(test)]
pub(crate) mod test_facts;
#[cfg(test)]
mod tests;
mod why;

use asked::Asked;
use case::Case;
use cover::{Home, Homes};
use draft::Draft;
use fresh::Fresh;
use index::Index;
use overdue::Overdue;

pub use cover::{announcers, built_in_beside};
pub use heard::{AddressWord, AnnouncerWord, Details, Heard, NodeWord, Silence};
pub use reach::Reach;
pub use why::{AddressWhy, NodeRole, NodeWhy, SHIPPED, why as why_address};

/// What an announcer's instance on this node is told. Apply `remove` before `upsert`: an address in both was taken out
/// and must be announced again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceChange {
    /// Name of the announcer.
    pub announcer: String,
    /// No longer desired.
    pub remove: Vec<IpAddr>,
    /// Desired, each entry whole.
    pub upsert: Vec<Arc<Desired>>,
}

/// What one [`Planner::plan`] changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Planned {
    /// Per announcer, by name; those without a change are left out.
    pub changes: Vec<InstanceChange>,
    /// For [`crate::membership::Membership::set_claims`].
    pub claims: ClaimChanges,
    /// The segment is to be asked whether somebody answers for these: [`Planner::segment_said`].
    pub ask: Vec<IpAddr>,
}

/// What is known of an address that some Service holds.
struct Held {
    /// What this node was last found to do about it.
    duty: Duty,
    /// Its pool, if it ever had one.
    home: Option<Arc<Home>>,
    /// Another node claims it as well and must not.
    rivalled: bool,
    /// How often the network is to be told besides.
    announcements: u32,
}

/// Plans for one node.
pub struct Planner {
    me: NodeName,
    /// `None` until the facts are synced.
    index: Option<Index>,
    announcers: BTreeMap<String, Arc<Announcer>>,
    homes: Homes,
    held: BTreeMap<IpAddr, Held>,
    desired: BTreeMap<String, BTreeMap<IpAddr, Arc<Desired>>>,
    claims: BTreeMap<IpAddr, Claim>,
    /// Highest term seen while somebody holds the address.
    terms: BTreeMap<IpAddr, u32>,
    /// What plugins report as announced, by announcer.
    announced: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Whose duty may change.
    open: BTreeSet<IpAddr>,
    all_open: bool,
    /// Of these, those whose facts changed, so that the entry may change with the same duty.
    stale: BTreeSet<IpAddr>,
    all_stale: bool,
    /// Held by nobody for a moment: to be removed even if it came back.
    taken_out: BTreeSet<IpAddr>,
    fresh: Fresh,
    overdue: Overdue,
    asked: Asked,
    /// Somebody may answer for them who is not known: this node claimed them, and stood still while others were not heard, or the claim of
    /// another ended for want of an answer.
    doubted: BTreeSet<IpAddr>,
    stood_still: bool,
    outlook: Outlook,
    /// The term of the claim of another node that was seen last.
    holders: BTreeMap<IpAddr, u32>,
    /// Claims that were made among a majority which may have been parting.
    unproven: BTreeSet<IpAddr>,
}

impl Planner {
    /// For the node of this name.
    pub fn new(me: NodeName) -> Self {
        Self {
            me,
            index: None,
            announcers: BTreeMap::new(),
            homes: Homes::default(),
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
            fresh: Fresh::default(),
            overdue: Overdue::default(),
            asked: Asked::default(),
            doubted: BTreeSet::new(),
            stood_still: false,
            outlook: Outlook::default(),
            holders: BTreeMap::new(),
            unproven: BTreeSet::new(),
        }
    }

    /// An address that is given out from now on is announced only so long after it was seen. What was there when the facts were
    /// listed, and what another node answers for, waits for nothing.
    pub fn with_delay(self, delay_us: u64) -> Self {
        Self { fresh: Fresh::with_delay(delay_us), ..self }
    }

    /// It is now so late, in monotonic microseconds: [`Planner::plan`] decides again on addresses that waited for this.
    pub fn time(&mut self, now_us: u64) {
        self.open.extend(self.fresh.time(now_us));
        self.open.extend(self.overdue.time(now_us));
    }

    /// When to say the time though nothing happened.
    pub fn next_deadline(&self) -> Option<u64> {
        self.fresh.next().into_iter().chain(self.overdue.next()).min()
    }

    /// Takes in whether somebody else answered on the segment for an address of [`Planned::ask`]. Returns false when it need not be asked again.
    pub fn segment_said(&mut self, address: IpAddr, answered: bool) -> bool {
        self.open.insert(address);
        self.asked.hear(address, answered) && answered
    }

    /// A fact changed; `cluster` already has it. Call once per change, after each, so that a removal followed by an
    /// addition is seen as both.
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

    /// Members or claims changed.
    pub fn view_changed(&mut self, change: &ViewChange) {
        self.all_open |= change.members | change.readiness;
        self.stood_still |= change.caught_up.is_some();
        self.open.extend(&change.addresses);
        self.doubted.extend(change.lapsed.iter().filter(|it| !self.claims.contains_key(*it)));
        // Whoever was told by them is to be told by this node.
        for address in &change.ended {
            // Who takes over by plan is told that the other has ended, and has told the network itself.
            let held = self.held.get_mut(address);
            if let Some(held) = held.filter(|held| held.duty == Duty::Announce) {
                held.rivalled = true;
                self.open.insert(*address);
            }
        }
    }

    /// The plugin of this announcer reports the address as announced, or no longer so.
    pub fn reported(&mut self, announcer: &str, address: IpAddr, announced: bool) {
        let known = self.announced.entry(announcer.to_owned()).or_default();
        let changed = if announced { known.insert(address) } else { known.remove(&address) };
        if changed {
            self.open.insert(address);
        }
    }

    /// Decides everything that was marked. Until the facts have been listed once nothing changes (invariant 1).
    /// `outlook` is [`crate::membership::Membership::outlook`]: before it is settled nothing new is announced.
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
        let mut draft = Draft::default();
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

    /// Everything that this announcer's instance is to announce, for a new instance.
    pub fn desired(&self, announcer: &str) -> &BTreeMap<IpAddr, Arc<Desired>> {
        static NOTHING: BTreeMap<IpAddr, Arc<Desired>> = BTreeMap::new();
        self.desired.get(announcer).unwrap_or(&NOTHING)
    }

    /// What this node claims.
    pub fn claims(&self) -> &BTreeMap<IpAddr, Claim> {
        &self.claims
    }

    /// Spells out what is marked as a whole.
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
        draft: &mut Draft,
    ) {
        let ours = || index.services(cluster, address).iter().any(|(service, _)| service.ours);
        let home = match (Home::find(cluster, address), self.home(address)) {
            (Some(found), _) => Some(self.homes.share(found)),
            // Its pool went while this daemon was down. What it gave is served all the same (invariant 4).
            (None, None) if ours() => Some(self.homes.share(Home::lost())),
            (None, known) => known,
        };
        let case = Case::new(cluster, &self.me, &self.announcers, index, home.as_deref(), address);
        let decided = self.decide(view, &case, address);
        let duty = decided.duty.clone();
        let rivalled =
            duty == Duty::Announce && view.claims_on(address).any(|(it, _)| it != self.me);
        let before = self.held.get(&address);
        let mut announcements = before.map_or(0, |held| held.announcements);
        // The rival is gone: the network may believe what it said last.
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

    fn home(&self, address: IpAddr) -> Option<Arc<Home>> {
        self.held.get(&address)?.home.clone()
    }

    /// Nobody holds the address any more.
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

    /// By announcer. A node that an announcer no longer selects still hands over what it has.
    fn wanted(
        &self,
        view: &View,
        case: &Case<'_>,
        duty: &Duty,
        announcements: u32,
    ) -> BTreeMap<String, Desired> {
        let has = |name: &str| self.desired(name).contains_key(&case.address);
        let entry = |announcer: &&Announcer| {
            let duty = match announcer.election {
                Election::One if case.selects_me(announcer) => match duty {
                    // Another announcer of the address is not.
                    Duty::Announce | Duty::TakeOver(_) if case.excludes_me(announcer) => {
                        Duty::Standby(String::new())
                    }
                    duty => duty.clone(),
                },
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

    /// Puts what is wanted of an address in force, and the difference into the draft.
    fn record(&mut self, address: IpAddr, wanted: BTreeMap<String, Desired>, draft: &mut Draft) {
        let again = self.taken_out.contains(&address);
        for (announcer, addresses) in &mut self.desired {
            if addresses.contains_key(&address) && (again || !wanted.contains_key(announcer)) {
                addresses.remove(&address);
                // What was reported is no longer so, whatever the plugin says later.
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
