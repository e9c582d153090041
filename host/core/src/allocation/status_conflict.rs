//! Detection of another controller that keeps removing what this one writes: after a few times the status is left
//! alone for some minutes, so that the two do not overwrite each other without end. Does not know why the other
//! controller does it.
use std::collections::BTreeSet;

use outrigger_sdk::Time;

use super::{AllocationResult, Allocations, Condition, addresses};
use crate::facts::{Service, ServiceKey};

/// Number of removals within `WITHIN_US` that are no accident. MetalLB without any pool empties every status that it
/// sees.
const TIMES: usize = 3;
const WITHIN_US: u64 = 60_000_000;
/// Pause before this controller writes the status again.
const PAUSE_US: u64 = 300_000_000;

/// The times at which the status of a Service was undone, and the time until which it is left alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Contest {
    undone: Vec<u64>,
    until: Option<u64>,
}

/// Services whose status is left alone, ordered by the end of the pause.
pub(super) type Backoffs = BTreeSet<(u64, ServiceKey)>;

impl Contest {
    pub(super) const NONE: Self = Self { undone: Vec::new(), until: None };

    pub(super) fn until(&self) -> Option<u64> {
        self.until
    }
}

impl Allocations {
    /// Records a status change in which another writer removed every address that the Service holds.
    pub(super) fn note_undone(&mut self, old: &Service, new: &Service, now: Time) {
        let held = self.ledger.held(&new.key);
        if old.ingress.is_empty() || !new.ingress.is_empty() || held.is_empty() {
            return;
        }
        let Some(known) = self.services.get_mut(&new.key) else { return };
        let until = known.set(|trouble| {
            let contest = &mut trouble.contest;
            contest.undone.retain(|at| now.monotonic_us.saturating_sub(*at) < WITHIN_US);
            contest.undone.push(now.monotonic_us);
            if contest.undone.len() >= TIMES {
                let until = now.monotonic_us + PAUSE_US;
                *contest = Contest { undone: Vec::new(), until: Some(until) };
            }
            contest.until
        });
        self.pauses.extend(until.map(|until| (until, new.key.clone())));
    }

    /// Ends the pause of a Service that was edited: its status is written again at once.
    pub(super) fn end_contest(&mut self, key: &ServiceKey) {
        let Some(known) = self.services.get_mut(key) else { return };
        if let Some(until) = known.set(|trouble| std::mem::take(&mut trouble.contest)).until {
            self.pauses.remove(&(until, key.clone()));
            self.unsaid.insert(key.clone());
        }
    }

    /// Ends the pauses that are over.
    pub(super) fn end_pauses(&mut self, now: Time) {
        while let Some((until, key)) = self.pauses.first().cloned()
            && until <= now.monotonic_us
        {
            self.pauses.remove(&(until, key.clone()));
            self.end_contest(&key);
        }
    }

    /// Returns the time at which the next pause ends, in monotonic microseconds.
    pub(super) fn next_pause_end(&self) -> Option<u64> {
        self.pauses.first().map(|(until, _)| *until)
    }

    /// Returns the verdict during the pause; `None` if the status is not left alone.
    pub(super) fn contested(&self, key: &ServiceKey) -> Option<AllocationResult> {
        let known = self.services.get(key)?;
        known.trouble().contest.until?;
        let message = format!(
            "Service {key}: another controller keeps removing {} from its status, so Outrigger does not write it for 5 minutes: stop that controller (MetalLB does this while it has no pool), or annotate the Service to retry at once",
            addresses(self.ledger.held(key))
        );
        Some(AllocationResult {
            service: key.clone(),
            addresses: known.service.ingress.to_vec(),
            writes_ingress: false,
            pool: None,
            condition: Condition { status: false, reason: "StatusContested".to_owned(), message },
        })
    }
}
