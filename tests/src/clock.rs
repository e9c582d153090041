//! The one place here that reads the clock: what is measured on real packets is measured in real time.
use std::time::{Duration, Instant};

/// Now.
#[expect(clippy::disallowed_methods, reason = "a laboratory measures real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Since `start`.
pub fn since(start: Instant) -> Duration {
    now().saturating_duration_since(start)
}

/// Milliseconds with a tenth, as they are printed.
pub fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
