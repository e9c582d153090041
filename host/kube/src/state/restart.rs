//! Records that a node stopped in order to restart, so that the next process can inform its peers of the restart (RFC 4724).
use outrigger_sdk::Time;

use super::atomic::{self, Durable};
use super::{DETAILS, State, StateError, io_error};

/// Longest time between stop and start that counts as a restart. Peers keep the routes of a restarting speaker for minutes;
/// after this time no peer waits for it any more.
const SOON_US: u64 = 180_000_000;

impl State {
    /// Records that this node stops and will restart.
    ///
    /// # Errors
    /// Returns an error if the record cannot be written.
    pub fn expect_restart(&self, node: &str, now: Time) -> Result<(), StateError> {
        let path = self.node_path(DETAILS, node, "restart")?;
        atomic::write(&path, now.utc_us.to_string().as_bytes(), Durable::No)
            .map_err(io_error(&path))
    }

    /// Returns true if this start follows a recent stop for a restart. The record is removed, so that only the first call
    /// can return true.
    pub fn take_restart(&self, node: &str, now: Time) -> bool {
        let Ok(path) = self.node_path(DETAILS, node, "restart") else { return false };
        let noted = std::fs::read_to_string(&path).ok().and_then(|text| text.parse::<u64>().ok());
        // The record has served its purpose once it is read, even if it cannot be removed.
        let _ = std::fs::remove_file(&path);
        noted.is_some_and(|at| now.utc_us.saturating_sub(at) < SOON_US)
    }
}
