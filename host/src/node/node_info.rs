//! Properties of the node that are passed to its plugins: addresses, labels, Outrigger's annotations, default gateways.
use outrigger_core::facts::{Cluster, NodeName};
use outrigger_net::default_gateways;
use outrigger_sdk::Pair;

/// Returns the properties in a fixed order, so that equal nodes pass equal lists.
pub fn about(cluster: &Cluster, name: &NodeName) -> Vec<Pair> {
    let mut about: Vec<Pair> = Vec::new();
    if let Some(node) = cluster.nodes.get(name) {
        about.extend(node.addresses.iter().map(|ip| ("node-ip".to_owned(), ip.to_string())));
        let labels = node.labels.iter();
        about.extend(labels.map(|(key, value)| (format!("label/{key}"), value.clone())));
        let annotations = node.annotations.iter();
        about.extend(annotations.map(|(key, value)| (format!("annotation/{key}"), value.clone())));
    }
    let (v4, v6) = default_gateways();
    about.extend(v4.map(|gateway| ("default-gateway".to_owned(), gateway)));
    about.extend(v6.map(|gateway| ("default-gateway-v6".to_owned(), gateway)));
    about
}
