//! That a node stopped in order to come back: whoever starts soon after can tell its peers so (RFC 4724).
use outrigger_sdk::Time;

use super::atomic::{self, Durable};
use super::{DETAILS, State, StateError, io_error};

/// Peers keep routes of a speaker that restarts for minutes; after this nobody expects it any more.
const SOON_US: u64 = 180_000_000;

impl State {
    /// Notes that this node stops and will be back.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn expect_restart(&self, node: &str, now: Time) -> Result<(), StateError> {
        let path = self.node_path(DETAILS, node, "restart")?;
        atomic::write(&path, now.utc_us.to_string().as_bytes(), Durable::No)
            .map_err(io_error(&path))
    }

    /// Whether this start was expected, and a moment ago. Asked once.
    pub fn take_restart(&self, node: &str, now: Time) -> bool {
        let Ok(path) = self.node_path(DETAILS, node, "restart") else { return false };
        let noted = std::fs::read_to_string(&path).ok().and_then(|text| text.parse::<u64>().ok());
        // Once read it has done its work, whether or not it can be removed.
        let _ = std::fs::remove_file(&path);
        noted.is_some_and(|at| now.utc_us.saturating_sub(at) < SOON_US)
    }
}
