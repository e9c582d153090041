//! What a node is called on the wire of SWIM. Knows nothing of claims or keys.
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// One life of one node. Only the life with the highest generation counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub name: String,
    pub address: SocketAddr,
    /// Microseconds of wall clock at the start, then what renewals add.
    pub generation: u64,
    renewals: u8,
}

impl Identity {
    pub fn new(name: &str, address: SocketAddr, generation: u64) -> Self {
        Self { name: name.to_owned(), address, generation, renewals: 0 }
    }
}

impl foca::Identity for Identity {
    type Addr = String;

    /// A node that was declared down comes back as its next life. Steps double, so that one whose clock went back
    /// between two starts passes its former life after a few dozen round trips instead of never.
    fn renew(&self) -> Option<Self> {
        let step = 1u64 << self.renewals.min(52);
        Some(Self {
            generation: self.generation.saturating_add(step),
            renewals: self.renewals.saturating_add(1),
            ..self.clone()
        })
    }

    fn addr(&self) -> String {
        self.name.clone()
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        (self.generation, self.renewals, self.address)
            > (adversary.generation, adversary.renewals, adversary.address)
    }
}
