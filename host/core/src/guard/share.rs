//! Limits the share of a processor that an instance uses over ten seconds, by delaying it when it exceeds the share.
use super::budget::PROCESSOR;

/// Length of the measured period.
const SPAN_US: u64 = 10_000_000;

/// A leaky bucket of processor time.
#[derive(Debug, Clone, Default)]
pub struct Share {
    used_us: u64,
    at_us: u64,
}

impl Share {
    /// Records processor time used up to `now_us`. Returns the delay, in microseconds, before the instance may
    /// continue.
    pub fn used(&mut self, now_us: u64, processor_us: u64) -> u64 {
        let passed = now_us.saturating_sub(self.at_us);
        self.at_us = now_us;
        self.used_us = self.used_us.saturating_sub(passed.saturating_mul(PROCESSOR) / 100);
        self.used_us += processor_us;
        self.used_us.saturating_sub(SPAN_US * PROCESSOR / 100) * 100 / PROCESSOR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates one minute of calls that each take `each_us`, with a pause of 1 ms before each. Returns the percentage
    /// of the time that was spent working.
    fn worked(each_us: u64) -> u64 {
        let (mut share, mut now, mut work) = (Share::default(), 0, 0);
        while now < 60_000_000 {
            now += each_us + 1_000;
            work += each_us;
            now += share.used(now, each_us);
        }
        work * 100 / now
    }

    #[test]
    fn who_works_all_the_time_has_his_share_and_a_burst_at_the_beginning() {
        assert!((50..=60).contains(&worked(49_000)), "{}", worked(49_000));
    }

    #[test]
    fn who_works_less_never_waits() {
        let mut share = Share::default();
        for second in 1..1_000 {
            assert_eq!(share.used(second * 1_000_000, 400_000), 0);
        }
    }

    #[test]
    fn five_seconds_at_once_are_free_after_a_rest() {
        assert_eq!(Share::default().used(0, 5_000_000), 0);
        assert_eq!(Share::default().used(0, 5_100_000), 200_000);
    }
}
