//! Sleeping until a time of the host's own clock.
use std::time::Duration;

use outrigger_net::now;

/// Sleeps until a monotonic time in microseconds, or forever if there is none.
pub async fn at(deadline: Option<u64>) {
    match deadline {
        Some(deadline) => {
            let now = now().monotonic_us;
            tokio::time::sleep(Duration::from_micros(deadline.saturating_sub(now))).await;
        }
        None => std::future::pending().await,
    }
}
