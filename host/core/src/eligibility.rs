//! Eligibility of nodes for an address, and the reasons against it: one table over facts. Does not know which nodes
//! are alive, nor claims or elections.
use std::collections::BTreeSet;

use outrigger_sdk::TrafficPolicy;

use crate::facts::{Announcer, Cluster, Endpoint, Labels, Service};

#[cfg(test)]
mod tests;

/// The reason why a node may not answer for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Ineligible {
    /// No message from the node was received, or it was declared down.
    #[error("the node does not answer")]
    NotAlive,
    /// The node has reported that it is leaving.
    #[error("the node is leaving")]
    Leaving,
    /// There are Node objects, but none for this node.
    #[error("there is no Node object of this name")]
    NoNode,
    /// The node has the label `node.kubernetes.io/exclude-from-external-load-balancers`.
    #[error("the node is labelled node.kubernetes.io/exclude-from-external-load-balancers")]
    Excluded,
    /// The node's condition NetworkUnavailable is True.
    #[error("the node's condition NetworkUnavailable is True")]
    NetworkUnavailable,
    /// The address is in no pool with an announcer for one of its Services.
    #[error(
        "no announcer covers the address: check its pool's announcers and their serviceSelector"
    )]
    NoAnnouncer,
    /// There are announcers, but only on other nodes.
    #[error("the nodeSelector of no announcer matches the node")]
    NotSelected,
    /// No endpoint on any node could take the traffic.
    #[error("no endpoint of the Service can serve, on any node")]
    NoEndpoint,
    /// `externalTrafficPolicy` is Local, and no endpoint on this node can serve.
    #[error("no endpoint on this node can serve, and externalTrafficPolicy is Local")]
    NoLocalEndpoint,
    /// `externalTrafficPolicy` is Local, and all endpoints of one of the Services that serve on this node are
    /// terminating.
    #[error(
        "the endpoints on this node are terminating, and externalTrafficPolicy is Local: the node answers only while no other node can"
    )]
    OnlyTerminating,
    /// The node's condition Ready is not True.
    #[error(
        "the node's condition Ready is not True: the node answers only while no Ready node can"
    )]
    NotReady,
    /// The node is cordoned (`kubectl cordon` or `drain`) or has the out-of-service taint.
    #[error("the node is cordoned or out of service: it answers only while no node in service can")]
    Cordoned,
    /// No interface of the announcer is in the network of the address: clients of the node's networks do not ask
    /// there for the address, although a route to the node may lead to it.
    #[error(
        "no interface of the announcer on the node is in the subnet of the address: the node answers only while no node in that subnet can"
    )]
    NotInSubnet,
    /// The plugin reports that it cannot announce the address.
    #[error("the announcer on the node reports that it cannot announce the address")]
    Failed,
    /// kube-proxy does not report that it forwards traffic, so traffic that arrives at the node may be lost.
    #[error("kube-proxy on the node does not report that it forwards traffic")]
    ProxyUnhealthy,
    /// The plugin does not run on the node, so nothing new is decided there; announcements that are active continue
    /// for a limited time.
    #[error("the plugin of the announcer does not run on the node")]
    PluginHeld,
    /// Neighbours answered on the announcer's interfaces before, and none does any more.
    #[error(
        "no neighbour answers any longer on any interface that the announcer may use on the node"
    )]
    SegmentSilent,
    /// All interfaces that the announcer may use are down.
    #[error("no interface that the announcer may use is up on the node")]
    NoCarrier,
    /// No interface of the node has a name from `spec.interfaces`.
    #[error("the node has no interface that the announcer may use")]
    NoInterface,
}

impl Ineligible {
    /// Returns the name of the reason in status and metrics.
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
            Self::OnlyTerminating => "OnlyTerminating",
            Self::NotReady => "NotReady",
            Self::Cordoned => "Cordoned",
            Self::NotInSubnet => "NotInSubnet",
            Self::Failed => "Failed",
            Self::PluginHeld => "PluginHeld",
            Self::ProxyUnhealthy => "ProxyUnhealthy",
            Self::SegmentSilent => "SegmentSilent",
            Self::NoCarrier => "NoCarrier",
            Self::NoInterface => "NoInterface",
        }
    }

    /// Returns true if the node may still answer while no better one can. If all nodes are NotReady, that is more
    /// likely a fault of the observer than of the nodes, and must stop no traffic (invariant 2). A cordoned node is
    /// meant to leave, and until then no traffic may be lost: if there is another node it hands over, otherwise it
    /// continues (invariant 7).
    pub fn is_last_resort(self) -> bool {
        use Ineligible::{Cordoned, NotInSubnet, NotReady, OnlyTerminating};
        matches!(self, OnlyTerminating | NotReady | Cordoned | NotInSubnet)
    }

    /// Returns true if the node could not announce the address even if it were elected. It keeps what it has while no
    /// other node can: if all nodes report this, the cause may be a plugin, and addresses that are active are still
    /// answered for.
    pub fn is_inability(self) -> bool {
        use Ineligible::*;
        let of_the_plugin = matches!(self, Failed | PluginHeld);
        of_the_plugin || matches!(self, ProxyUnhealthy | SegmentSilent | NoCarrier | NoInterface)
    }
}

