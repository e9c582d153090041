//! Conversions for the types that both worlds use. WIT: `types`.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use outrigger_sdk as sdk;

use super::allocator::outrigger::plugin::types as wit;

impl From<IpAddr> for wit::IpAddress {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Ipv4(address.octets().into()),
            IpAddr::V6(address) => Self::Ipv6(address.segments().into()),
        }
    }
}

impl From<wit::IpAddress> for IpAddr {
    fn from(address: wit::IpAddress) -> Self {
        match address {
            wit::IpAddress::Ipv4(octets) => Ipv4Addr::from(<[u8; 4]>::from(octets)).into(),
            wit::IpAddress::Ipv6(segments) => Ipv6Addr::from(<[u16; 8]>::from(segments)).into(),
        }
    }
}

impl From<sdk::IpNet> for wit::IpPrefix {
    fn from(prefix: sdk::IpNet) -> Self {
        // A link's own address keeps its host bits, as `ip addr` shows it.
        Self { address: prefix.addr().into(), length: prefix.prefix_len() }
    }
}

impl From<sdk::Family> for wit::IpFamily {
    fn from(family: sdk::Family) -> Self {
        match family {
            sdk::Family::Ipv4 => Self::Ipv4,
            sdk::Family::Ipv6 => Self::Ipv6,
        }
    }
}

impl From<wit::IpFamily> for sdk::Family {
    fn from(family: wit::IpFamily) -> Self {
        match family {
            wit::IpFamily::Ipv4 => Self::Ipv4,
            wit::IpFamily::Ipv6 => Self::Ipv6,
        }
    }
}

impl From<&sdk::Service> for wit::Service {
    fn from(service: &sdk::Service) -> Self {
        Self {
            namespace: service.namespace.clone(),
            name: service.name.clone(),
            uid: service.uid.clone(),
            labels: service.labels.clone(),
            annotations: service.annotations.clone(),
            ports: service.ports.iter().map(Into::into).collect(),
            external_traffic_policy: service.external_traffic_policy.into(),
            hostnames: service.hostnames.clone(),
            ttl: service.ttl,
            ext: Vec::new(),
        }
    }
}

impl From<&sdk::ServicePort> for wit::ServicePort {
    fn from(port: &sdk::ServicePort) -> Self {
        Self {
            name: port.name.clone(),
            protocol: match port.protocol {
                sdk::IpProtocol::Tcp => wit::IpProtocol::Tcp,
                sdk::IpProtocol::Udp => wit::IpProtocol::Udp,
                sdk::IpProtocol::Sctp => wit::IpProtocol::Sctp,
                sdk::IpProtocol::Other => wit::IpProtocol::Other,
            },
            port: port.port,
            node_port: port.node_port,
        }
    }
}

impl From<sdk::TrafficPolicy> for wit::TrafficPolicy {
    fn from(policy: sdk::TrafficPolicy) -> Self {
        match policy {
            sdk::TrafficPolicy::Cluster => Self::Cluster,
            sdk::TrafficPolicy::Local => Self::Local,
            sdk::TrafficPolicy::Other => Self::Other,
        }
    }
}

impl From<sdk::Time> for wit::Time {
    fn from(time: sdk::Time) -> Self {
        Self { monotonic_us: time.monotonic_us, utc_us: time.utc_us }
    }
}

impl From<wit::FieldError> for sdk::FieldError {
    fn from(error: wit::FieldError) -> Self {
        Self { path: error.path, message: error.message }
    }
}

/// Converts every element of a list.
pub(super) fn each<A: Into<B>, B>(list: impl IntoIterator<Item = A>) -> Vec<B> {
    list.into_iter().map(Into::into).collect()
}
