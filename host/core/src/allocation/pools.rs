//! The active pools. Two active pools never overlap: the one that was there first stays, the other waits and reports
//! why. Does not know which addresses are held.
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::facts::{AddressRange, FailurePolicy, Pool};

/// Pools as written, and the last valid version of each that is active.
#[derive(Debug, Clone, Default)]
pub(super) struct Pools {
    offered: BTreeMap<String, Arc<Pool>>,
    accepted: BTreeMap<String, Arc<Pool>>,
    /// Pools that are being deleted. They block no other pool: a successor may take over the addresses that they
    /// assigned.
    draining: BTreeMap<String, Arc<Pool>>,
    /// Versions that were active in an earlier process, by the pools' status. Each counts until this process has an
    /// active version of the pool itself.
    remembered: BTreeMap<String, Arc<Pool>>,
    problems: BTreeMap<String, String>,
}

/// A step that the ledger must take, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Put(Arc<Pool>),
    Drain(Arc<Pool>),
    Retire(String),
}

impl Step {
    pub(super) fn pool(&self) -> &str {
        match self {
            Self::Put(pool) | Self::Drain(pool) => &pool.name,
            Self::Retire(name) => name,
        }
    }
}

impl Pools {
    /// Stores a pool as written. Returns false if no relevant field differs.
    pub(super) fn offer(&mut self, pool: &Arc<Pool>) -> bool {
        let mut pool = pool.clone();
        if pool.last_valid.is_some() {
            let mut offered = Pool::clone(&pool);
            if let Some(last) = offered.last_valid.take() {
                let last = Arc::new(Pool { draining: false, last_valid: None, ..*last });
                self.remembered.insert(pool.name.clone(), last);
            }
            pool = Arc::new(offered);
        }
        if self.offered.get(&pool.name) == Some(&pool) {
            return false;
        }
        self.offered.insert(pool.name.clone(), pool);
        true
    }

    /// Returns the failure policy of an active pool.
    pub(super) fn failure_policy(&self, name: &str) -> FailurePolicy {
        self.accepted.get(name).map_or_else(FailurePolicy::default, |pool| pool.failure_policy)
    }

    pub(super) fn withdraw(&mut self, name: &str) -> bool {
        self.remembered.remove(name);
        self.offered.remove(name).is_some()
    }

    /// Returns the active version, or the one that was active last.
    pub(super) fn last_valid(&self, name: &str) -> Option<&Arc<Pool>> {
        let in_force = self.accepted.get(name).or_else(|| self.draining.get(name));
        in_force.or_else(|| self.remembered.get(name))
    }

    /// Returns every existing pool, active or not.
    pub(super) fn offered(&self) -> &BTreeMap<String, Arc<Pool>> {
        &self.offered
    }

    pub(super) fn is_accepted(&self, name: &str) -> bool {
        self.accepted.contains_key(name)
    }

    pub(super) fn problems(&self) -> &BTreeMap<String, String> {
        &self.problems
    }

    /// Activates every pool version that can be active. Removals and edits may make room for other pools, regardless
    /// of the order in which they are examined, so this repeats until nothing more fits.
    pub(super) fn settle(&mut self) -> Vec<Step> {
        let known = self.accepted.keys().chain(self.draining.keys());
        let gone: Vec<String> =
            known.filter(|name| !self.offered.contains_key(*name)).cloned().collect();
        self.accepted.retain(|name, _| self.offered.contains_key(name));
        self.draining.retain(|name, _| self.offered.get(name).is_some_and(|pool| pool.draining));
        let mut steps: Vec<Step> = gone.into_iter().map(Step::Retire).collect();
        for (name, pool) in self.offered.iter().filter(|(_, pool)| pool.draining) {
            // Drain its last valid version, if there was one: that is what its addresses came from.
            let last = self.accepted.remove(name).or_else(|| self.remembered.get(name).cloned());
            let last = last.unwrap_or_else(|| pool.clone());
            if !self.draining.contains_key(name) {
                self.draining.insert(name.clone(), last.clone());
                steps.push(Step::Drain(last));
            }
        }
        steps.extend(self.recall());
        loop {
            self.problems.clear();
            let before = steps.len();
            for (name, pool) in self.offered.iter().filter(|(_, pool)| !pool.draining) {
                if self.accepted.get(name) == Some(pool) {
                    continue;
                }
                if let Some(problem) = self.problem(pool) {
                    self.problems.insert(name.clone(), problem);
                    continue;
                }
                self.accepted.insert(name.clone(), pool.clone());
                steps.push(Step::Put(pool.clone()));
            }
            if steps.len() == before {
                return steps;
            }
        }
    }

    /// Activates the versions that were active when another process led. They take precedence over later edits,
    /// regardless of the order in which the pools are examined.
    fn recall(&mut self) -> Vec<Step> {
        let known = self.remembered.iter().filter(|(name, _)| {
            let offered = self.offered.get(*name).is_some_and(|pool| !pool.draining);
            offered && !self.accepted.contains_key(*name)
        });
        let known: Vec<Arc<Pool>> = known.map(|(_, pool)| pool.clone()).collect();
        let mut steps = Vec::new();
        for pool in known {
            if self.problem(&pool).is_none() {
                self.accepted.insert(pool.name.clone(), pool.clone());
                steps.push(Step::Put(pool));
            }
        }
        steps
    }

    /// Returns the active pools in the order in which they are tried: first those restricted to certain Services,
    /// then the others; by priority (0 = last), then by name, so that every leader gets the same order.
    pub(super) fn in_order(&self) -> Vec<Arc<Pool>> {
        let mut pools: Vec<Arc<Pool>> = self.accepted.values().cloned().collect();
        pools.sort_by_key(|pool| {
            let is_for_all = is_for_all_namespaces(pool) && pool.service_selector.is_empty();
            (is_for_all, pool.priority == 0, pool.priority) // stable: names are in order already
        });
        pools
    }

    fn problem(&self, pool: &Pool) -> Option<String> {
        let others = self.accepted.values().filter(|other| other.name != pool.name);
        let (other, shared) = others.into_iter().find_map(|other| {
            overlap(&pool.addresses, &other.addresses).map(|shared| (other, shared))
        })?;
        let kept = match self.accepted.get(&pool.name) {
            Some(_) => "; until then its last valid version stays active",
            None => "",
        };
        Some(format!(
            "pool {:?} overlaps pool {:?} in {shared}: remove these addresses from one of them{kept}",
            pool.name, other.name,
        ))
    }
}

/// Returns true if the owner of a pool lets every namespace use it.
pub(super) fn is_for_all_namespaces(pool: &Pool) -> bool {
    pool.namespaces.is_empty() && pool.namespace_selector.is_none()
}

fn overlap(one: &[AddressRange], other: &[AddressRange]) -> Option<String> {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
    let (a, b) = pairs.into_iter().find(|(a, b)| a.overlaps(b))?;
    let (first, last) = (a.first().max(b.first()), a.last().min(b.last()));
    Some(if first == last { first.to_string() } else { format!("{first}-{last}") })
}
