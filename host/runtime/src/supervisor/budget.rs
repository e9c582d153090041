//! The restart budget: how many restarts are worth a try, and how long to wait when none is. Pure arithmetic on
//! microseconds.
use std::collections::VecDeque;

const SECOND: u64 = 1_000_000;
/// Number of faults within the window beyond which restarting does not help.
const FAULTS: usize = 3;
/// The window for counting faults, in microseconds.
const WINDOW: u64 = 10 * SECOND;
/// Time without a fault after which earlier faults no longer count, in microseconds.
const HEALTHY: u64 = 60 * SECOND;
/// Number of revivals that keep the state: their waits add up to more than a minute.
const PATIENT: u32 = 10;
/// The shortest and the longest wait between revivals, in microseconds.
const SHORTEST: u64 = SECOND / 10;
const LONGEST: u64 = 30 * SECOND;

/// The recent faults of a build and the waits for it.
#[derive(Debug, Default)]
pub(super) struct Budget {
    faults: VecDeque<u64>,
    /// The time since which no fault has occurred. `None` before the first call.
    quiet_since: Option<u64>,
    /// Number of waits since the last healthy period.
    attempts: u32,
}

impl Budget {
    /// Records the time of a call. Returns true after a healthy period.
    pub(super) fn observe(&mut self, now: u64) -> bool {
        self.quiet_since.get_or_insert(now);
        let healthy = self.is_healthy(now);
        if healthy {
            self.attempts = 0;
        }
        healthy
    }

    /// Returns true if there was no fault for long enough.
    pub(super) fn is_healthy(&self, now: u64) -> bool {
        self.quiet_since.is_some_and(|since| now.saturating_sub(since) >= HEALTHY)
    }

    /// Records a fault. Returns true while a restart is worth a try.
    pub(super) fn spend(&mut self, now: u64) -> bool {
        self.quiet_since = Some(now);
        self.faults.push_back(now);
        while self.faults.front().is_some_and(|&fault| now.saturating_sub(fault) > WINDOW) {
            self.faults.pop_front();
        }
        self.faults.len() <= FAULTS
    }

    /// Clears the faults for another build; the waits keep growing.
    pub(super) fn clear(&mut self, now: u64) {
        self.quiet_since = Some(now);
        self.faults.clear();
    }

    /// Clears everything for a new build that was chosen from outside.
    pub(super) fn renew(&mut self, now: u64) {
        *self = Self { quiet_since: Some(now), ..Self::default() };
    }

    /// Returns true if the state is worth another revival.
    pub(super) fn has_patience(&self) -> bool {
        self.attempts < PATIENT
    }

    /// Returns the next wait in microseconds, and doubles the one after it up to the longest.
    pub(super) fn back_off(&mut self) -> u64 {
        let wait = SHORTEST.saturating_mul(1 << self.attempts.min(16)).min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        wait
    }
}
