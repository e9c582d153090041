//! The rules by which two Services may hold one address. Does not know addresses.
use outrigger_sdk::{ServicePort, TrafficPolicy};

use crate::facts::Service;

/// Returns true if two Services may hold one address: they are in one namespace, have the same sharing key, have no
/// port in common, and send traffic to the same backends wherever that matters: under policy Cluster any node serves
/// both, under Local only Services with equal selectors have their endpoints on the same nodes.
///
/// MetalLB does not require one namespace, so that anyone who guesses a key can take ports of another owner's
/// address.
pub fn may_share(one: &Service, other: &Service) -> bool {
    group(one).is_some()
        && group(one) == group(other)
        && backends_agree(one, other)
        && !one
            .ports
            .iter()
            .any(|a| other.ports.iter().any(|b| (a.protocol, a.port) == (b.protocol, b.port)))
}

/// Returns namespace and sharing key; `None` for a Service that does not share.
pub(super) fn group(service: &Service) -> Option<(String, String)> {
    let key = &service.sharing_key;
    (!key.is_empty()).then(|| (service.key.namespace().to_owned(), key.clone()))
}

fn backends_agree(one: &Service, other: &Service) -> bool {
    match (one.traffic_policy, other.traffic_policy) {
        (TrafficPolicy::Cluster, TrafficPolicy::Cluster) => true,
        (TrafficPolicy::Local, TrafficPolicy::Local) => one.selector == other.selector,
        // A policy that this version does not know may mean anything.
        _ => false,
    }
}

/// Returns the reasons why two Services may not hold one address, with the fixes, seen from `one`; `None` if they
/// may. Contains every obstacle, so that a user does not fix one only to learn of the next.
pub fn why_not(one: &Service, other: &Service) -> Option<Vec<String>> {
    let (namespace, holder) = (one.key.namespace(), &other.key);
    let (key, theirs) = (&one.sharing_key, &other.sharing_key);
    if namespace != holder.namespace() {
        return Some(vec![format!(
            "a sharing key applies only within one namespace, and {holder} is in another"
        )]);
    }
    let command = format!(
        "kubectl -n {namespace} annotate --overwrite service {} {} outrigger.dev/sharing-key=KEY, where KEY is any text, the same on both",
        one.key.name(),
        holder.name()
    );
    let mut obstacles = Vec::new();
    let same =
        |a: &&ServicePort| other.ports.iter().any(|b| (a.protocol, a.port) == (b.protocol, b.port));
    if let Some(port) = one.ports.iter().find(same) {
        let protocol = format!("{:?}", port.protocol).to_uppercase();
        obstacles.push(format!("both have port {}/{protocol}: change one of them", port.port));
    }
    if key.is_empty() || theirs.is_empty() {
        let fix = "set the annotation outrigger.dev/sharing-key to the same value on both";
        obstacles.push(format!("{fix} ({command})"));
    } else if key != theirs {
        obstacles.push(format!(
            "their sharing keys {key:?} and {theirs:?} differ: set the same key on both ({command})"
        ));
    }
    if !backends_agree(one, other) {
        let fix =
            "with externalTrafficPolicy Local both need the same policy and the same selector";
        obstacles.push(fix.to_owned());
    }
    (!obstacles.is_empty()).then_some(obstacles)
}
