//! The description of a Service of type LoadBalancer that plugins receive. WIT: `types.service`.
use serde::{Deserialize, Serialize};

use crate::Pair;

/// A Service of type LoadBalancer. WIT: `types.service`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// Namespace of the Service.
    pub namespace: String,
    /// Name of the Service.
    pub name: String,
    /// `metadata.uid` of the Service; "" if the source has none.
    pub uid: String,
    /// Labels in key order.
    pub labels: Vec<Pair>,
    /// Annotations in key order, without `kubectl.kubernetes.io/last-applied-configuration` and without values over 1
    /// KiB.
    pub annotations: Vec<Pair>,
    /// Ports in the order of the spec.
    pub ports: Vec<ServicePort>,
    /// `spec.externalTrafficPolicy`.
    pub external_traffic_policy: TrafficPolicy,
    /// Host names requested by annotation, in lower case, without the final dot.
    pub hostnames: Vec<String>,
    /// DNS TTL in seconds; 0 = not requested.
    pub ttl: u32,
}

/// One port of a Service. WIT: `types.service-port`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServicePort {
    /// Name of the port; "" for a Service with one unnamed port.
    pub name: String,
    /// Transport protocol.
    pub protocol: IpProtocol,
    /// Port that clients use.
    pub port: u16,
    /// Node port; 0 = none.
    pub node_port: u16,
}

/// Transport protocol of a Service port. WIT: `types.ip-protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum IpProtocol {
    /// TCP, the default of Kubernetes.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// A protocol that this version does not know.
    Other,
}

/// The `spec.externalTrafficPolicy` of a Service. WIT: `types.traffic-policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TrafficPolicy {
    /// Any node may receive the traffic.
    #[default]
    Cluster,
    /// Only nodes with a local endpoint may receive the traffic.
    Local,
    /// A policy that this version does not know.
    Other,
}
