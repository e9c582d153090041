//! Clock readings. Code that makes decisions gets the time as an argument instead of reading a clock.
use std::time::{SystemTime, UNIX_EPOCH};

use outrigger_sdk::Time;

use crate::sys;

/// Returns the current time of both clocks. The monotonic one counts from boot and keeps counting during suspend
/// (CLOCK_BOOTTIME), so it is the same for every process of a boot and never goes back across a restart of the daemon.
pub fn now() -> Time {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    let utc = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time {
        monotonic_us: sys::boottime_us(),
        utc_us: u64::try_from(utc.as_micros()).unwrap_or(u64::MAX),
    }
}

/// Returns the processor time that this thread has used, in microseconds.
pub fn thread_us() -> u64 {
    sys::thread_us()
}

#[cfg(test)]
mod tests {
    use super::now;

    #[test]
    fn time_goes_on_and_the_date_is_later_than_this_code() {
        let (first, second) = (now(), now());
        assert!(first.monotonic_us > 0 && second.monotonic_us >= first.monotonic_us);
        assert!(first.utc_us > 1_700_000_000_000_000, "{first:?}");
    }
}
