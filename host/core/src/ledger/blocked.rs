//! Addresses that nobody is given although nobody holds them: those just given back, which may still be announced somewhere
//! (invariant 6), and those of nodes. Knows nothing of pools.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use outrigger_sdk::Time;

use crate::facts::{NodeName, ServiceKey};

/// How long an address rests after it was given back. A node takes it out as soon as it hears of it, which takes
/// milliseconds; this is for a watch that lags, in microseconds.
pub const REST_US: u64 = 2_000_000;

/// Why an address is not given out although nobody holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blocked {
    /// Somebody else gave it back a moment ago.
    Resting,
    /// It is the address of a node.
    Node(NodeName),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Blocks {
    resting: BTreeMap<IpAddr, Rest>,
    /// The same by time.
    ends: BTreeSet<(u64, IpAddr)>,
    nodes: BTreeMap<IpAddr, NodeName>,
}

#[derive(Debug, Clone)]
struct Rest {
    until: u64,
    /// Who gave it back, and may have it again.
    by: ServiceKey,
}

impl Blocks {
    pub(super) fn rest(&mut self, address: IpAddr, by: &ServiceKey, now: Time) {
        self.end_rest(address);
        let until = now.monotonic_us.saturating_add(REST_US);
        self.ends.insert((until, address));
        self.resting.insert(address, Rest { until, by: by.clone() });
    }

    /// True when it rested.
    pub(super) fn end_rest(&mut self, address: IpAddr) -> bool {
        let Some(rest) = self.resting.remove(&address) else { return false };
        self.ends.remove(&(rest.until, address));
        true
    }

    /// The addresses whose rest is over.
    pub(super) fn due(&self, now: Time) -> Vec<IpAddr> {
        let over = self.ends.iter().take_while(|(until, _)| *until <= now.monotonic_us);
        over.map(|(_, address)| *address).collect()
    }

    pub(super) fn next_end(&self) -> Option<u64> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// Returns the addresses that were of nodes and are no more.
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

    /// As far as this Service is concerned.
    pub(super) fn why(&self, address: IpAddr, service: &ServiceKey) -> Option<Blocked> {
        if let Some(node) = self.nodes.get(&address) {
            return Some(Blocked::Node(node.clone()));
        }
        let rest = self.resting.get(&address)?;
        (rest.by != *service).then_some(Blocked::Resting)
    }
}
