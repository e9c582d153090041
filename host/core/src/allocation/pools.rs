//! Which pools are in force. Two pools never overlap: the one that was there first stays, the other waits and says why.
//! Knows nothing of who holds what.
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::facts::{AddressRange, FailurePolicy, Pool};

/// Pools as written, and the last good version of each that is in force.
#[derive(Debug, Clone, Default)]
pub(super) struct Pools {
    offered: BTreeMap<String, Arc<Pool>>,
    accepted: BTreeMap<String, Arc<Pool>>,
    /// Being deleted. They are in nobody's way: a successor may take over what they gave.
    draining: BTreeMap<String, Arc<Pool>>,
    /// What an earlier process had in force, by the pools' status. Counts until this one has a version in force itself.
    remembered: BTreeMap<String, Arc<Pool>>,
    problems: BTreeMap<String, String>,
}

/// What follows for the ledger, in order.
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
    /// False when nothing differs that matters.
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

    /// The failure policy of a pool in force.
    pub(super) fn failure_policy(&self, name: &str) -> FailurePolicy {
        self.accepted.get(name).map_or_else(FailurePolicy::default, |pool| pool.failure_policy)
    }

    pub(super) fn withdraw(&mut self, name: &str) -> bool {
        self.remembered.remove(name);
        self.offered.remove(name).is_some()
    }

    /// The version in force, or the one that was in force last.
    pub(super) fn last_valid(&self, name: &str) -> Option<&Arc<Pool>> {
        let in_force = self.accepted.get(name).or_else(|| self.draining.get(name));
        in_force.or_else(|| self.remembered.get(name))
    }

    /// Every pool that there is, in force or not.
    pub(super) fn offered(&self) -> &BTreeMap<String, Arc<Pool>> {
        &self.offered
    }

    pub(super) fn is_accepted(&self, name: &str) -> bool {
        self.accepted.contains_key(name)
    }

    pub(super) fn problems(&self) -> &BTreeMap<String, String> {
        &self.problems
    }

    /// Brings into force what can be. Removals and edits may make room for others, in whatever order they are looked
    /// at, so this goes on until nothing more fits.
    pub(super) fn settle(&mut self) -> Vec<Step> {
        let known = self.accepted.keys().chain(self.draining.keys());
        let gone: Vec<String> =
            known.filter(|name| !self.offered.contains_key(*name)).cloned().collect();
        self.accepted.retain(|name, _| self.offered.contains_key(name));
        self.draining.retain(|name, _| self.offered.get(name).is_some_and(|pool| pool.draining));
        let mut steps: Vec<Step> = gone.into_iter().map(Step::Retire).collect();
        for (name, pool) in self.offered.iter().filter(|(_, pool)| pool.draining) {
            // Its last valid version, if there was one: that is what its addresses came from.
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

    /// What was in force when another process led goes before what was written since, in whatever order the pools are looked at.
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

    /// Pools in force in the order in which they are tried: first those made for certain Services, then the others; by
    /// priority (0 = last), then by name, so that every leader comes to the same order.
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
            Some(_) => "; until then its last valid version stays in force",
            None => "",
        };
        Some(format!(
            "pool {:?} overlaps pool {:?} in {shared}: remove these addresses from one of them{kept}",
            pool.name, other.name,
        ))
    }
}

/// Whether the owner of a pool lets every namespace use it.
pub(super) fn is_for_all_namespaces(pool: &Pool) -> bool {
    pool.namespaces.is_empty() && pool.namespace_selector.is_none()
}

fn overlap(one: &[AddressRange], other: &[AddressRange]) -> Option<String> {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
    let (a, b) = pairs.into_iter().find(|(a, b)| a.overlaps(b))?;
    let (first, last) = (a.first().max(b.first()), a.last().min(b.last()));
    Some(if first == last { first.to_string() } else { format!("{first}-{last}") })
}
