//! Announcer to fact. Must not know whether the plugin exists or takes the configuration.
use outrigger_core::facts::{self, Fact, PluginRef};

use super::{Converted, Invalid, checked, name, selector};
use crate::crd::Announcer;

/// Converts an Announcer.
///
/// # Errors
/// The field that is wrong and the fix.
pub fn announcer(object: &Announcer) -> Result<Converted, Invalid> {
    let spec = &object.spec;
    let fact = facts::Announcer {
        name: name(&object.metadata)?,
        plugin: PluginRef {
            plugin: checked("spec.plugin", &spec.plugin, 63)?,
            config: spec.config.to_json(),
        },
        node_selector: selector("spec.nodeSelector", spec.node_selector.as_ref())?,
        interfaces: spec.interfaces.clone(),
        service_selector: selector("spec.serviceSelector", spec.service_selector.as_ref())?,
    };
    Ok(Fact::from(fact).into())
}
