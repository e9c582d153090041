//! Converts Kubernetes objects to facts, one file per kind, independent of their source. Pure. This module must not know
//! files or the API server; what cannot be converted is returned as a value that names the field and the fix.
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use outrigger_core::facts::{
    AddressRange, Fact, FactKey, Labels, RangeError, Selector, ServiceKey,
};

use crate::crd::LabelSelector;

mod announcer;
mod classes;
mod config_map;
mod delivery;
mod endpoints;
mod metallb;
mod namespace;
mod node;
mod plugin;
mod pool;
mod service;
mod status;
mod wanted;

pub use announcer::announcer;
pub use classes::{LOAD_BALANCER_CLASS, ServiceClasses};
pub use config_map::{
    LARGEST_CONFIG_MAP, PLUGIN_KEYS, PLUGIN_LABEL, Unusable, component, config_map,
};
pub use delivery::{Delivery, delivery};
pub use endpoints::endpoint_slice;
pub(crate) use metallb::{
    KEY as METALLB_KEY, MetallbPool, recognises as recognises_metallb, sections as metallb_sections,
};
pub use namespace::namespace;
pub use node::node;
pub use plugin::{copy_name, kept, plugin, record};
pub use pool::{address_pool, pool_spec};
pub use service::{ALLOCATED, service, unclear_service};
pub(crate) use service::{OWN_ANNOTATIONS, ingress};
pub use status::ingress_of;

/// The namespace of objects that name none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The result of converting one object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Converted {
    /// The facts; empty if Outrigger does not use the object.
    pub facts: Vec<Fact>,
    /// Notes for the user.
    pub notes: Vec<Note>,
}

/// A part of an object that did not become a fact, although the rest of the object did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The key of the fact that is missing: its previous value is kept. `None` if no fact is missing.
    pub instead_of: Option<FactKey>,
    /// Explanation of the problem and how to fix it.
    pub message: String,
}

/// Reason why an object could not be converted. Its previous facts are kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// The path of the field, such as "spec.addresses\[0\]".
    pub field: String,
    /// Explanation of the problem and how to fix it.
    pub problem: String,
}

impl Invalid {
    fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

impl From<Fact> for Converted {
    fn from(fact: Fact) -> Self {
        Self { facts: vec![fact], notes: Vec::new() }
    }
}

/// Returns true if Kubernetes accepts this name. Names become file names in the state folder, so that no other name may pass.
pub(crate) fn is_name(name: &str, longest: usize) -> bool {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.';
    let outer = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = name.as_bytes();
    bytes.len() <= longest
        && bytes.iter().copied().all(inner)
        && outer(bytes.first())
        && outer(bytes.last())
}

fn checked(field: &str, name: &str, longest: usize) -> Result<String, Invalid> {
    if is_name(name, longest) {
        return Ok(name.to_owned());
    }
    let problem = format!(
        "{name:?} is not a name: use at most {longest} lower-case letters, digits, '-' and '.', a letter or digit at both ends"
    );
    Err(Invalid::new(field, problem))
}

/// Returns the name of a cluster-scoped object (RFC 1123 subdomain, as in Kubernetes).
fn name(meta: &ObjectMeta) -> Result<String, Invalid> {
    checked("metadata.name", meta.name.as_deref().unwrap_or_default(), 253)
}

/// Returns namespace and name; a namespace is a label of at most 63 bytes.
fn key(meta: &ObjectMeta, longest: usize) -> Result<ServiceKey, Invalid> {
    let namespace = meta.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE);
    Ok(ServiceKey::new(
        &checked("metadata.namespace", namespace, 63)?,
        &checked("metadata.name", meta.name.as_deref().unwrap_or_default(), longest)?,
    ))
}

fn labels(map: Option<&BTreeMap<String, String>>) -> Labels {
    map.cloned().unwrap_or_default()
}

fn selector(field: &str, selector: Option<&LabelSelector>) -> Result<Selector, Invalid> {
    let Some(selector) = selector else { return Ok(Selector::default()) };
    selector.try_into().map_err(|error| Invalid::new(field, format!("{error}")))
}

fn ranges(field: &str, lines: &[String]) -> Result<Vec<AddressRange>, Invalid> {
    let line = |(at, line): (usize, &String)| {
        line.parse().map_err(|error: RangeError| {
            let fix = match &error {
                RangeError::Address { .. } => {
                    ": write a CIDR (192.0.2.0/28) or a range (192.0.2.1-192.0.2.9)"
                }
                _ => "",
            };
            Invalid::new(format!("{field}[{at}]"), format!("{error}{fix}"))
        })
    };
    lines.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests;
