//! Converts an EndpointSlice to a fact. This module must not know the Service that the slice belongs to.
use k8s_openapi::api::discovery::v1;
use outrigger_core::facts::{Endpoint, Endpoints, Fact, ServiceKey};
use outrigger_sdk::Family;

use super::{Converted, Invalid, key};

/// The label that names the Service of a slice.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Converts an EndpointSlice. A slice that belongs to no Service, or has no IP addresses, becomes no fact.
///
/// # Errors
/// Returns an error that names the invalid field and the fix.
pub fn endpoint_slice(object: &v1::EndpointSlice) -> Result<Converted, Invalid> {
    let slice = key(&object.metadata, 253)?;
    let label = object.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME));
    let Some(service) = label.filter(|name| !name.is_empty()) else {
        return Ok(Converted::default());
    };
    let family = match object.address_type.as_str() {
        "IPv4" => Family::Ipv4,
        "IPv6" => Family::Ipv6,
        // FQDN: kube-proxy sends no traffic to such endpoints.
        _ => return Ok(Converted::default()),
    };
    let fact = Endpoints {
        service: ServiceKey::new(slice.namespace(), service),
        slice,
        family,
        endpoints: object.endpoints.iter().map(endpoint).collect(),
    };
    Ok(Fact::from(fact).into())
}

/// Converts an endpoint. Absent conditions have the API's defaults: ready, serving equal to ready, not terminating.
fn endpoint(endpoint: &v1::Endpoint) -> Endpoint {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    Endpoint {
        node: endpoint.node_name.clone(),
        ready,
        serving: conditions.serving.unwrap_or(ready),
        terminating: conditions.terminating.unwrap_or(false),
    }
}
