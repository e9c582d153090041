//! Which nodes may answer for an address, and why the others may not: one table over facts. Knows nothing of who is
//! alive, of claims or of elections.
use std::collections::BTreeSet;

use outrigger_sdk::TrafficPolicy;

use crate::facts::{Cluster, Endpoint, Labels, Selector, Service};

#[cfg(test)]
mod tests;

/// Why a node may not answer for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Ineligible {
    /// Not heard of, or declared down.
    #[error("the node does not answer")]
    NotAlive,
    /// Has said that it goes.
    #[error("the node is leaving")]
    Leaving,
    /// There are Node objects, and none for it.
    #[error("there is no Node object of this name")]
    NoNode,
    /// Label `node.kubernetes.io/exclude-from-external-load-balancers`.
    #[error("the node is labelled node.kubernetes.io/exclude-from-external-load-balancers")]
    Excluded,
    /// Condition NetworkUnavailable.
    #[error("the node's condition NetworkUnavailable is True")]
    NetworkUnavailable,
    /// The address is in no pool with an announcer for one of its Services.
    #[error("no announcer covers the address: see the pool's announcers and their serviceSelector")]
    NoAnnouncer,
    /// Announcers there are, on other nodes.
    #[error("the nodeSelector of no announcer matches the node")]
    NotSelected,
    /// Nobody could take the traffic.
    #[error("no endpoint of the Service can serve, on any node")]
    NoEndpoint,
    /// `externalTrafficPolicy: Local`.
    #[error("no endpoint on this node can serve, and externalTrafficPolicy is Local")]
    NoLocalEndpoint,
}

impl Ineligible {
    /// Its name in status and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotAlive => "NotAlive",
            Self::Leaving => "Leaving",
            Self::NoNode => "NoNode",
            Self::Excluded => "Excluded",
            Self::NetworkUnavailable => "NetworkUnavailable",
            Self::NoAnnouncer => "NoAnnouncer",
            Self::NotSelected => "NotSelected",
            Self::NoEndpoint => "NoEndpoint",
            Self::NoLocalEndpoint => "NoLocalEndpoint",
        }
    }
}

/// The table for one address.
///
/// Services that share an address are served together: a node must suit every one of them that has an endpoint able to
/// serve. One without any does not take the others down.
#[derive(Debug)]
pub struct Eligibility<'a> {
    cluster: &'a Cluster,
    me: &'a str,
    /// Of the announcers that cover the address.
    selectors: Vec<&'a Selector>,
    endpoints: Condition<'a>,
}

#[derive(Debug)]
enum Condition<'a> {
    /// There are no EndpointSlices at all.
    None,
    /// No Service of the address has an endpoint that can serve.
    Unmet,
    /// For each Service of policy Local, the nodes that serve it.
    OnNodes(Vec<BTreeSet<&'a str>>),
}

impl<'a> Eligibility<'a> {
    /// `selectors` are the node selectors of the announcers that cover the address, `services` its Services, each
    /// with its endpoints.
    pub fn new(
        cluster: &'a Cluster,
        me: &'a str,
        selectors: Vec<&'a Selector>,
        services: &[(&'a Service, Vec<&'a Endpoint>)],
    ) -> Self {
        Self { cluster, me, selectors, endpoints: condition(cluster, services) }
    }

    /// Whether a node may answer.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self, node: &str) -> Result<(), Ineligible> {
        let labels = self.node(node)?;
        if self.selectors.is_empty() {
            return Err(Ineligible::NoAnnouncer);
        }
        if !self.selectors.iter().any(|selector| selector.matches(labels)) {
            return Err(Ineligible::NotSelected);
        }
        match &self.endpoints {
            Condition::None => Ok(()),
            Condition::Unmet => Err(Ineligible::NoEndpoint),
            Condition::OnNodes(needed) if needed.iter().all(|nodes| nodes.contains(node)) => Ok(()),
            Condition::OnNodes(_) => Err(Ineligible::NoLocalEndpoint),
        }
    }

    /// The node's labels, if the node itself is fit.
    fn node(&self, name: &str) -> Result<&'a Labels, Ineligible> {
        static NO_LABELS: Labels = Labels::new();
        if self.cluster.nodes.is_empty() && name == self.me {
            return Ok(&NO_LABELS);
        }
        let node = self.cluster.nodes.get(name).ok_or(Ineligible::NoNode)?;
        if node.excluded {
            return Err(Ineligible::Excluded);
        }
        if !node.network_available {
            return Err(Ineligible::NetworkUnavailable);
        }
        Ok(&node.labels)
    }
}

/// Whether traffic can be sent to an endpoint. A terminating one that still serves counts, as in kube-proxy.
fn serves(endpoint: &Endpoint) -> bool {
    endpoint.ready || endpoint.serving
}

fn condition<'a>(
    cluster: &Cluster,
    services: &[(&'a Service, Vec<&'a Endpoint>)],
) -> Condition<'a> {
    if cluster.endpoints.is_empty() {
        return Condition::None;
    }
    let served: Vec<_> = services
        .iter()
        .filter(|(_, endpoints)| endpoints.iter().any(|endpoint| serves(endpoint)))
        .collect();
    if served.is_empty() {
        return Condition::Unmet;
    }
    if cluster.nodes.is_empty() {
        // The machine is the only node, so every endpoint is on it, whatever it is called.
        return Condition::OnNodes(Vec::new());
    }
    let local = served.iter().filter(|(service, _)| service.traffic_policy == TrafficPolicy::Local);
    let nodes = |endpoints: &[&'a Endpoint]| {
        let serving = endpoints.iter().filter(|endpoint| serves(endpoint));
        serving.filter_map(|endpoint| endpoint.node.as_deref()).collect()
    };
    Condition::OnNodes(local.map(|(_, endpoints)| nodes(endpoints)).collect())
}
