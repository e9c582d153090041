//! Until when this node may speak for its addresses. Set without any lock, so that who sets it waits for nobody.
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::boottime_us;

#[derive(Debug)]
pub(super) struct Lease {
    ends_us: AtomicU64,
}

impl Default for Lease {
    /// Nobody has set one: it does not end.
    fn default() -> Self {
        Self { ends_us: AtomicU64::new(u64::MAX) }
    }
}

impl Lease {
    /// True: it holds again, and did not before.
    pub(super) fn set(&self, ends_us: Option<u64>) -> bool {
        let now = boottime_us();
        let before = self.ends_us.swap(ends_us.unwrap_or(0), Ordering::SeqCst);
        before <= now && self.holds()
    }

    pub(super) fn holds(&self) -> bool {
        boottime_us() < self.ends_us.load(Ordering::SeqCst)
    }
}
