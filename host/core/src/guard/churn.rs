//! How many announcements an instance may make: a token bucket that grows with what it has to announce, so that a full
//! re-announcement of everything always fits and a storm never does.

/// Announcements that always fit, however few addresses there are.
const BURST: u64 = 1_000;
/// Re-announcements of everything that fit in one burst.
const ROUNDS: u64 = 8;
/// Announcements per second that fit for ever.
const PER_SECOND: u64 = 200;

#[derive(Debug)]
pub(super) struct Churn {
    spent: u64,
    refilled_us: u64,
}

impl Churn {
    pub(super) fn new() -> Self {
        Self { spent: 0, refilled_us: 0 }
    }

    /// Takes one token, if there is one. `announcements` = addresses × links.
    pub(super) fn spend(&mut self, now_us: u64, announcements: usize) -> bool {
        self.spend_many(now_us, 1, announcements)
    }

    /// Takes so many, if there is one at least.
    pub(super) fn spend_many(&mut self, now_us: u64, count: u64, announcements: usize) -> bool {
        let back = now_us.saturating_sub(self.refilled_us).saturating_mul(PER_SECOND) / 1_000_000;
        if back > 0 {
            self.spent = self.spent.saturating_sub(back);
            self.refilled_us = now_us;
        }
        if self.spent >= BURST + ROUNDS * announcements as u64 {
            return false;
        }
        self.spent += count;
        true
    }
}
