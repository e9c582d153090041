//! What a plugin is told about a Service of type LoadBalancer. WIT: `types.service`.
use serde::{Deserialize, Serialize};

use crate::Pair;

/// A Service of type LoadBalancer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its `metadata.uid`, "" where the source has none.
    pub uid: String,
    /// Labels in key order.
    pub labels: Vec<Pair>,
    /// Annotations in key order, without `kubectl.kubernetes.io/last-applied-configuration` and values over 1 KiB.
    pub annotations: Vec<Pair>,
    /// Ports in the order of the spec.
    pub ports: Vec<ServicePort>,
    /// `spec.externalTrafficPolicy`.
    pub external_traffic_policy: TrafficPolicy,
    /// Host names asked for by annotation, lower case, without the final dot.
    pub hostnames: Vec<String>,
    /// Seconds, 0 = not asked for.
    pub ttl: u32,
}

/// One port of a Service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServicePort {
    /// "" for a Service with one unnamed port.
    pub name: String,
    /// Transport protocol.
    pub protocol: Protocol,
    /// The port clients use.
    pub port: u16,
    /// 0 = none.
    pub node_port: u16,
}

/// Transport protocol of a Service port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP, the default of Kubernetes.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// One that this version does not know.
    Other,
}

/// `spec.externalTrafficPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TrafficPolicy {
    /// Any node may take the traffic.
    #[default]
    Cluster,
    /// Only nodes with a local endpoint may.
    Local,
    /// One that this version does not know.
    Other,
}
