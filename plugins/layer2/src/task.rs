//! The duty of this node for an address, reduced to the differences that matter on the wire.
use std::net::IpAddr;

use outrigger_sdk::{DesiredChanged, Duty};
use serde::{Deserialize, Serialize};

use crate::listing::Chunk;

/// A duty as used by layer 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Answer and announce. Also used for taking over, because the other node waits for our report before it hands
    /// over.
    Announce,
    /// Answer only, so that our announcements do not override those of the node that takes over.
    HandOver,
    /// Stay silent: the named node announces the address; "" = no node can.
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
