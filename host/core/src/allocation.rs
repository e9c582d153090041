//! Which Service gets which address: takes facts in, asks policies, holds every answer against the ledger, and says
//! what came of it. A decision, not an act: who runs the policy and who writes the status is somebody else's business.
//! Knows no clock, no plugin and no Kubernetes.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{Family, Request, Time};

use crate::facts::{Change, Fact, FactKey, PluginRef, Pool, Service, ServiceKey};
use crate::ledger::{Ledger, PoolView};
use crate::plan::Reach;

mod adopt;
mod breaker;
mod contested;
mod fair;
mod known;
mod note;
mod pool_status;
mod pools;
mod queue;
mod suits;
#[cfg(test)]
mod tests;
mod turn;
mod verdict;
mod why;

pub use pool_status::{Counts, PoolCondition, PoolConditionType, PoolStatus};
pub use verdict::{Condition, Verdict};
pub use why::{PoolOutcome, PoolWord};

use breaker::Breakers;
use contested::Pauses;
use fair::FairQueue;
use known::{Known, Said};
use pools::{Pools, Step};
use queue::{Cause, Queue};
use turn::Turn;

/// The allocation of a whole cluster. Drive it so: `apply` changes, `answer` what `poll` asks until it asks nothing
/// more, publish the `verdicts`, and come back at `next_deadline`.
///
/// Nothing is asked before [`Change::Synced`]; then every address that Services already hold is adopted before anything
/// new is given out. What is held is kept until its Service asks otherwise (invariant 4).
#[derive(Debug, Clone, Default)]
pub struct Allocations {
    synced: bool,
    services: BTreeMap<ServiceKey, Known>,
    pools: Pools,
    /// Pools in force in the order in which they are tried.
    order: Vec<Arc<Pool>>,
    ledger: Arc<Ledger>,
    /// Nodes, namespaces and announcers.
    reach: Reach,
    queue: Queue,
    /// Those of them that wait for the policy of a pool.
    fair: FairQueue,
    breakers: Breakers,
    /// Services that are on their way through the pools. One that stands in a line without a turn is at its beginning.
    turns: BTreeMap<ServiceKey, Turn>,
    next_turn: u64,
    /// Services about which there may be something new to say.
    unsaid: BTreeSet<ServiceKey>,
    /// Services whose status another controller undoes, and until when it is left alone.
    pauses: Pauses,
    said: BTreeMap<ServiceKey, Said>,
}

/// A question to a policy. It must be given back to [`Allocations::answer`], with a fault if nothing else.
#[derive(Debug, Clone)]
pub struct Question {
    /// Who needs an address.
    pub service: ServiceKey,
    /// The pool it may come from.
    pub pool: String,
    /// The policy of that pool.
    pub plugin: PluginRef,
    /// The policy that comes with the program, whatever was delivered under its name: that of the pool failed.
    pub built_in: bool,
    /// What to ask.
    pub request: Request,
    /// What the policy may look at.
    pub view: PoolView,
    /// Tells an answer that comes too late from one that is expected.
    turn: u64,
    /// Monotonic.
    asked_us: u64,
}

impl Allocations {
    /// Takes a change in.
    pub fn apply(&mut self, change: &Change, now: Time) {
        if self.reach.apply(change) {
            self.surroundings_changed(change);
        }
        match change {
            Change::Upsert(Fact::Service(service)) => self.put_service(service, now),
            Change::Remove(FactKey::Service(key)) => self.remove_service(key, now),
            Change::Upsert(Fact::Pool(pool)) => {
                let changed = self.pools.offer(pool);
                self.settle_pools(changed);
            }
            Change::Remove(FactKey::Pool(name)) => {
                let changed = self.pools.withdraw(name);
                self.settle_pools(changed);
            }
            Change::Synced => self.sync(),
            // Endpoints and plugins decide where an address is announced, not which one it is.
            _ => {}
        }
    }

    /// Another build of a plugin serves from now on: Services that its pools refused ask again. What is held stays.
    pub fn plugin_changed(&mut self, plugin: &str) {
        for pool in self.order.iter().filter(|pool| pool.allocator.plugin == plugin) {
            self.breakers.reset(&pool.name);
            self.queue.wake(&Cause::Pool(pool.name.clone()));
        }
    }

