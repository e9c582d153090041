//! AddressPool to fact. Must not know other pools: whether two overlap is `core`'s question.
use outrigger_core::facts::{Fact, PluginRef, Pool};

use super::{Converted, Invalid, checked, labels, name, ranges, selector};
use crate::crd::AddressPool;

/// Converts an AddressPool. One that is being deleted drains.
///
/// # Errors
/// The field that is wrong and the fix.
pub fn address_pool(object: &AddressPool) -> Result<Converted, Invalid> {
    let spec = &object.spec;
    if spec.addresses.is_empty() {
        return Err(Invalid::new(
            "spec.addresses",
            "is empty: add a CIDR (192.0.2.0/28) or a range",
        ));
    }
    let fact = Pool {
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
        announcers: spec.announcers.clone(),
        draining: object.metadata.deletion_timestamp.is_some(),
    };
    Ok(Fact::from(fact).into())
}
