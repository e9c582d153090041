//! The history of released addresses: when each was released, and by which Service. Bounded; the oldest entry is
//! removed first.
use std::collections::BTreeMap;
use std::net::IpAddr;

use outrigger_sdk::Time;

use crate::facts::ServiceKey;

/// Maximum number of entries of each kind. With 10,000 Services, every one of them can be remembered once.
const REMEMBERED: usize = 10_000;
/// Maximum number of addresses remembered for one Service; more than one address per family is rarely of use.
const PER_SERVICE: usize = 4;

#[derive(Debug, Clone, Default)]
pub(super) struct History {
    released: Recent<IpAddr, Time>,
    previous: Recent<ServiceKey, Vec<IpAddr>>,
}

/// A bounded map that removes the entry that was inserted longest ago.
#[derive(Debug, Clone)]
struct Recent<K, V> {
    entries: BTreeMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    next: u64,
}

impl History {
    pub(super) fn note(&mut self, service: &ServiceKey, address: IpAddr, now: Time) {
        self.released.put(address, now);
        let mut addresses = vec![address];
        addresses.extend(self.previous(service).iter().filter(|old| **old != address));
        addresses.truncate(PER_SERVICE);
        self.previous.put(service.clone(), addresses);
    }

    pub(super) fn previous(&self, service: &ServiceKey) -> &[IpAddr] {
        self.previous.get(service).map_or(&[], Vec::as_slice)
    }

    pub(super) fn released(&self, address: IpAddr) -> Option<Time> {
        self.released.get(&address).copied()
    }
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), order: BTreeMap::new(), next: 0 }
    }
}

impl<K: Ord + Clone, V> Recent<K, V> {
    fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    fn put(&mut self, key: K, value: V) {
        self.order.insert(self.next, key.clone());
        if let Some((old, _)) = self.entries.insert(key, (self.next, value)) {
            self.order.remove(&old);
        }
        self.next += 1;
        if self.entries.len() > REMEMBERED
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut recent = Recent::default();
        for n in 0..REMEMBERED {
            recent.put(n, n);
        }
        recent.put(0, 7);
        recent.put(REMEMBERED, 8);
        assert_eq!((recent.get(&0), recent.get(&1), recent.get(&2)), (Some(&7), None, Some(&2)));
        assert_eq!((recent.entries.len(), recent.order.len()), (REMEMBERED, REMEMBERED));
    }

    #[test]
    fn the_address_given_back_last_comes_first() {
        let key = ServiceKey::new("ns", "a");
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        let mut history = History::default();
        for n in [1, 2, 1, 3, 4, 5] {
            history.note(&key, address(n), Time { monotonic_us: n.into(), utc_us: 0 });
        }
        assert_eq!(history.previous(&key), [5, 4, 3, 1].map(address));
        assert_eq!(history.released(address(2)).map(|at| at.monotonic_us), Some(2));
    }
}
