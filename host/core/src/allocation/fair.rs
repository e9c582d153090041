//! Services that wait for a policy's answer, in one line for each pool. The pool whose policy used the least time is
//! served next, so that a slow policy only delays the Services of its own pools. Does not know what is asked.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::facts::ServiceKey;

/// Start-time fair queueing: a line that was empty starts level with the line that was served last.
#[derive(Debug, Clone, Default)]
pub(super) struct FairQueue {
    lines: BTreeMap<Arc<str>, Line>,
    /// The line that each Service waits in, and a flag that is true if it stands back there.
    places: BTreeMap<ServiceKey, (Arc<str>, bool)>,
    /// Microseconds that the line served last had used when it was served.
    floor_us: u64,
}

#[derive(Debug, Clone, Default)]
struct Line {
    /// The waiting Services; those that stand back come last.
    services: BTreeSet<(bool, ServiceKey)>,
    used_us: u64,
}

impl FairQueue {
    /// Puts a Service in the line of a pool, and takes it out of any other. A Service that `stands_back` comes after
    /// all that do not.
    pub(super) fn join(&mut self, pool: &str, service: &ServiceKey, stands_back: bool) {
        self.leave(service);
        let name = match self.lines.get_key_value(pool) {
            Some((name, _)) => name.clone(),
            None => Arc::from(pool),
        };
        let line = self.lines.entry(name.clone()).or_default();
        if line.services.is_empty() {
            line.used_us = line.used_us.max(self.floor_us);
        }
        line.services.insert((stands_back, service.clone()));
        self.places.insert(service.clone(), (name, stands_back));
    }

    pub(super) fn leave(&mut self, service: &ServiceKey) {
        let Some((pool, stands_back)) = self.places.remove(service) else { return };
        if let Some(line) = self.lines.get_mut(&pool) {
            line.services.remove(&(stands_back, service.clone()));
        }
    }

    /// Returns true if the Service waits in a line.
    pub(super) fn contains(&self, service: &ServiceKey) -> bool {
        self.places.contains_key(service)
    }

    /// Empties all lines and returns the Services that waited.
    pub(super) fn leave_all(&mut self) -> impl Iterator<Item = ServiceKey> {
        for line in self.lines.values_mut() {
            line.services.clear();
        }
        std::mem::take(&mut self.places).into_keys()
    }

    /// Takes the next Service, and returns it with the pool in whose line it waited.
    pub(super) fn pop(&mut self) -> Option<(Arc<str>, ServiceKey)> {
        let waiting = self.lines.iter_mut().filter(|(_, line)| !line.services.is_empty());
        let (pool, line) = waiting.min_by_key(|(_, line)| line.used_us)?;
        let (_, service) = line.services.pop_first()?;
        self.floor_us = line.used_us;
        let pool = pool.clone();
        self.places.remove(&service);
        Some((pool, service))
    }

    /// Records the time that the policy of a pool used.
    pub(super) fn charge(&mut self, pool: &str, took_us: u64) {
        if let Some(line) = self.lines.get_mut(pool) {
            line.used_us = line.used_us.saturating_add(took_us);
        }
    }

    /// Removes the line of a pool that no longer exists, and returns the Services that waited in it.
    pub(super) fn close(&mut self, pool: &str) -> Vec<ServiceKey> {
        let services = self.lines.remove(pool).unwrap_or_default().services;
        let left = services.into_iter().map(|(_, service)| service);
        left.inspect(|service| drop(self.places.remove(service))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_policy_holds_up_only_its_own() {
        let mut queue = FairQueue::default();
        let key = |name: &str| ServiceKey::new("ns", name);
        for name in ["a", "b", "c"] {
            queue.join("slow", &key(name), name == "a");
        }
        let pop = |queue: &mut FairQueue, took_us| {
            let (pool, service) = queue.pop()?;
            queue.charge(&pool, took_us);
            Some(format!("{pool} {}", service.name()))
        };
        assert_eq!(pop(&mut queue, 95_000).as_deref(), Some("slow b"), "a stands back");
        for name in ["x", "y", "z"] {
            queue.join("quick", &key(name), false);
        }
        let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue, 100)).collect();
        assert_eq!(order, ["quick x", "quick y", "quick z", "slow c", "slow a"]);
        // A long idle time earns no credit.
        queue.join("slow", &key("b"), false);
        queue.join("quick", &key("x"), false);
        pop(&mut queue, 95_000);
        pop(&mut queue, 95_000);
        queue.join("quick", &key("x"), false);
        queue.join("quick", &key("y"), false);
        queue.join("slow", &key("b"), false);
        queue.join("other", &key("y"), false);
        assert_eq!(queue.close("other"), [key("y")]);
        assert!(!queue.contains(&key("y")) && queue.contains(&key("b")));
        let order: Vec<_> = std::iter::from_fn(|| pop(&mut queue, 100)).collect();
        assert_eq!(order.len(), 2, "{order:?}: y left its line and lost the other");
        queue.join("quick", &key("x"), false);
        assert_eq!(queue.leave_all().collect::<Vec<_>>(), [key("x")]);
        assert_eq!(queue.pop(), None);
    }
}
