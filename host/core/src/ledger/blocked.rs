//! Addresses that are not assigned although they have no holder: those that were just released, which may still be
//! announced somewhere (invariant 6), and those of nodes. Does not know pools.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_sdk::Time;

use crate::facts::{NodeName, ServiceKey};

/// Time that an address rests after it was released, in microseconds. A node withdraws it as soon as it learns of the
/// release, which takes milliseconds; the rest covers a watch that lags.
pub const REST_US: u64 = 2_000_000;

/// The reason why an address without a holder is not assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// Another Service released it a moment ago.
    Resting,
    /// The address belongs to a node.
    Node(NodeName),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Blocks {
    resting: BTreeMap<IpAddr, Rest>,
    /// The resting addresses, ordered by the end of their rest.
    ends: BTreeSet<(u64, IpAddr)>,
    nodes: BTreeMap<IpAddr, NodeName>,
}

#[derive(Debug, Clone)]
struct Rest {
    until: u64,
    /// The Service that released it, and may have it again.
    by: ServiceKey,
}

impl Blocks {
    pub(super) fn rest(&mut self, address: IpAddr, by: &ServiceKey, now: Time) {
        self.end_rest(address);
        let until = now.monotonic_us.saturating_add(REST_US);
        self.ends.insert((until, address));
        self.resting.insert(address, Rest { until, by: by.clone() });
    }

    /// Ends the rest of an address. Returns true if it was resting.
    pub(super) fn end_rest(&mut self, address: IpAddr) -> bool {
        let Some(rest) = self.resting.remove(&address) else { return false };
        self.ends.remove(&(rest.until, address));
        true
    }

    /// Returns the addresses whose rest is over.
    pub(super) fn due(&self, now: Time) -> Vec<IpAddr> {
        let over = self.ends.iter().take_while(|(until, _)| *until <= now.monotonic_us);
        over.map(|(_, address)| *address).collect()
    }

    pub(super) fn next_end(&self) -> Option<u64> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// Replaces the addresses of nodes. Returns those that no longer belong to a node.
    pub(super) fn set_nodes(&mut self, nodes: BTreeMap<IpAddr, NodeName>) -> Vec<IpAddr> {
        let old = std::mem::replace(&mut self.nodes, nodes);
        old.into_keys().filter(|address| !self.nodes.contains_key(address)).collect()
    }

    pub(super) fn nodes(&self) -> &BTreeMap<IpAddr, NodeName> {
        &self.nodes
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.resting.keys().chain(self.nodes.keys()).copied()
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.resting.contains_key(&address) || self.nodes.contains_key(&address)
    }

    /// Returns the reason why an address is blocked for this Service; `None` if it is not.
    pub(super) fn why(&self, address: IpAddr, service: &ServiceKey) -> Option<Blocked> {
        if let Some(node) = self.nodes.get(&address) {
            return Some(Blocked::Node(node.clone()));
        }
        let rest = self.resting.get(&address)?;
        (rest.by != *service).then_some(Blocked::Resting)
    }
}
