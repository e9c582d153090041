//! The abilities of a node's announcers there, as the node itself says them: small, so that it fits a datagram. Knows nothing of who says
//! it, or when.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::eligibility::Ineligible;
use crate::facts::NodeName;

/// Networks and failed addresses that one announcer tells of.
pub const MOST: usize = 24;

/// Hardware addresses that one announcer tells of.
pub const LINKS: usize = 8;

/// The abilities of one announcer on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Its plugin runs.
    pub runs: bool,
    /// There is an interface that it may use.
    pub interface: bool,
    /// One of them is up.
    pub carrier: bool,
    /// On one of these neighbours answer, or none ever did.
    pub heard: bool,
    /// The hardware addresses of those, at most [`LINKS`].
    pub hardware: BTreeSet<[u8; 6]>,
    /// Their addresses and networks; empty when there are more than [`MOST`].
    pub networks: BTreeSet<IpNet>,
    /// kube-proxy says that it forwards traffic on the node; `None` where it never said anything.
    pub forwards: Option<bool>,
    /// Addresses that it is to announce and reports as failed.
    pub failed: BTreeSet<IpAddr>,
}

/// By announcer. One that is not named may be ready.
pub type NodeReadiness = BTreeMap<String, Readiness>;

impl Readiness {
    /// Says if the announcer can announce an address.
    ///
    /// # Errors
    /// The first reason why not.
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

    /// The same so that it fits a datagram: of too many networks none is told, and what fails for too many addresses fails for all.
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

/// What all nodes say, for one address.
pub struct Nodes<'a> {
    nodes: &'a BTreeMap<NodeName, NodeReadiness>,
    announcers: Vec<&'a str>,
    address: IpAddr,
    /// kube-proxy forwards traffic on some node.
    is_forwarded: bool,
}

impl<'a> Nodes<'a> {
    /// For these announcers, any of which will do.
    pub fn new(
        nodes: &'a BTreeMap<NodeName, NodeReadiness>,
        announcers: impl Iterator<Item = &'a str>,
        address: IpAddr,
    ) -> Self {
        let is_forwarded = nodes.values().any(|node| forwards(node) == Some(true));
        Self { nodes, announcers: announcers.collect(), address, is_forwarded }
    }

    /// Says if a node can announce the address. Where kube-proxy forwards traffic on some node, one on which it never said anything has
    /// none yet.
    ///
    /// # Errors
    /// The reason of the announcer that is nearest to it.
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
