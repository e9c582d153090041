//! The end of an instance, in stages: last choice, withdrawn, closed; or closed so that the peers wait for our return.
use outrigger_sdk::{StopReason, Stopping};
use serde::{Deserialize, Serialize};

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) stage: Stage,
    /// When the next stage comes, at the latest.
    pub(crate) due_us: u64,
    /// After this the host acts alone.
    deadline_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Stage {
    /// Routes are announced as the last choice (RFC 8326).
    LastChoice,
    /// Routes are being withdrawn.
    Withdraw,
    /// Sessions are to be closed for good.
    Close,
    /// Sessions are to be closed so that the peers keep our routes (RFC 4724).
    Pause,
    /// All is done.
    Done,
}

impl Stop {
    /// How to begin. `last_choice_ms`: how long routes are the last choice before they go.
    pub(crate) fn new(stopping: Stopping, last_choice_ms: Option<u32>, now_us: u64) -> Self {
        let within_us = u64::from(stopping.within_ms) * 1_000;
        // What is left is for the NOTIFICATIONs to get out.
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

    /// The next stage, if it is time. `quiet`: every peer was told what this stage tells.
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
