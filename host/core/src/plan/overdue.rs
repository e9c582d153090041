//! Addresses that no node claims although a certain node should. That node may not know of them, because it is not
//! connected to the API server or its facts are not listed yet. It is passed over after a timeout. Must not know the
//! other nodes.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::facts::NodeName;

/// Timeout after which a node is passed over. A node that knows of an address claims it within milliseconds.
const PATIENCE_US: u64 = 500_000;

#[derive(Debug, Default)]
pub(super) struct Overdue {
    now_us: u64,
    /// The node that is expected to claim each address, and the deadline.
    expected: BTreeMap<IpAddr, (NodeName, u64)>,
    passed_over: BTreeMap<IpAddr, BTreeSet<NodeName>>,
}

impl Overdue {
    /// Expects the node to claim the address.
    pub fn expect(&mut self, address: IpAddr, node: &str) {
        let due_us = self.now_us.saturating_add(PATIENCE_US);
        let expected = self.expected.entry(address).or_insert_with(|| (node.to_owned(), due_us));
        if expected.0 != node {
            *expected = (node.to_owned(), due_us);
        }
    }

    /// Stops waiting for a node. Once the address is claimed, nodes that were passed over are candidates again.
    pub fn end(&mut self, address: IpAddr, unclaimed: bool) {
        self.expected.remove(&address);
        if !unclaimed {
            self.passed_over.remove(&address);
        }
    }

    pub fn is_passed_over(&self, address: IpAddr, node: &str) -> bool {
        self.passed_over.get(&address).is_some_and(|nodes| nodes.contains(node))
    }

    /// Returns true if a node that should have claimed the address did not; it may be one that is not received.
    pub fn passed_any(&self, address: IpAddr) -> bool {
        self.passed_over.contains_key(&address)
    }

    pub fn forget(&mut self, address: IpAddr) {
        self.end(address, false);
    }

    /// Sets the current time. Returns the addresses whose deadline has passed.
    pub fn time(&mut self, now_us: u64) -> Vec<IpAddr> {
        self.now_us = now_us;
        let late = self.expected.extract_if(.., |_, (_, due_us)| *due_us <= now_us);
        let late: Vec<_> = late.map(|(address, (node, _))| (address, node)).collect();
        let addresses = late.iter().map(|(address, _)| *address).collect();
        for (address, node) in late {
            self.passed_over.entry(address).or_default().insert(node);
        }
        addresses
    }

    pub fn next(&self) -> Option<u64> {
        self.expected.values().map(|(_, due_us)| *due_us).min()
    }
}
