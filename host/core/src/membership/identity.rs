//! The identity of a node in SWIM messages. Must not know claims or keys.
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// One generation of one node. Only the one with the highest generation counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pub name: String,
    pub address: SocketAddr,
    /// Wall clock in microseconds at the start, plus the steps added by renewals.
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

    /// Returns the next generation of a node that was declared down. The steps double, so that a node whose clock went
    /// back between two starts passes its former generation after a few dozen round trips instead of never.
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
