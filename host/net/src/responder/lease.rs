//! The time until which this node may announce its addresses. Set without a lock, so that the caller never waits.
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::boottime_us;

#[derive(Debug)]
pub(super) struct Lease {
    ends_us: AtomicU64,
}

impl Default for Lease {
    /// Returns a lease that does not end, because none was set.
    fn default() -> Self {
        Self { ends_us: AtomicU64::new(u64::MAX) }
    }
}

impl Lease {
    /// Sets the end of the lease. Returns true if the lease is valid again after it had expired.
    pub(super) fn set(&self, ends_us: Option<u64>) -> bool {
        let now = boottime_us();
        let before = self.ends_us.swap(ends_us.unwrap_or(0), Ordering::SeqCst);
        before <= now && self.holds()
    }

    pub(super) fn holds(&self) -> bool {
        boottime_us() < self.ends_us.load(Ordering::SeqCst)
    }
}
