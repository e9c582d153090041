//! ConfigMaps that mean something: a delivered plugin, and the configuration of MetalLB 0.9. Every other one is ignored.
//! Must not know whether the bytes are a component.
use k8s_openapi::api::core::v1;
use outrigger_core::facts::{Component, Fact, FactKey, Plugin};

use super::{Converted, Invalid, Note, checked, key, metallb};

/// The label that makes a ConfigMap a plugin, and names it.
pub const PLUGIN_LABEL: &str = "outrigger.dev/plugin";
/// The key that holds the component.
pub const PLUGIN_KEY: &str = "plugin.wasm";

/// Converts a ConfigMap.
///
/// # Errors
/// The field that is wrong and the fix.
pub fn config_map(object: &v1::ConfigMap) -> Result<Converted, Invalid> {
    let label = object.metadata.labels.as_ref().and_then(|labels| labels.get(PLUGIN_LABEL));
    if let Some(name) = label {
        return plugin(object, name);
    }
    let Some(text) = object.data.as_ref().and_then(|data| data.get(metallb::KEY)) else {
        return Ok(Converted::default());
    };
    if !metallb::recognises(text) {
        return Ok(Converted::default());
    }
    key(&object.metadata, 253)?;
    metallb::config(text)
}

fn plugin(object: &v1::ConfigMap, name: &str) -> Result<Converted, Invalid> {
    let key = key(&object.metadata, 253)?;
    let name = checked(&format!("metadata.labels[{PLUGIN_LABEL}]"), name, 63)?;
    let bytes = object.binary_data.as_ref().and_then(|data| data.get(PLUGIN_KEY));
    if let Some(bytes) = bytes.filter(|bytes| !bytes.0.is_empty()) {
        let origin = format!("ConfigMap {key}");
        let component = Component::Inline(bytes.0.as_slice().into());
        return Ok(Fact::from(Plugin { name, origin, component }).into());
    }
    let message = format!(
        "binaryData[{PLUGIN_KEY}]: holds nothing: put the component there, uncompressed (kubectl create configmap --from-file={PLUGIN_KEY})"
    );
    Ok(Converted {
        facts: Vec::new(),
        notes: vec![Note { instead_of: Some(FactKey::Plugin(name)), message }],
    })
}
