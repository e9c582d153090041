//! The state of a pool, for its status: counts, and conditions that name the affected objects and the fix. Does not
//! know how the status is written.
use std::collections::BTreeMap;

use outrigger_sdk::Family;

use super::Allocations;
use super::attempt_failure::printable;
use crate::facts::{FailurePolicy, Pool, ServiceKey};
use crate::ledger::{PoolPhase, Stock};

/// Maximum number of names in one message.
const NAMES_SHOWN: usize = 5;

/// The status of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolStatus {
    /// Counts of IPv4 addresses.
    pub ipv4: Counts,
    /// Counts of IPv6 addresses.
    pub ipv6: Counts,
    /// The conditions: always `Ready`, the others only while they apply.
    pub conditions: Vec<PoolCondition>,
}

/// Numbers of addresses of one family; saturate if a pool is as wide as `::/0`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Number of addresses that the pool can assign.
    pub capacity: u128,
    /// Number of addresses that Services hold, including those that the pool would no longer assign.
    pub allocated: u128,
    /// Number of addresses that can be assigned now: without those that were just released, and those of nodes.
    pub free: u128,
}

/// A condition of an AddressPool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolCondition {
    /// Type of the condition.
    pub kind: PoolConditionType,
    /// Status of the condition.
    pub status: bool,
    /// The reason, in CamelCase.
    pub reason: &'static str,
    /// The message, which names the affected objects and the fix.
    pub message: String,
}

impl PoolCondition {
    /// Returns true if the condition needs attention and is worth an Event. The deletion of a pool is intended and is
    /// not worth one.
    pub fn warns(&self) -> bool {
        match self.kind {
            PoolConditionType::Ready => {
                !self.status && !matches!(self.reason, "Draining" | "Pending")
            }
            PoolConditionType::Draining => false,
            PoolConditionType::Shrunk
            | PoolConditionType::Overlap
            | PoolConditionType::PolicyFailed => self.status,
        }
    }
}

/// The conditions that an AddressPool may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PoolConditionType {
    /// The pool assigns addresses.
    Ready,
    /// The pool is being deleted, and Services still hold some of its addresses.
    Draining,
    /// Services hold addresses that are no longer in the pool.
    Shrunk,
    /// The pool overlaps another pool, or contains addresses of nodes.
    Overlap,
    /// The pool's policy failed when it was asked last.
    PolicyFailed,
}

impl PoolConditionType {
    /// Returns the name of the type in Kubernetes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Draining => "Draining",
            Self::Shrunk => "Shrunk",
            Self::Overlap => "Overlap",
            Self::PolicyFailed => "PolicyFailed",
        }
    }
}

impl Allocations {
    /// Returns the status of every existing pool, active or not; none before everything was listed.
    pub fn pool_statuses(&self) -> BTreeMap<String, PoolStatus> {
        let names = self.pools.offered().keys();
        names.filter_map(|name| Some((name.clone(), self.pool_status(name)?))).collect()
    }

    /// Returns the status of one pool; `None` if there is no pool of this name, and before everything was listed:
    /// until then it is unknown which Services use it (invariant 2).
    pub fn pool_status(&self, name: &str) -> Option<PoolStatus> {
        let pool = self.pools.offered().get(name).filter(|_| self.synced)?;
        let stock = self.ledger.pool(name);
        let counts = |family| stock.map_or_else(Counts::default, |stock| counts(stock, family));
        let (ipv4, ipv6) = (counts(Family::Ipv4), counts(Family::Ipv6));
        let mut conditions = vec![self.ready(name, pool.draining, [&ipv4, &ipv6])];
        conditions.extend(stock.filter(|_| pool.draining).and_then(|_| self.draining(name)));
        conditions.extend(stock.filter(|_| !pool.draining).and_then(|stock| self.shrunk(stock)));
        conditions.extend(self.overlap(name, stock));
        conditions.extend(self.policy_failed(name));
        Some(PoolStatus { ipv4, ipv6, conditions })
    }

    /// Returns the Services that hold addresses of a pool, in order: while there are any, its object must not be
    /// removed. The result is only meaningful if [`Allocations::pool_status`] returns a status.
    pub fn pool_users(&self, name: &str) -> Vec<ServiceKey> {
        self.ledger.users(name).into_iter().cloned().collect()
    }

    /// Returns the version of a pool that is active, or was active last: the version that the next leader starts
    /// with.
    pub fn last_valid(&self, name: &str) -> Option<&Pool> {
        self.pools.last_valid(name).map(|pool| &**pool)
    }

