//! Conversions of the types of WIT interface `types` that both worlds use, in both directions.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::wit;
use crate::{IpProtocol, MacAddr, Service, ServicePort, TrafficPolicy};

pub fn address(address: wit::IpAddress) -> IpAddr {
    match address {
        wit::IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).into(),
        wit::IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => {
            Ipv6Addr::new(a, b, c, d, e, f, g, h).into()
        }
    }
}

pub fn wit_address(address: IpAddr) -> wit::IpAddress {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            wit::IpAddress::Ipv4((a, b, c, d))
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, e, f, g, h] = address.segments();
            wit::IpAddress::Ipv6((a, b, c, d, e, f, g, h))
        }
    }
}

pub fn addresses(addresses: Vec<wit::IpAddress>) -> Vec<IpAddr> {
    addresses.into_iter().map(address).collect()
}

/// Converts a prefix. `None` if the length does not fit the family, which no host sends.
pub fn prefix(prefix: wit::IpPrefix) -> Option<IpNet> {
    IpNet::new(address(prefix.address), prefix.length).ok()
}

pub fn mac((a, b, c, d, e, f): wit::MacAddress) -> MacAddr {
    MacAddr::new(a, b, c, d, e, f)
}

pub fn service(service: wit::Service) -> Service {
    Service {
        namespace: service.namespace,
        name: service.name,
        uid: service.uid,
        labels: service.labels,
        annotations: service.annotations,
        ports: service.ports.into_iter().map(port).collect(),
        external_traffic_policy: match service.external_traffic_policy {
            wit::TrafficPolicy::Cluster => TrafficPolicy::Cluster,
            wit::TrafficPolicy::Local => TrafficPolicy::Local,
            wit::TrafficPolicy::Other => TrafficPolicy::Other,
        },
        hostnames: service.hostnames,
        ttl: service.ttl,
    }
}

fn port(port: wit::ServicePort) -> ServicePort {
    ServicePort {
        name: port.name,
        protocol: match port.protocol {
            wit::IpProtocol::Tcp => IpProtocol::Tcp,
            wit::IpProtocol::Udp => IpProtocol::Udp,
            wit::IpProtocol::Sctp => IpProtocol::Sctp,
            wit::IpProtocol::Other => IpProtocol::Other,
        },
        port: port.port,
        node_port: port.node_port,
    }
}
