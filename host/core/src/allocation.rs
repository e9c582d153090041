//! Allocation of addresses to Services: takes facts, asks policies, checks every answer against the ledger, and
//! reports the result. It decides and does not act: running the policy and writing the status is left to the caller.
//! Must not know a clock, plugins or Kubernetes.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_sdk::{Family, Request, Time};

use crate::facts::{Change, Fact, FactKey, PluginRef, Pool, Service, ServiceKey};
use crate::ledger::{Ledger, PoolView};
use crate::plan::Announceable;

mod adopt;
mod attempt;
mod attempt_failure;
mod breaker;
mod fair;
mod pool_match;
mod pool_status;
mod pools;
mod queue;
mod result;
mod service_state;
mod status_conflict;
#[cfg(test)]
mod tests;
mod why;

pub use pool_status::{Counts, PoolCondition, PoolConditionType, PoolStatus};
pub use result::{AllocationResult, Condition};
pub use why::{PoolOutcome, PoolWord};

use attempt::Attempt;
use breaker::Breakers;
use fair::FairQueue;
use pools::{Pools, Step};
use queue::{Cause, Queue};
use service_state::{LastPublished, ServiceState};
use status_conflict::Backoffs;

/// The allocation of a whole cluster. To drive it, `apply` changes, `answer` every question that `poll` returns until
/// it returns none, publish the `verdicts`, and call `poll` again at `next_deadline`.
///
/// No policy is asked before [`Change::Synced`]; then every address that Services already hold is adopted before any
/// new address is assigned. An address that is held is kept until its Service asks for something else (invariant 4).
#[derive(Debug, Clone, Default)]
pub struct Allocations {
    synced: bool,
    services: BTreeMap<ServiceKey, ServiceState>,
    pools: Pools,
    /// Active pools in the order in which they are tried.
    order: Vec<Arc<Pool>>,
    ledger: Arc<Ledger>,
    /// Nodes, namespaces and announcers.
    reach: Announceable,
    queue: Queue,
    /// Services that wait for the policy of a pool.
    fair: FairQueue,
    breakers: Breakers,
    /// Services that are on their way through the pools. A Service that waits in `fair` without a turn is at the
    /// first pool.
    turns: BTreeMap<ServiceKey, Attempt>,
    next_turn: u64,
    /// Services whose verdict may have changed.
    unsaid: BTreeSet<ServiceKey>,
    /// Services whose status another controller keeps undoing, and the time until which it is left alone.
    pauses: Backoffs,
    said: BTreeMap<ServiceKey, LastPublished>,
}

/// A question to a policy. It must be passed to [`Allocations::answer`], with a fault if there is no other result.
#[derive(Debug, Clone)]
pub struct Question {
    /// The Service that needs an address.
    pub service: ServiceKey,
    /// The pool that the address may come from.
    pub pool: String,
    /// The policy to ask: that of the pool, or the built-in one.
    pub plugin: PluginRef,
    /// True if the built-in policy is to be asked, regardless of any build delivered under its name, because the
    /// pool's own policy failed.
    pub built_in: bool,
    /// The request for the policy.
    pub request: Request,
    /// The view of the pool that the policy may read.
    pub view: PoolView,
    /// Identifies the turn, so that a late answer can be told from an expected one.
    turn: u64,
    /// Time of the question, in monotonic microseconds.
    asked_us: u64,
}

