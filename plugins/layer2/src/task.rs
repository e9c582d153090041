//! What this node is to do about an address, reduced to what makes a difference on the wire.
use std::net::IpAddr;

use outrigger_sdk::{DesiredChanged, Duty};
use serde::{Deserialize, Serialize};

use crate::listing::Chunk;

/// A duty as layer 2 sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Answer and announce. Taking over is the same: whoever hands over waits for our report.
    Announce,
    /// Answer only, so that no announcement of ours undoes those of the node that takes over.
    HandOver,
    /// Say nothing: this node announces it, "" = none can.
    Standby(String),
}

impl From<Duty> for Task {
    fn from(duty: Duty) -> Self {
        match duty {
            Duty::Announce | Duty::TakeOver(_) => Self::Announce,
            Duty::HandOver(_) => Self::HandOver,
            Duty::Standby(node) => Self::Standby(node),
        }
    }
}

impl From<DesiredChanged> for Chunk<IpAddr, Task> {
    fn from(changed: DesiredChanged) -> Self {
        let DesiredChanged { reset, remove, upsert, more } = changed;
        let upsert = upsert.into_iter().map(|entry| (entry.address, entry.duty.into())).collect();
        Self { reset, remove, upsert, more }
    }
}