    fn ready(&self, name: &str, draining: bool, families: [&Counts; 2]) -> PoolCondition {
        let condition = |status, reason, message: String| PoolCondition {
            kind: PoolConditionType::Ready,
            status,
            reason,
            message,
        };
        if draining {
            let message = "it is being deleted and assigns no new addresses".to_owned();
            return condition(false, "Draining", message);
        }
        let problem = self.pools.problems().get(name);
        if !self.pools.is_accepted(name) {
            let message = problem.cloned().unwrap_or_else(|| "no controller leads yet".to_owned());
            let reason = if problem.is_some() { "Overlap" } else { "Pending" };
            return condition(false, reason, message);
        }
        let mut families = families.into_iter().filter(|family| family.capacity > 0).peekable();
        if families.peek().is_none() {
            let message = "it excludes all of its addresses: exclude fewer".to_owned();
            return condition(false, "Empty", message);
        }
        if families.all(|family| family.free == 0) {
            let message = "none of its addresses is free: add some or delete Services".to_owned();
            return condition(true, "Exhausted", message);
        }
        condition(true, "InForce", "it assigns addresses".to_owned())
    }

    fn draining(&self, name: &str) -> Option<PoolCondition> {
        let users = self.pool_users(name);
        if users.is_empty() {
            return None;
        }
        let message = format!(
            "it is deleted when no Service holds an address of it; {} do: delete them, or set another pool in their annotation outrigger.dev/pool",
            names(&users)
        );
        Some(PoolCondition {
            kind: PoolConditionType::Draining,
            status: true,
            reason: "InUse",
            message,
        })
    }

    fn shrunk(&self, stock: &Stock) -> Option<PoolCondition> {
        let users: Vec<ServiceKey> = {
            let holders = stock.strays().iter().flat_map(|at| self.ledger.holders(*at));
            let mut users: Vec<_> = holders.cloned().collect();
            users.sort_unstable();
            users.dedup();
            users
        };
        let first = stock.strays().first()?;
        let message = format!(
            "{} hold {first}{}, which it no longer assigns, and keep these addresses: add these addresses back, or request others for the Services",
            names(&users),
            match stock.strays().len() {
                1 => String::new(),
                more => format!(" and {} more", more - 1),
            },
        );
        Some(PoolCondition {
            kind: PoolConditionType::Shrunk,
            status: true,
            reason: "InUse",
            message,
        })
    }

    fn policy_failed(&self, name: &str) -> Option<PoolCondition> {
        let fault = printable(self.breakers.fault(name)?);
        let pool = self.pools.last_valid(name)?;
        let plugin = &pool.allocator.plugin;
        let meanwhile = match pool.failure_policy {
            FailurePolicy::Wait => "until then Services that need an address of this pool wait",
            FailurePolicy::NextPool => "until then Services use the next pool",
            FailurePolicy::Builtin => {
                "until then the policy \"lowest-free\" of this release decides"
            }
        };
        let message = format!(
            "its policy {plugin:?} failed at its last call: {fault}; deliver a build that works, or set another in spec.allocator.plugin; {meanwhile}"
        );
        Some(PoolCondition {
            kind: PoolConditionType::PolicyFailed,
            status: true,
            reason: "PolicyFault",
            message,
        })
    }

    fn overlap(&self, name: &str, stock: Option<&Stock>) -> Option<PoolCondition> {
        let in_force = stock.filter(|stock| stock.standing() == PoolPhase::InForce);
        let nodes = in_force.map(|stock| self.ledger.node_addresses(stock)).unwrap_or_default();
        let (reason, message) = match (self.pools.problems().get(name), nodes.first()) {
            (Some(problem), _) => ("Pool", problem.clone()),
            (None, Some((address, node))) => {
                let more = match nodes.len() {
                    1 => String::new(),
                    more => format!(" (and {} more addresses of nodes)", more - 1),
                };
                let message = format!(
                    "it contains {address}, the address of node {node}{more}, which is never assigned: exclude it"
                );
                ("NodeAddress", message)
            }
            (None, None) => return None,
        };
        Some(PoolCondition { kind: PoolConditionType::Overlap, status: true, reason, message })
    }
}

fn counts(stock: &Stock, family: Family) -> Counts {
    let strays = stock.strays().iter().filter(|at| Family::of(at) == family).count();
    Counts {
        capacity: stock.total(family),
        allocated: stock.given(family).saturating_add(strays as u128),
        free: match stock.standing() {
            PoolPhase::InForce => stock.free(family),
            _ => 0,
        },
    }
}

fn names(services: &[ServiceKey]) -> String {
    let shown = services.iter().take(NAMES_SHOWN).map(ServiceKey::to_string);
    let shown = shown.collect::<Vec<_>>().join(", ");
    match services.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