impl Allocations {
    /// Applies a change of the cluster's facts.
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
            // Endpoints and plugins decide where an address is announced, not which address it is.
            _ => {}
        }
    }

    /// Reports that another build of a plugin is active from now on: Services that its pools refused ask again.
    /// Addresses that are held stay held.
    pub fn plugin_changed(&mut self, plugin: &str) {
        for pool in self.order.iter().filter(|pool| pool.allocator.plugin == plugin) {
            self.breakers.reset(&pool.name);
            self.queue.wake(&Cause::Pool(pool.name.clone()));
        }
    }

    /// Returns the time at which to call `poll` again even if nothing changed, in monotonic microseconds.
    pub fn next_deadline(&self) -> Option<u64> {
        let ends = [self.queue.next_deadline(), self.ledger.next_rest_end(), self.next_pause_end()];
        ends.into_iter().flatten().min()
    }

    /// Returns the pools whose current version is not applied, with the reason.
    pub fn problems(&self) -> BTreeMap<String, String> {
        self.pools.problems().clone()
    }

    /// Returns the ledger of held addresses; its pools are the active ones, those that drain, and deleted ones with
    /// addresses that are still held.
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
        // An address that another controller wrote must not displace one that this controller assigned.
        let is_ours = |key: &&ServiceKey| self.services[*key].service.ours;
        let (ours, others): (Vec<&ServiceKey>, Vec<&ServiceKey>) = keys.iter().partition(is_ours);
        for key in ours.into_iter().chain(others) {
            self.adopt(key);
        }
        for key in &keys {
            self.look_at(key);
        }
    }

    /// Applies changes of the pools, once everything has been listed: before that the order of arrival means nothing.
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
        // Messages name pools, so the verdicts of Services with an address in a changed pool, or in none, may change.
        // Services without an address start again below.
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

    /// Lets every Service that waits or is on its way through the pools start again: its position in the order of
    /// pools is no longer valid.
    fn begin_anew(&mut self) {
        self.queue.wake_all();
        let on_the_way = std::mem::take(&mut self.turns).into_keys();
        for key in on_the_way.chain(self.fair.leave_all()) {
            self.queue.push(&key);
        }
    }

    /// Applies a change of nodes, namespaces or announcers.
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
            // A pool may admit more Services now. An address that is held is kept regardless of what its pool admits.
            Change::Upsert(Fact::Namespace(_)) | Change::Remove(FactKey::Namespace(_)) => {
                return self.begin_anew();
            }
            _ => {}
        }
        // The verdicts on Services with an address report if any node can answer for it.
        self.unsaid.extend(self.said.keys().cloned());
    }

    /// Releases the addresses that have rested long enough.
    fn end_rests(&mut self, now: Time) {
        if self.ledger.next_rest_end().is_some_and(|at| at <= now.monotonic_us) {
            let pools = Arc::make_mut(&mut self.ledger).end_rests(now);
            self.wake_pools(pools);
        }
    }

    fn put_service(&mut self, service: &Arc<Service>, now: Time) {
        let key = &service.key;
        let old = self.services.get(key).map(|known| known.service.clone());
        // A Service that was deleted and recreated between two observations has nothing to do with the old one.
        let old = match old {
            Some(old) if old.uid != service.uid => {
                self.remove_service(key, now);
                None
            }
            other => other,
        };
        let Some(old) = old.filter(|_| self.synced) else {
            let known = ServiceState::new(service.clone());
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

    /// Handles an edited Service: releases the addresses that it no longer asks for or may no longer share, and asks
    /// for those that it lacks.
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
            let text = "was shared, but its new ports, policy or sharing key forbid it";
            known.set(|trouble| trouble.lost = Some(format!("{} {text}", addresses(&lost))));
        }
        let gave_back = kept.len() < held.len() || !lost.is_empty();
        let may_share_otherwise = !same_sharing(old, new);
        if may_share_otherwise && let Some(known) = self.services.get_mut(key) {
            known.set(|trouble| trouble.apart = None);
        }
        // An address without any holder rests first; one that other Services still hold may be shared differently at
        // once.
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

    /// Queues a Service after any change to it, if it lacks an address, and marks its verdict as possibly changed.
    fn look_at(&mut self, key: &ServiceKey) {
        self.turns.remove(key);
        self.fair.leave(key);
        self.unsaid.insert(key.clone());
        let is_unclear = self.services.get(key).is_some_and(ServiceState::is_unclear);
        if self.lacks(key).is_empty() || self.is_foreign(key) || is_unclear {
            self.queue.forget(key);
            if let Some(known) = self.services.get_mut(key) {
                known.set(|trouble| trouble.notes.clear());
            }
        } else {
            self.queue.push(key);
        }
    }

    /// Returns the families of which a Service holds no address, preferred first.
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
        // Services on their way may have passed that pool already.
        for turn in self.turns.values_mut() {
            turn.again = true;
        }
    }
}

/// Returns true if an address is of a family of the Service and, if the Service wishes for specific addresses of that
/// family, is one of them.
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