    /// When to call `poll` again though nothing changed, in monotonic microseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        let ends = [self.queue.next_deadline(), self.ledger.next_rest_end(), self.next_pause_end()];
        ends.into_iter().flatten().min()
    }

    /// Pools that are not in force as written, and why.
    pub fn problems(&self) -> BTreeMap<String, String> {
        self.pools.problems().clone()
    }

    /// Who holds what; its pools are those in force and those that drain.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn sync(&mut self) {
        if std::mem::replace(&mut self.synced, true) {
            return;
        }
        self.settle_pools(true);
        Arc::make_mut(&mut self.ledger).set_node_addresses(self.reach.node_addresses());
        let keys: Vec<ServiceKey> = self.services.keys().cloned().collect();
        // What another controller wrote takes nothing away from what this one gave.
        let is_ours = |key: &&ServiceKey| self.services[*key].service.ours;
        let (ours, others): (Vec<&ServiceKey>, Vec<&ServiceKey>) = keys.iter().partition(is_ours);
        for key in ours.into_iter().chain(others) {
            self.adopt(key);
        }
        for key in &keys {
            self.look_at(key);
        }
    }

    /// Before everything was listed the order of arrival means nothing, so pools wait for each other.
    fn settle_pools(&mut self, changed: bool) {
        if !self.synced || !changed {
            return;
        }
        let steps = self.pools.settle();
        let touched: BTreeSet<String> = steps.iter().map(Step::pool).map(str::to_owned).collect();
        let ledger = Arc::make_mut(&mut self.ledger);
        for step in steps {
            self.breakers.reset(step.pool());
            match step {
                Step::Put(pool) => ledger.put_pool(pool),
                Step::Drain(pool) => ledger.drain_pool(pool),
                Step::Retire(name) => {
                    for key in self.fair.close(&name) {
                        self.queue.push(&key);
                    }
                    ledger.retire_pool(&name);
                }
            }
        }
        self.order = self.pools.in_order();
        // Messages name pools: those whose addresses moved, and those still without an address.
        let held_there = |key: &ServiceKey| {
            let said = self.said.get(key).into_iter().flat_map(|verdict| &verdict.addresses);
            said.into_iter().any(|at| {
                self.ledger.pool_of(*at).is_none_or(|stock| touched.contains(&stock.pool().name))
            })
        };
        let affected: Vec<_> = self.said.keys().filter(|key| held_there(key)).cloned().collect();
        self.unsaid.extend(affected);
        self.begin_anew();
        self.look_at_foreign();
    }

    /// Everybody who waits or is on the way asks again: their place in the order means nothing any more.
    fn begin_anew(&mut self) {
        self.queue.wake_all();
        let on_the_way = std::mem::take(&mut self.turns).into_keys();
        for key in on_the_way.chain(self.fair.leave_all()) {
            self.queue.push(&key);
        }
    }

    /// Nodes, namespaces or announcers changed.
    fn surroundings_changed(&mut self, change: &Change) {
        if !self.synced {
            return;
        }
        match change {
            Change::Upsert(Fact::Node(_)) | Change::Remove(FactKey::Node(_)) => {
                let nodes = self.reach.node_addresses();
                let pools = Arc::make_mut(&mut self.ledger).set_node_addresses(nodes);
                self.wake_pools(pools);
            }
            // A pool may admit more now. What is held is kept whatever it admits.
            Change::Upsert(Fact::Namespace(_)) | Change::Remove(FactKey::Namespace(_)) => {
                return self.begin_anew();
            }
            _ => {}
        }
        // Whether anybody can answer is said to those who have an address.
        self.unsaid.extend(self.said.keys().cloned());
    }

    /// Gives out what rested long enough.
    fn end_rests(&mut self, now: Time) {
        if self.ledger.next_rest_end().is_some_and(|at| at <= now.monotonic_us) {
            let pools = Arc::make_mut(&mut self.ledger).end_rests(now);
            self.wake_pools(pools);
        }
    }

    fn put_service(&mut self, service: &Arc<Service>, now: Time) {
        let key = &service.key;
        let old = self.services.get(key).map(|known| known.service.clone());
        // Deleted and made anew while nobody looked: it has nothing to do with the old one.
        let old = match old {
            Some(old) if old.uid != service.uid => {
                self.remove_service(key, now);
                None
            }
            other => other,
        };
        let Some(old) = old.filter(|_| self.synced) else {
            let known = Known::new(service.clone());
            self.services.insert(key.clone(), known);
            if self.synced {
                self.adopt(key);
                self.look_at(key);
            }
            return;
        };
        let Some(known) = self.services.get_mut(key) else { return };
        known.service = service.clone();
        if !only_status_differs(&old, service) {
            known.set(|trouble| trouble.lost = None);
            self.end_contest(key);
            self.reconsider(&old, service, now);
        }
        self.note_undone(&old, service, now);
        self.status_changed(&old, service);
    }

    /// A Service was edited: takes away what it no longer asks for or may no longer share, and asks for what it lacks.
    fn reconsider(&mut self, old: &Service, new: &Arc<Service>, now: Time) {
        let key = &new.key;
        let held = self.ledger.held(key).to_vec();
        let pool_names = |allocations: &Self| -> BTreeSet<String> {
            let stocks = held.iter().filter_map(|at| allocations.ledger.pool_of(*at));
            stocks.map(|stock| stock.pool().name.clone()).collect()
        };
        let pools = pool_names(self);
        let asks_for_other_pool = |allocations: &Self, address| {
            let pool = allocations.ledger.pool_of(address).map(|stock| &stock.pool().name);
            new.pool != old.pool && new.pool.is_some() && new.pool.as_ref() != pool
        };
        let (kept, dropped): (Vec<IpAddr>, Vec<IpAddr>) =
            held.iter().partition(|at| asks_for(new, **at) && !asks_for_other_pool(self, **at));
        let ledger = Arc::make_mut(&mut self.ledger);
        for address in dropped {
            ledger.release(key, address, now);
        }
        let lost = ledger.update(new, now);
        if let Some(known) = self.services.get_mut(key).filter(|_| !lost.is_empty()) {
            let text = "was shared, and with its new ports, policy or sharing key it may not be";
            known.set(|trouble| trouble.lost = Some(format!("{} {text}", addresses(&lost))));
        }
        let gave_back = kept.len() < held.len() || !lost.is_empty();
        let may_share_otherwise = !same_sharing(old, new);
        if may_share_otherwise && let Some(known) = self.services.get_mut(key) {
            known.set(|trouble| trouble.apart = None);
        }
        // What nobody holds any more rests first; what others still hold may be shared otherwise at once.
        if may_share_otherwise || (gave_back && !old.sharing_key.is_empty()) {
            self.wake_pools(pools);
        }
        if old.adopt != new.adopt || self.is_foreign(key) {
            self.adopt(key);
        }
        self.look_at(key);
    }

    fn remove_service(&mut self, key: &ServiceKey, now: Time) {
        let Some(known) = self.services.remove(key) else { return };
        let mut pools = BTreeSet::new();
        for address in self.ledger.held(key).to_vec() {
            pools.extend(self.ledger.pool_of(address).map(|stock| stock.pool().name.clone()));
            Arc::make_mut(&mut self.ledger).release(key, address, now);
        }
        if let Some(until) = known.trouble().contest.until() {
            self.pauses.remove(&(until, key.clone()));
        }
        self.turns.remove(key);
        self.queue.forget(key);
        self.fair.leave(key);
        self.breakers.forget(key);
        self.unsaid.remove(key);
        self.said.remove(key);
        if !known.service.sharing_key.is_empty() {
            self.wake_pools(pools);
        }
    }

    /// After anything happened to a Service: asks for what it lacks, and says how it stands.
    fn look_at(&mut self, key: &ServiceKey) {
        self.turns.remove(key);
        self.fair.leave(key);
        self.unsaid.insert(key.clone());
        let is_unclear = self.services.get(key).is_some_and(Known::is_unclear);
        if self.lacks(key).is_empty() || self.is_foreign(key) || is_unclear {
            self.queue.forget(key);
            if let Some(known) = self.services.get_mut(key) {
                known.set(|trouble| trouble.notes.clear());
            }
        } else {
            self.queue.push(key);
        }
    }

    /// Families of which a Service holds no address, preferred first.
    fn lacks(&self, key: &ServiceKey) -> Vec<Family> {
        let held = self.ledger.held(key);
        let has = |family: &Family| held.iter().any(|at| Family::of(at) == *family);
        let families = self.services.get(key).map(|known| &known.service.families);
        families.into_iter().flatten().filter(|family| !has(family)).copied().collect()
    }

    fn wake_pools(&mut self, pools: BTreeSet<String>) {
        if pools.is_empty() {
            return;
        }
        for pool in pools {
            self.queue.wake(&Cause::Pool(pool));
        }
        // They may have passed that pool already.
        for turn in self.turns.values_mut() {
            turn.again = true;
        }
    }
}

/// Whether an address is of a family and, where there are wishes, among the wishes of a Service.
fn asks_for(service: &Service, address: IpAddr) -> bool {
    let family = Family::of(&address);
    let mut wishes = service.wanted.iter().filter(|wanted| Family::of(wanted) == family).peekable();
    service.families.contains(&family)
        && (wishes.peek().is_none() || wishes.any(|wanted| *wanted == address))
}

fn only_status_differs(old: &Service, new: &Service) -> bool {
    old.spec == new.spec
}

fn same_sharing(old: &Service, new: &Service) -> bool {
    let facts = |s: &Service| {
        (s.sharing_key.clone(), s.ports.clone(), s.traffic_policy, s.selector.clone())
    };
    facts(old) == facts(new)
}

fn addresses(list: &[IpAddr]) -> String {
    list.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}
