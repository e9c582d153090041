//! Queue of the Services to be served next, and the events that the others wait for, so that the work for a change is
//! proportional to what it affects. Does not know why a Service waits.
use std::collections::{BTreeMap, BTreeSet};

use crate::facts::ServiceKey;

/// An event after which a waiting Service may get an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// An address of this pool is released or may be shared.
    Pool(String),
    /// A Service of this namespace and sharing key gets an address.
    Group(String, String),
}

/// Services that lack an address. Each is in `pending` or in `waiting`.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    pending: BTreeSet<ServiceKey>,
    waiting: BTreeMap<ServiceKey, Wait>,
    by_cause: BTreeMap<Cause, BTreeSet<ServiceKey>>,
    by_deadline: BTreeSet<(u64, ServiceKey)>,
}

#[derive(Debug, Clone)]
struct Wait {
    causes: BTreeSet<Cause>,
    deadline: Option<u64>,
}

impl Queue {
    pub(super) fn push(&mut self, key: &ServiceKey) {
        self.stop_waiting(key);
        self.pending.insert(key.clone());
    }

    pub(super) fn pop(&mut self) -> Option<ServiceKey> {
        self.pending.pop_first()
    }

    pub(super) fn is_pending(&self, key: &ServiceKey) -> bool {
        self.pending.contains(key)
    }

    /// Lets a Service wait until one of the causes occurs, the pools change, or the deadline in microseconds is
    /// reached.
    pub(super) fn wait(
        &mut self,
        key: &ServiceKey,
        causes: BTreeSet<Cause>,
        deadline: Option<u64>,
    ) {
        self.forget(key);
        for cause in &causes {
            self.by_cause.entry(cause.clone()).or_default().insert(key.clone());
        }
        self.by_deadline.extend(deadline.map(|at| (at, key.clone())));
        self.waiting.insert(key.clone(), Wait { causes, deadline });
    }

    pub(super) fn forget(&mut self, key: &ServiceKey) {
        self.pending.remove(key);
        self.stop_waiting(key);
    }

    pub(super) fn wake(&mut self, cause: &Cause) {
        for key in self.by_cause.get(cause).cloned().into_iter().flatten() {
            self.push(&key);
        }
    }

    pub(super) fn wake_all(&mut self) {
        self.pending.extend(std::mem::take(&mut self.waiting).into_keys());
        self.by_cause.clear();
        self.by_deadline.clear();
    }

    pub(super) fn wake_due(&mut self, now_us: u64) {
        while let Some((at, key)) = self.by_deadline.first().cloned()
            && at <= now_us
        {
            self.push(&key);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.by_deadline.first().map(|(at, _)| *at)
    }

    fn stop_waiting(&mut self, key: &ServiceKey) {
        let Some(wait) = self.waiting.remove(key) else { return };
        for cause in wait.causes {
            if let Some(keys) = self.by_cause.get_mut(&cause) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by_cause.remove(&cause);
                }
            }
        }
        if let Some(at) = wait.deadline {
            self.by_deadline.remove(&(at, key.clone()));
        }
    }
}
