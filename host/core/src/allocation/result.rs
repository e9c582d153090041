//! The verdict on a Service: its addresses and one condition that names the object and the fix.
use std::net::IpAddr;

use outrigger_sdk::Family;

use super::attempt_failure::AttemptFailure;
use super::{Allocations, LastPublished, ServiceState, addresses};
use crate::facts::{Service, ServiceKey};

/// Maximum number of notes in a message; more would not help the reader.
const NOTES_SHOWN: usize = 4;

/// The result for a Service. Published again only if it changes, or if another writer changed the status.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AllocationResult {
    /// The Service.
    pub service: ServiceKey,
    /// The addresses that it holds, in the order of its families; empty while it waits. While the status belongs to
    /// another controller, the addresses that are there.
    pub addresses: Vec<IpAddr>,
    /// True if the ingress is to be written; false if it belongs to another controller: write the condition and leave
    /// the ingress as it is.
    pub writes_ingress: bool,
    /// The pool of the first address; `None` also for an adopted address outside of every pool.
    pub pool: Option<String>,
    /// The condition of the Service.
    pub condition: Condition,
}

/// A condition as in Kubernetes, of a type that means "has an address".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Condition {
    /// True if the Service has an address.
    pub status: bool,
    /// The reason, in CamelCase.
    pub reason: String,
    /// The message, which names the object and the fix.
    pub message: String,
}

impl Condition {
    /// Returns true if the condition needs attention and is worth an Event. Success is not worth one, nor is a family
    /// that was only preferred and is not available.
    pub fn warns(&self) -> bool {
        !self.status || !matches!(self.reason.as_str(), "Allocated" | "PartlyAllocated")
    }
}

impl Allocations {
    /// Returns the verdicts that changed since the last call, in key order. A Service that is still on its way
    /// through the pools is left out, and a removed one is never mentioned again. Each verdict counts as published
    /// when the iterator returns it.
    pub fn verdicts(&mut self) -> impl Iterator<Item = AllocationResult> {
        let is_open = |key: &ServiceKey| {
            self.queue.is_pending(key) || self.turns.contains_key(key) || self.fair.contains(key)
        };
        let ready: Vec<ServiceKey> =
            self.unsaid.iter().filter(|key| !is_open(key)).cloned().collect();
        ready.into_iter().filter_map(|key| {
            self.unsaid.remove(&key);
            let verdict = self.verdict(self.services.get(&key)?);
            let said = LastPublished::from(&verdict);
            if self.said.get(&key) == Some(&said) {
                return None;
            }
            self.said.insert(key, said);
            Some(verdict)
        })
    }

    pub(super) fn verdict(&self, known: &ServiceState) -> AllocationResult {
        let service = &known.service;
        if let Some(verdict) = self.contested(&service.key) {
            return verdict;
        }
        if !known.trouble().foreign.is_empty() {
            return self.left_alone(known);
        }
        let mut addresses = self.ledger.held(&service.key).to_vec();
        addresses.sort_by_key(|at| service.families.iter().position(|f| *f == Family::of(at)));
        let pool = addresses.first().and_then(|at| self.pool_name(*at));
        let mut condition = match addresses.as_slice() {
            [] => self.pending(known),
            held => self.allocated(known, held),
        };
        if let Some(lost) = &known.trouble().lost {
            condition.message.push_str(&format!("; {lost}"));
        }
        AllocationResult {
            service: service.key.clone(),
            addresses,
            writes_ingress: true,
            pool,
            condition,
        }
    }

    fn left_alone(&self, known: &ServiceState) -> AllocationResult {
        let service = &known.service;
        let written = addresses(&known.trouble().foreign);
        let held = self.ledger.held(&service.key);
        let taken =
            known.trouble().foreign.iter().find_map(|at| self.ledger.may_hold(service, *at).err());
        let message = match (held, taken) {
            ([], Some(holder)) => format!(
                "Service {}: {written} in its status was written by another controller and is not changed, though Service {holder} holds it: to have it replaced, annotate the Service with outrigger.dev/adopt: \"true\"",
                service.key
            ),
            ([], None) => format!(
                "Service {}: {written} in its status was written by another controller and is not changed: to keep it, add it to an AddressPool; to have it replaced, annotate the Service with outrigger.dev/adopt: \"true\"",
                service.key
            ),
            (held, _) => format!(
                "Service {}: another controller wrote {written} into its status in place of {}: stop that controller or give the Service another loadBalancerClass; to have it written back, annotate the Service with outrigger.dev/adopt: \"true\"",
                service.key,
                addresses(held)
            ),
        };
        AllocationResult {
            service: service.key.clone(),
            addresses: service.ingress.to_vec(),
            writes_ingress: false,
            pool: None,
            condition: Condition { status: false, reason: "ForeignAddress".to_owned(), message },
        }
    }