/// The eligibility table for one address.
///
/// Services that share an address are served together: a node must suit every one of them that has an endpoint able
/// to serve. A Service without such an endpoint does not take the others down.
#[derive(Debug)]
pub struct Eligibility<'a> {
    cluster: &'a Cluster,
    me: &'a str,
    /// The announcers that cover the address.
    announcers: Vec<&'a Announcer>,
    endpoints: Condition<'a>,
}

#[derive(Debug)]
enum Condition<'a> {
    /// There are no EndpointSlices at all.
    None,
    /// No Service of the address has an endpoint that can serve.
    Unmet,
    /// For each Service of policy Local, the nodes that serve it.
    OnNodes(Vec<Local<'a>>),
}

/// The nodes with endpoints of one Service of policy Local. If a node has a ready endpoint, only its ready ones
/// count: on each node kube-proxy uses endpoints that are terminating and still serve only if the node has none that
/// is ready (KEP-1669), and from then on its health check fails so that balancers send new traffic elsewhere.
#[derive(Debug, Default)]
struct Local<'a> {
    ready: BTreeSet<&'a str>,
    terminating: BTreeSet<&'a str>,
}

impl<'a> Eligibility<'a> {
    /// Creates the table. `announcers` are those that cover the address, `services` its Services, each with its
    /// endpoints.
    pub fn new(
        cluster: &'a Cluster,
        me: &'a str,
        announcers: Vec<&'a Announcer>,
        services: &[(&'a Service, Vec<&'a Endpoint>)],
    ) -> Self {
        Self { cluster, me, announcers, endpoints: condition(cluster, services) }
    }

    /// Checks that a node may answer for the address.
    ///
    /// # Errors
    /// Returns the first reason why it may not.
    pub fn check(&self, node: &str) -> Result<(), Ineligible> {
        fit(self.cluster, self.me, &self.announcers, node)?;
        match &self.endpoints {
            Condition::None => {}
            Condition::Unmet => return Err(Ineligible::NoEndpoint),
            Condition::OnNodes(services) => {
                if !services.iter().all(|local| local.serves(node)) {
                    return Err(Ineligible::NoLocalEndpoint);
                }
                if !services.iter().all(|local| local.ready.contains(node)) {
                    return Err(Ineligible::OnlyTerminating);
                }
            }
        }
        match self.cluster.nodes.get(node) {
            Some(node) if !node.ready => Err(Ineligible::NotReady),
            Some(node) if node.cordoned => Err(Ineligible::Cordoned),
            _ => Ok(()),
        }
    }
}

/// Checks that a node may answer as far as the node itself and the announcers of the address are concerned. `me` is
/// the only node if there are no Node objects at all.
///
/// # Errors
/// Returns the first reason why it may not.
pub fn fit(
    cluster: &Cluster,
    me: &str,
    announcers: &[&Announcer],
    node: &str,
) -> Result<(), Ineligible> {
    static NO_LABELS: Labels = Labels::new();
    let known = cluster.nodes.get(node);
    if known.is_none() && !(cluster.nodes.is_empty() && node == me) {
        return Err(Ineligible::NoNode);
    }
    let labels = known.map_or(&NO_LABELS, |node| &node.labels);
    let ignored = announcers.iter().any(|announcer| announcer.ignore_exclude_label);
    let is_excluded = known.is_some_and(|node| node.excluded);
    if is_excluded && !ignored {
        return Err(Ineligible::Excluded);
    }
    if known.is_some_and(|node| !node.network_available) {
        return Err(Ineligible::NetworkUnavailable);
    }
    if announcers.is_empty() {
        return Err(Ineligible::NoAnnouncer);
    }
    let mut selected = announcers.iter().filter(|one| one.node_selector.matches(labels)).peekable();
    if selected.peek().is_none() {
        return Err(Ineligible::NotSelected);
    }
    if is_excluded && !selected.all(|announcer| announcer.ignore_exclude_label) {
        return Err(Ineligible::Excluded);
    }
    Ok(())
}

impl Local<'_> {
    fn serves(&self, node: &str) -> bool {
        self.ready.contains(node) || self.terminating.contains(node)
    }
}

/// Returns true if traffic can be sent to the endpoint. A terminating one that still serves counts, as in kube-proxy
/// (KEP-1669).
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
        // The machine is the only node, so every endpoint is on it, regardless of the endpoint's node name.
        return Condition::OnNodes(Vec::new());
    }
    let local = served.iter().filter(|(service, _)| service.traffic_policy == TrafficPolicy::Local);
    let nodes = |endpoints: &[&'a Endpoint]| {
        let mut local = Local::default();
        for endpoint in endpoints.iter().filter(|endpoint| serves(endpoint)) {
            let Some(node) = endpoint.node.as_deref() else { continue };
            match endpoint.ready {
                true => local.ready.insert(node),
                false => local.terminating.insert(node),
            };
        }
        local
    };
    Condition::OnNodes(local.map(|(_, endpoints)| nodes(endpoints)).collect())
}
