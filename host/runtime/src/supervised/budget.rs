//! How many restarts are worth a try, and how long to wait when none is. Pure arithmetic on microseconds.
use std::collections::VecDeque;

const SECOND: u64 = 1_000_000;
/// More faults than this ...
const FAULTS: usize = 3;
/// ... within this time: restarting does not help.
const WINDOW: u64 = 10 * SECOND;
/// Without a fault for so long, all is forgiven.
const HEALTHY: u64 = 60 * SECOND;
/// So many revivals keep the state: all their waits together are more than a minute.
const PATIENT: u32 = 10;
/// Of the waits between revivals.
const SHORTEST: u64 = SECOND / 10;
const LONGEST: u64 = 30 * SECOND;

/// Faults in time.
#[derive(Debug, Default)]
pub(super) struct Budget {
    faults: VecDeque<u64>,
    /// Since then there was no fault; `None` before the first call.
    quiet_since: Option<u64>,
    /// Revivals in vain.
    attempts: u32,
}

impl Budget {
    /// Time passes. True when all is forgiven.
    pub(super) fn observe(&mut self, now: u64) -> bool {
        self.quiet_since.get_or_insert(now);
        let healthy = self.is_healthy(now);
        if healthy {
            self.attempts = 0;
        }
        healthy
    }

    /// Long enough without a fault.
    pub(super) fn is_healthy(&self, now: u64) -> bool {
        self.quiet_since.is_some_and(|since| now.saturating_sub(since) >= HEALTHY)
    }

    /// A fault. True while a restart is worth a try.
    pub(super) fn spend(&mut self, now: u64) -> bool {
        self.quiet_since = Some(now);
        self.faults.push_back(now);
        while self.faults.front().is_some_and(|&fault| now.saturating_sub(fault) > WINDOW) {
            self.faults.pop_front();
        }
        self.faults.len() <= FAULTS
    }

    /// Another build has its own chances; the waits go on growing.
    pub(super) fn clear(&mut self, now: u64) {
        self.quiet_since = Some(now);
        self.faults.clear();
    }

    /// A new build that somebody chose: nothing is held against it.
    pub(super) fn renew(&mut self, now: u64) {
        *self = Self { quiet_since: Some(now), ..Self::default() };
    }

    /// Whether the state is worth another revival.
    pub(super) fn has_patience(&self) -> bool {
        self.attempts < PATIENT
    }

    /// How long to wait this time.
    pub(super) fn back_off(&mut self) -> u64 {
        let wait = SHORTEST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        wait
    }
}
