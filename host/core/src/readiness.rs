//! What the announcers of a node can do there, as the node itself says it: small, so that it fits a datagram. Knows nothing of who says
//! it, or when.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::eligibility::Ineligible;
use crate::facts::NodeName;

/// Networks and failed addresses that one announcer tells of.
pub const MOST: usize = 24;

/// What one announcer can do on one node.
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
    /// The addresses and networks of those; empty when there are more than [`MOST`].
    pub networks: BTreeSet<IpNet>,
    /// kube-proxy says that it forwards traffic on the node; `None` where it never said anything.
    pub forwards: Option<bool>,
    /// Addresses that it is to announce and reports as failed.
    pub failed: BTreeSet<IpAddr>,
}

/// By announcer. One that is not named may be ready.
pub type NodeReadiness = BTreeMap<String, Readiness>;

impl Readiness {
    /// Whether the announcer can announce an address.
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

/// Whether one of these announcers can announce an address on a node, by what the nodes say. Where kube-proxy forwards traffic on some
/// node, one on which it never said anything has none yet.
///
/// # Errors
/// The reason of the one that is nearest to it.
pub fn check<'a>(
    nodes: &BTreeMap<NodeName, NodeReadiness>,
    node: &str,
    announcers: impl IntoIterator<Item = &'a str>,
    address: IpAddr,
) -> Result<(), Ineligible> {
    let Some(node) = nodes.get(node) else { return Ok(()) };
    let forwards = |node: &NodeReadiness| node.values().find_map(|one| one.forwards);
    let elsewhere = || nodes.values().any(|node| forwards(node) == Some(true));
    if !node.is_empty() && forwards(node).is_none() && elsewhere() {
        return Err(Ineligible::ProxyUnhealthy);
    }
    let of_one = |name: &str| node.get(name).map_or(Ok(()), |one| one.check(address));
    announcers.into_iter().map(of_one).min().unwrap_or(Ok(()))
}
