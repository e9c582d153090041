//! Shutdown of an instance in stages: routes become the last choice, are withdrawn, and sessions are closed; or
//! sessions are closed in a way that the peers wait for our return.
use outrigger_sdk::{StopReason, Stopping};
use serde::{Deserialize, Serialize};

/// Progress of the shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) stage: Stage,
    /// Latest time at which the next stage begins.
    pub(crate) due_us: u64,
    /// Latest time at which withdrawals end. The rest of the time until the host stops the instance is for the NOTIFICATIONs.
    deadline_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Routes are announced as the last choice (RFC 8326).
    LastChoice,
    /// Routes are being withdrawn.
    Withdraw,
    /// Sessions are about to be closed permanently.
    Close,
    /// Sessions are about to be closed in a way that the peers keep our routes (RFC 4724).
    Pause,
    /// The shutdown is complete.
    Done,
}

impl Stop {
    /// Returns the first stage. `last_choice_ms` is how long routes are the last choice before they are withdrawn.
    pub(crate) fn new(stopping: Stopping, last_choice_ms: Option<u32>, now_us: u64) -> Self {
        let within_us = u64::from(stopping.within_ms) * 1_000;
        // The remaining time is for the NOTIFICATIONs to be sent.
        let deadline_us = now_us + within_us / 5 * 4;
        let (stage, due_us) = match (stopping.reason, last_choice_ms) {
            (StopReason::Restart, _) => (Stage::Pause, now_us),
            (StopReason::Leave | StopReason::Other, Some(ms)) => {
                (Stage::LastChoice, (now_us + u64::from(ms) * 1_000).min(now_us + within_us / 2))
            }
            _ => (Stage::Withdraw, deadline_us),
        };
        Self { stage, due_us, deadline_us }
    }

    /// Returns the next stage if it is due. `quiet` is true if every peer was sent all messages of this stage.
    pub(crate) fn next(self, quiet: bool, now_us: u64) -> Option<Self> {
        let due = self.due_us <= now_us;
        let (stage, due_us) = match self.stage {
            Stage::LastChoice if due => (Stage::Withdraw, self.deadline_us),
            Stage::Withdraw if due || quiet => (Stage::Close, now_us),
            Stage::Close | Stage::Pause => (Stage::Done, u64::MAX),
            _ => return None,
        };
        Some(Self { stage, due_us, ..self })
    }
}
