//! A circuit breaker for each pool's policy: a policy that fails repeatedly is asked less and less often, so that it
//! takes no time from the others. Does not know what a Service gets instead.
use std::collections::{BTreeMap, BTreeSet};

use crate::facts::ServiceKey;

/// Number of consecutive faults, for any Services, that open the breaker.
const OPENS_AFTER: u32 = 3;
/// First pause; it is short, because a trap or a timeout may be transient.
pub(super) const FIRST_PAUSE_US: u64 = 10_000_000;
const LONGEST_PAUSE_US: u64 = 160_000_000;

/// The breakers of all pools whose policy failed when it was asked last.
#[derive(Debug, Clone, Default)]
pub(super) struct Breakers(BTreeMap<String, Breaker>);

#[derive(Debug, Clone, Default)]
struct Breaker {
    in_row: u32,
    pause_us: u64,
    open_until_us: u64,
    fault: String,
    /// Services for which the policy failed: they are asked for after the others, since otherwise one of them could
    /// keep the breaker open for all.
    failed: BTreeSet<ServiceKey>,
}

impl Breakers {
    /// Returns the last fault of a policy whose breaker is open, and the remaining microseconds.
    pub(super) fn open(&self, pool: &str, now_us: u64) -> Option<(&str, u64)> {
        let breaker = self.0.get(pool)?;
        let left = breaker.open_until_us.checked_sub(now_us).filter(|left| *left > 0)?;
        Some((&breaker.fault, left))
    }

    /// Returns the fault of a policy that failed when it was asked last.
    pub(super) fn fault(&self, pool: &str) -> Option<&str> {
        let failing = |it: &&Breaker| it.in_row > 0 || it.pause_us > 0;
        self.0.get(pool).filter(failing).map(|breaker| breaker.fault.as_str())
    }

    /// Returns true if the policy failed for this Service when it was asked last.
    pub(super) fn failed_for(&self, pool: &str, service: &ServiceKey) -> bool {
        self.0.get(pool).is_some_and(|breaker| breaker.failed.contains(service))
    }

    pub(super) fn failed(&mut self, pool: &str, service: &ServiceKey, fault: &str, now_us: u64) {
        let breaker = self.0.entry(pool.to_owned()).or_default();
        breaker.in_row = breaker.in_row.saturating_add(1);
        fault.clone_into(&mut breaker.fault);
        breaker.failed.insert(service.clone());
        if breaker.in_row >= OPENS_AFTER {
            // As many questions may fail again after the pause: the policy may fail only for a few Services.
            breaker.in_row = 0;
            breaker.pause_us = (breaker.pause_us * 2).clamp(FIRST_PAUSE_US, LONGEST_PAUSE_US);
            breaker.open_until_us = now_us.saturating_add(breaker.pause_us);
        }
    }

    pub(super) fn succeeded(&mut self, pool: &str, service: &ServiceKey) {
        if let Some(breaker) = self.0.get_mut(pool) {
            breaker.failed.remove(service);
            if breaker.failed.is_empty() {
                self.0.remove(pool);
            } else {
                (breaker.in_row, breaker.pause_us, breaker.open_until_us) = (0, 0, 0);
            }
        }
    }

    /// Closes the breaker of a pool that has another policy from now on, or none.
    pub(super) fn reset(&mut self, pool: &str) {
        self.0.remove(pool);
    }

    /// Forgets a Service that was removed.
    pub(super) fn forget(&mut self, service: &ServiceKey) {
        self.0.retain(|_, breaker| !breaker.failed.remove(service) || !breaker.failed.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_three_faults_in_a_row_for_longer_each_time() {
        let mut breakers = Breakers::default();
        let key = |n: usize| ServiceKey::new("ns", &format!("s{n}"));
        let mut now = 0;
        for (faults, pause) in [(2, 0), (1, 10), (3, 20), (3, 40), (3, 80), (3, 160), (3, 160)] {
            for n in 0..faults {
                assert_eq!(breakers.open("p", now), None);
                breakers.failed("p", &key(n), "trap", now);
            }
            let open = breakers.open("p", now).map(|(fault, left)| (fault, left / 1_000_000));
            assert_eq!(open, (pause > 0).then_some(("trap", pause)));
            now += pause * 1_000_000;
        }
        assert_eq!(breakers.open("q", now), None, "another pool's is another");
        breakers.succeeded("p", &key(5));
        breakers.failed("p", &key(0), "trap", now);
        assert_eq!(breakers.open("p", now), None, "one in a row");
        assert!(breakers.failed_for("p", &key(1)) && !breakers.failed_for("p", &key(5)));
        breakers.forget(&key(1));
        breakers.succeeded("p", &key(0));
        assert_eq!(breakers.fault("p"), None);
    }
}
