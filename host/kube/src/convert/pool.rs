//! Converts an AddressPool to a fact, and an active pool back to the spec that its status shows. This module must not know
//! other pools: `core` decides whether two overlap.
use outrigger_core::facts::{AddressRange, Fact, FailurePolicy, PluginRef, Pool};

use super::{Converted, Invalid, Note, checked, labels, name, ranges, selector};
use crate::crd::{self, AddressPool, AddressPoolSpec, AllocatorSpec, PluginConfig};

/// Converts an AddressPool. A pool that is being deleted drains. An invalid pool is replaced by its last valid spec, if its
/// status has one.
///
/// # Errors
/// Returns an error that names the invalid field and the fix.
pub fn address_pool(object: &AddressPool) -> Result<Converted, Invalid> {
    let last = object.status.as_ref().and_then(|status| status.last_valid.as_ref());
    let last_valid = last.and_then(|spec| pool(object, spec).ok()).map(Box::new);
    match (pool(object, &object.spec), last_valid) {
        (Ok(pool), last_valid) => Ok(Fact::from(Pool { last_valid, ..pool }).into()),
        (Err(invalid), Some(last)) => Ok(Converted {
            facts: vec![Fact::from(Pool { last_valid: Some(last.clone()), ..*last })],
            notes: vec![Note { instead_of: None, message: invalid.to_string() }],
        }),
        (Err(invalid), None) => Err(invalid),
    }
}

fn pool(object: &AddressPool, spec: &AddressPoolSpec) -> Result<Pool, Invalid> {
    if spec.addresses.is_empty() {
        return Err(Invalid::new(
            "spec.addresses",
            "is empty: add a CIDR (192.0.2.0/28) or a range",
        ));
    }
    Ok(Pool {
        name: name(&object.metadata)?,
        labels: labels(object.metadata.labels.as_ref()),
        addresses: ranges("spec.addresses", &spec.addresses)?,
        exclude: ranges("spec.exclude", &spec.exclude)?,
        auto_assign: spec.auto_assign,
        avoid_buggy_ips: spec.avoid_buggy_ips,
        priority: spec.priority,
        namespaces: spec.namespaces.iter().cloned().collect(),
        namespace_selector: match &spec.namespace_selector {
            Some(labels) => Some(selector("spec.namespaceSelector", Some(labels))?),
            None => None,
        },
        service_selector: selector("spec.serviceSelector", spec.service_selector.as_ref())?,
        allocator: PluginRef {
            plugin: checked("spec.allocator.plugin", &spec.allocator.plugin, 63)?,
            config: spec.allocator.config.to_json(),
        },
        failure_policy: match spec.allocator.failure_policy {
            crd::FailurePolicy::Wait => FailurePolicy::Wait,
            crd::FailurePolicy::NextPool => FailurePolicy::NextPool,
            crd::FailurePolicy::Builtin => FailurePolicy::Builtin,
        },
        announcers: spec.announcers.clone(),
        draining: object.metadata.deletion_timestamp.is_some(),
        last_valid: None,
    })
}

/// Returns the spec of a pool, from which [`address_pool`] makes the same pool again.
pub fn pool_spec(pool: &Pool) -> AddressPoolSpec {
    let lines = |ranges: &[AddressRange]| ranges.iter().map(AddressRange::to_string).collect();
    let selects = !pool.service_selector.is_empty();
    AddressPoolSpec {
        addresses: lines(&pool.addresses),
        exclude: lines(&pool.exclude),
        auto_assign: pool.auto_assign,
        avoid_buggy_ips: pool.avoid_buggy_ips,
        priority: pool.priority,
        namespaces: pool.namespaces.iter().cloned().collect(),
        namespace_selector: pool.namespace_selector.as_ref().map(Into::into),
        service_selector: selects.then(|| (&pool.service_selector).into()),
        allocator: AllocatorSpec {
            plugin: pool.allocator.plugin.clone(),
            // The text was an object when it was read.
            config: PluginConfig(serde_json::from_str(&pool.allocator.config).unwrap_or_default()),
            failure_policy: match pool.failure_policy {
                FailurePolicy::Wait => crd::FailurePolicy::Wait,
                FailurePolicy::NextPool => crd::FailurePolicy::NextPool,
                FailurePolicy::Builtin => crd::FailurePolicy::Builtin,
            },
        },
        announcers: pool.announcers.clone(),
    }
}
