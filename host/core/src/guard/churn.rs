//! A token bucket that grows with what an instance has to announce, so that repeating everything once always fits and a
//! storm never does.

/// The capacity and refill rate of a bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    /// Capacity regardless of the number of addresses, endpoints or peers.
    pub(super) burst: u64,
    /// Additional capacity for each address, endpoint or peer.
    pub(super) rounds: u64,
    /// Sustained rate.
    pub(super) per_second: u64,
}

/// Rates of announcements on links, and of routes on a stream.
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

    /// Takes one token. Returns false if there is none. `subjects` is the number of addresses × links, or of whatever
    /// else accounts for the rate.
    pub(super) fn spend(&mut self, now_us: u64, subjects: usize) -> bool {
        let has_room = self.has_room(now_us, subjects);
        self.spent += u64::from(has_room);
        has_room
    }

    /// Returns true if there is a token.
    pub(super) fn has_room(&mut self, now_us: u64, subjects: usize) -> bool {
        self.refill(now_us);
        self.spent < self.capacity(subjects)
    }

    /// Takes `count` tokens even if there are not as many. Returns the time at which the last of them becomes
    /// available, until which the instance is to wait; `None` if all are available now.
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
