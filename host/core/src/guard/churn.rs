//! A token bucket that grows with what an instance has to announce, so that saying everything anew always fits and a storm never does.

/// What fits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    /// However few addresses, endpoints or peers there are.
    pub(super) burst: u64,
    /// For each of them, besides.
    pub(super) rounds: u64,
    /// Each second, for ever.
    pub(super) per_second: u64,
}

/// Announcements on links, and routes on a stream.
pub(super) const ANNOUNCEMENTS: Rates = Rates { burst: 1_000, rounds: 8, per_second: 200 };

#[derive(Debug, Clone)]
pub(super) struct Churn {
    rates: Rates,
    spent: u64,
    refilled_us: u64,
}

impl Churn {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates, spent: 0, refilled_us: 0 }
    }

    /// Takes one token, if there is one. `subjects` = addresses × links, or whatever else explains it.
    pub(super) fn spend(&mut self, now_us: u64, subjects: usize) -> bool {
        let has_room = self.has_room(now_us, subjects);
        self.spent += u64::from(has_room);
        has_room
    }

    /// Whether there is a token.
    pub(super) fn has_room(&mut self, now_us: u64, subjects: usize) -> bool {
        self.refill(now_us);
        self.spent < self.capacity(subjects)
    }

    /// Takes so many, whether they are there or not. When the last of them is, if that is later: until then the instance is to wait.
    pub(super) fn owe(&mut self, now_us: u64, count: u64, subjects: usize) -> Option<u64> {
        self.refill(now_us);
        self.spent += count;
        let debt = self.spent.saturating_sub(self.capacity(subjects));
        (debt > 0).then(|| now_us + debt * 1_000_000 / self.rates.per_second)
    }

    fn capacity(&self, subjects: usize) -> u64 {
        self.rates.burst + self.rates.rounds * subjects as u64
    }

    fn refill(&mut self, now_us: u64) {
        let passed = now_us.saturating_sub(self.refilled_us);
        let back = passed.saturating_mul(self.rates.per_second) / 1_000_000;
        if back > 0 {
            self.spent = self.spent.saturating_sub(back);
            self.refilled_us = now_us;
        }
    }
}
