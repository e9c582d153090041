//! Determines whether any node may answer for an address, for messages to operators. Uses facts alone and must not know
//! members, claims or endpoints, which come and go without anything to fix.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::cover::{PoolBinding, announcers};
use crate::eligibility::{Ineligible, fit};
use crate::facts::{Announcer, Change, Cluster, Fact, FactKey, NodeName, Service};

/// Maximum number of node names in a message; more would not help the reader.
const NAMES_SHOWN: usize = 3;

/// The facts around a Service: nodes, namespaces, pools and announcers.
#[derive(Debug, Clone, Default)]
pub struct Announceable {
    cluster: Cluster,
    announcers: BTreeMap<String, Arc<Announcer>>,
}

impl Announceable {
    /// Applies a change. Returns false if the change is not relevant or changes nothing.
    pub fn apply(&mut self, change: &Change) -> bool {
        let concerns = match change {
            Change::Upsert(fact) => matches!(
                fact,
                Fact::Node(_) | Fact::Namespace(_) | Fact::Pool(_) | Fact::Announcer(_)
            ),
            Change::Remove(key) => matches!(
                key,
                FactKey::Node(_) | FactKey::Namespace(_) | FactKey::Pool(_) | FactKey::Announcer(_)
            ),
            Change::Synced => false,
        };
        if !concerns || self.cluster.apply(change.clone()).is_none() {
            return false;
        }
        self.announcers = announcers(&self.cluster);
        true
    }

    /// Returns the facts that were applied.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Returns the addresses of nodes. No Service may be given one, because the node would lose its own traffic.
    pub fn node_addresses(&self) -> BTreeMap<IpAddr, NodeName> {
        let nodes = self.cluster.nodes.values();
        nodes.flat_map(|node| node.addresses.iter().map(|at| (*at, node.name.clone()))).collect()
    }

    /// Returns a sentence that states why no node may answer for an address of this Service, with the nodes and the
    /// fix; `None` if a node may, or if no nodes are known.
    pub fn nobody(&self, address: IpAddr, service: &Service) -> Option<String> {
        if self.cluster.nodes.is_empty() {
            return None;
        }
        let home = PoolBinding::find(&self.cluster, address)?;
        let cover = home.cover(&self.announcers, &[service]);
        if cover.is_empty() {
            return Some(format!("{address} is not announced: {}", Ineligible::NoAnnouncer));
        }
        let mut reasons: BTreeMap<Ineligible, Vec<&str>> = BTreeMap::new();
        for node in self.cluster.nodes.keys() {
            let Err(reason) = fit(&self.cluster, "", &cover, node) else { return None };
            reasons.entry(reason).or_default().push(node);
        }
        let reasons: Vec<String> =
            reasons.iter().map(|(reason, nodes)| format!("{} ({reason})", names(nodes))).collect();
        Some(format!(
            "{address} is not announced, because no node may answer for it: fix one of {}",
            reasons.join(", ")
        ))
    }
}

fn names(nodes: &[&str]) -> String {
    let shown = nodes[..nodes.len().min(NAMES_SHOWN)].join(", ");
    match nodes.len().saturating_sub(NAMES_SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
