//! The only module here that reads the clock: measurements on real packets are in real time.
use std::time::{Duration, Instant};

/// Returns the current time.
#[expect(clippy::disallowed_methods, reason = "a laboratory measures real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Returns the time since `start`.
pub fn since(start: Instant) -> Duration {
    now().saturating_duration_since(start)
}

/// Returns milliseconds rounded to a tenth, for output.
pub fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
