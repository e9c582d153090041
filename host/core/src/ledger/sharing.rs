//! When two Services may hold one address. Knows nothing of addresses.
use outrigger_sdk::TrafficPolicy;

use crate::facts::Service;

/// Two Services may hold one address if they are of one namespace, have the same sharing key, have no port in
/// common, and send traffic to the same backends wherever that matters: under policy Cluster any node serves both,
/// under Local only Services with equal selectors have their endpoints on the same nodes.
///
/// MetalLB does not ask for one namespace, so that anybody who guesses a key can take ports of somebody else's address.
pub fn may_share(one: &Service, other: &Service) -> bool {
    group(one).is_some()
        && group(one) == group(other)
        && backends_agree(one, other)
        && !one
            .ports
            .iter()
            .any(|a| other.ports.iter().any(|b| (a.protocol, a.port) == (b.protocol, b.port)))
}

/// Namespace and sharing key, `None` for a Service that does not share.
pub(super) fn group(service: &Service) -> Option<(String, String)> {
    let key = &service.sharing_key;
    (!key.is_empty()).then(|| (service.key.namespace.clone(), key.clone()))
}

fn backends_agree(one: &Service, other: &Service) -> bool {
    match (one.traffic_policy, other.traffic_policy) {
        (TrafficPolicy::Cluster, TrafficPolicy::Cluster) => true,
        (TrafficPolicy::Local, TrafficPolicy::Local) => one.selector == other.selector,
        // A policy that this version does not know may mean anything.
        _ => false,
    }
}
