//! Converts a Node to a fact. This module must not know which node it runs on.
use k8s_openapi::api::core::v1;
use outrigger_core::facts::{Fact, Node};

use super::{Converted, Invalid, labels, name};

/// Label of a node that takes no traffic from outside (KEP-1143).
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Taint of a node that is shut down or considered so (KEP-2268).
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// Converts a Node.
///
/// # Errors
/// Returns an error that names the invalid field and the fix.
pub fn node(object: &v1::Node) -> Result<Converted, Invalid> {
    let status = object.status.clone().unwrap_or_default();
    let mut addresses = Vec::new();
    for (at, address) in status.addresses.iter().flatten().enumerate() {
        if address.type_ != "InternalIP" {
            continue;
        }
        let field = format!("status.addresses[{at}].address");
        let problem = || format!("{:?} is not an IP address: correct it", address.address);
        addresses.push(address.address.parse().map_err(|_| Invalid::new(field, problem()))?);
    }
    let is = |kind: &str| {
        let mut conditions = status.conditions.iter().flatten();
        conditions
            .find(|condition| condition.type_ == kind)
            .map(|condition| condition.status == "True")
    };
    let labels = labels(object.metadata.labels.as_ref());
    let spec = object.spec.clone().unwrap_or_default();
    let out_of_service = spec.taints.iter().flatten().any(|taint| taint.key == OUT_OF_SERVICE);
    let annotations = object.metadata.annotations.iter().flatten();
    let ours = annotations.filter(|(key, _)| key.starts_with("outrigger.dev/"));
    let annotations = ours.map(|(key, value)| (key.clone(), value.clone())).collect();
    let fact = Node {
        name: name(&object.metadata)?,
        excluded: labels.contains_key(EXCLUDE),
        labels,
        annotations,
        addresses,
        network_available: is("NetworkUnavailable") != Some(true),
        ready: is("Ready") != Some(false),
        cordoned: spec.unschedulable == Some(true) || out_of_service,
    };
    Ok(Fact::from(fact).into())
}