    fn allocated(&self, known: &ServiceState, held: &[IpAddr]) -> Condition {
        let service = &known.service;
        let origin = |at: &IpAddr| match self.pool_name(*at) {
            Some(pool) => format!("{at} from pool {pool:?}"),
            None => format!("{at} from its status"),
        };
        let mut message = held.iter().map(origin).collect::<Vec<_>>().join(", ");
        let mut reason = "Allocated";
        // A pool that is being deleted reports itself which Services it waits for; nothing changes for its Services.
        let is_in_pool =
            |at: &&IpAddr| self.ledger.pool_of(**at).is_some_and(|stock| stock.contains(**at));
        let draining: Vec<IpAddr> = held.iter().filter(|at| !is_in_pool(at)).copied().collect();
        if !draining.is_empty() {
            reason = "Draining";
            message.push_str(&format!(
                "; {} is no longer in any pool and is kept until the Service requests another address",
                addresses(&draining)
            ));
        }
        if let Some(apart) = &known.trouble().apart {
            reason = "NotShared";
            message.push_str(&format!("; {apart}"));
        }
        if let Some(nobody) = held.iter().find_map(|at| self.reach.nobody(*at, service)) {
            reason = "NoEligibleNode";
            message.push_str(&format!("; {nobody}"));
        }
        let first_pool = held.first().and_then(|at| self.pool_name(*at));
        if let Some(asked) =
            service.pool.as_ref().filter(|asked| Some(*asked) != first_pool.as_ref())
        {
            message.push_str(&format!("; it requests pool {asked:?}, but keeps what it holds"));
        }
        let lacking = self.lacks(&service.key);
        if let Some(family) = lacking.first() {
            reason = "PartlyAllocated";
            message.push_str(&format!("; no {family} address: {}", why(known).message));
        }
        if let Some(problem) = impossible(service).filter(|_| lacking.is_empty()) {
            reason = "InvalidAddresses";
            message.push_str(&format!("; {problem}"));
        }
        if let Some(problem) = &service.problem {
            reason = "InvalidService";
            message.push_str(&format!(
                "; its addresses are kept, but its manifest is invalid: {problem}"
            ));
        }
        Condition { status: true, reason: reason.to_owned(), message }
    }

    fn pending(&self, known: &ServiceState) -> Condition {
        let AttemptFailure { reason, message, .. } = why(known);
        let message = format!("Service {} has no address: {message}", known.service.key);
        Condition { status: false, reason, message }
    }

    /// Returns the reason why no pool was considered.
    pub(super) fn no_candidate(&self, service: &Service, family: Family) -> AttemptFailure {
        if let Some(name) = &service.pool {
            let in_force = self.order.iter().find(|pool| pool.name == *name);
            let is_draining = self.pools.offered().get(name).is_some_and(|pool| pool.draining);
            match (in_force, self.pools.problems().get(name)) {
                (None, _) if is_draining => {
                    let message = format!(
                        "pool {name:?} is being deleted and assigns no new addresses: request another"
                    );
                    return AttemptFailure::new("PoolNotFound", message);
                }
                (None, Some(problem)) => {
                    return AttemptFailure::new(
                        "PoolNotFound",
                        format!("pool {name:?} is not active: {problem}"),
                    );
                }
                (None, None) => {
                    let message =
                        format!("there is no pool {name:?}: create it or correct the annotation");
                    return AttemptFailure::new("PoolNotFound", message);
                }
                (Some(pool), _) if !self.admits(pool, service) => {
                    let message = format!(
                        "pool {name:?} does not admit it: check the pool's namespaces, namespaceSelector and serviceSelector"
                    );
                    return AttemptFailure::new("PoolNotAllowed", message);
                }
                _ => {}
            }
        }
        let of_family = service.wanted.iter().filter(|at| Family::of(at) == family);
        let wanted: Vec<IpAddr> = of_family.copied().collect();
        if !wanted.is_empty() {
            let message = format!(
                "{} is requested, but is in no pool that it may use: add it to a pool or request another",
                addresses(&wanted)
            );
            return AttemptFailure::new("AddressNotInPool", message);
        }
        let message = match &service.pool {
            _ if self.order.is_empty() => "there is no AddressPool: create one".to_owned(),
            Some(name) => format!("pool {name:?} has no {family} addresses: add some"),
            None => format!(
                "no pool with {family} addresses is available to it: check autoAssign, namespaces, \
                 namespaceSelector and serviceSelector of the pools"
            ),
        };
        AttemptFailure::new("NoPool", message)
    }

    fn pool_name(&self, address: IpAddr) -> Option<String> {
        self.ledger.pool_of(address).map(|stock| stock.pool().name.clone())
    }
}

fn why(known: &ServiceState) -> AttemptFailure {
    if let Some(problem) = &known.service.problem {
        return AttemptFailure::new("InvalidService", problem.clone());
    }
    if let Some(problem) = impossible(&known.service) {
        return AttemptFailure::new("InvalidAddresses", problem);
    }
    let mut notes = known.trouble().notes.iter();
    let shown: Vec<&str> =
        notes.by_ref().take(NOTES_SHOWN).map(|note| note.message.as_str()).collect();
    let mut message = shown.join("; ");
    if notes.len() > 0 {
        message.push_str(&format!("; and {} more", notes.len()));
    }
    let reason = known.trouble().notes.first().map_or("Pending", |note| note.reason.as_str());
    AttemptFailure::new(reason, message)
}

impl ServiceState {
    /// Returns true if it is unclear what the Service asks for, so that nothing is assigned to it and nothing taken
    /// away.
    pub(super) fn is_unclear(&self) -> bool {
        self.service.problem.is_some() || impossible(&self.service).is_some()
    }
}

/// Returns the problem with a wish that no pool could grant; `None` if there is none.
fn impossible(service: &Service) -> Option<String> {
    for (n, address) in service.wanted.iter().enumerate() {
        let family = Family::of(address);
        if !service.families.contains(&family) {
            return Some(format!(
                "{address} is requested, but the Service has no {family} family: correct the address or its ipFamilies"
            ));
        }
        if let Some(other) = service.wanted[..n].iter().find(|other| Family::of(other) == family) {
            return Some(format!(
                "{other} and {address} are requested: request one {family} address"
            ));
        }
    }
    None
}
