//! The readiness of a node's announcers, as the node itself reports it: small enough to fit a datagram. Does not know
//! which node reports it, or when.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::eligibility::Ineligible;
use crate::facts::NodeName;

/// Maximum number of networks, and of failed addresses, that one announcer reports.
pub const MOST: usize = 24;

/// Maximum number of hardware addresses that one announcer reports.
pub const LINKS: usize = 8;

/// The readiness of one announcer on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// True if its plugin runs.
    pub runs: bool,
    /// True if the node has an interface that the announcer may use.
    pub interface: bool,
    /// True if one of these interfaces is up.
    pub carrier: bool,
    /// True if neighbours answer on one of these interfaces, or if none ever did.
    pub heard: bool,
    /// The hardware addresses of these interfaces, at most [`LINKS`].
    pub hardware: BTreeSet<[u8; 6]>,
    /// The addresses and networks of these interfaces; empty if there are more than [`MOST`].
    pub networks: BTreeSet<IpNet>,
    /// True if kube-proxy reports that it forwards traffic on the node; `None` if it never reported anything.
    pub forwards: Option<bool>,
    /// Addresses that the announcer is to announce and reports as failed.
    pub failed: BTreeSet<IpAddr>,
}

/// Readiness by announcer. An announcer that is not listed may be ready.
pub type NodeReadiness = BTreeMap<String, Readiness>;

impl Readiness {
    /// Checks that the announcer can announce an address.
    ///
    /// # Errors
    /// Returns the first reason why it cannot.
    pub fn check(&self, address: IpAddr) -> Result<(), Ineligible> {
        let off_its_networks =
            !self.networks.is_empty() && !self.networks.iter().any(|net| net.contains(&address));
        match self {
            Self { interface: false, .. } => Err(Ineligible::NoInterface),
            Self { carrier: false, .. } => Err(Ineligible::NoCarrier),
            Self { heard: false, .. } => Err(Ineligible::SegmentSilent),
            Self { forwards: Some(false), .. } => Err(Ineligible::ProxyUnhealthy),
            Self { runs: false, .. } => Err(Ineligible::PluginHeld),
            Self { failed, .. } if failed.contains(&address) => Err(Ineligible::Failed),
            _ if off_its_networks => Err(Ineligible::NotInSubnet),
            _ => Ok(()),
        }
    }

    /// Returns the readiness reduced so that it fits a datagram: too many networks are left out entirely, and an
    /// announcer that fails for too many addresses is reported as not running.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        while self.hardware.len() > LINKS {
            self.hardware.pop_last();
        }
        if self.networks.len() > MOST {
            self.networks.clear();
        }
        if self.failed.len() > MOST {
            self.failed.clear();
            self.runs = false;
        }
        self
    }
}

/// The reports of all nodes, evaluated for one address.
pub struct Nodes<'a> {
    nodes: &'a BTreeMap<NodeName, NodeReadiness>,
    announcers: Vec<&'a str>,
    address: IpAddr,
    /// True if kube-proxy forwards traffic on at least one node.
    is_forwarded: bool,
}

impl<'a> Nodes<'a> {
    /// Creates the view for an address that any of these announcers may announce.
    pub fn new(
        nodes: &'a BTreeMap<NodeName, NodeReadiness>,
        announcers: impl Iterator<Item = &'a str>,
        address: IpAddr,
    ) -> Self {
        let is_forwarded = nodes.values().any(|node| forwards(node) == Some(true));
        Self { nodes, announcers: announcers.collect(), address, is_forwarded }
    }

    /// Checks that a node can announce the address. If kube-proxy forwards traffic on at least one node, a node on
    /// which it never reported anything counts as not forwarding yet. A node without a report counts as able.
    ///
    /// # Errors
    /// Returns the reason of the announcer that is closest to being able to announce it.
    pub fn check(&self, node: &str) -> Result<(), Ineligible> {
        let Some(node) = self.nodes.get(node).filter(|node| !node.is_empty()) else {
            return Ok(());
        };
        if self.is_forwarded && forwards(node).is_none() {
            return Err(Ineligible::ProxyUnhealthy);
        }
        let of_one = |name: &&str| node.get(*name).map_or(Ok(()), |one| one.check(self.address));
        self.announcers.iter().map(of_one).min().unwrap_or(Ok(()))
    }
}

fn forwards(node: &NodeReadiness) -> Option<bool> {
    node.values().find_map(|one| one.forwards)
}
