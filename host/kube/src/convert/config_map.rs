//! Converts the ConfigMaps that Outrigger uses: delivered plugins, and the configuration of MetalLB 0.9. Every other
//! ConfigMap is ignored. This module must not know whether the bytes are a component.
use k8s_openapi::api::core::v1;
use outrigger_core::facts::{Component, Fact, FactKey, Plugin};

use super::{Converted, Invalid, Note, checked, key, metallb};

/// The label that marks a ConfigMap as a plugin. Its value is the plugin's name.
pub const PLUGIN_LABEL: &str = "outrigger.dev/plugin";
/// The keys that may hold the component. Its first bytes show whether it is compressed.
pub const PLUGIN_KEYS: [&str; 3] = ["plugin.wasm", "plugin.wasm.gz", "plugin.wasm.zst"];
/// Maximum size of a ConfigMap's data in bytes that the API server accepts (`MaxSecretSize` of its validation).
pub const LARGEST_CONFIG_MAP: usize = 1 << 20;
/// The key that is reserved for the name of a component in an OCI registry.
const IMAGE_KEY: &str = "image";

/// Converts a ConfigMap.
///
/// # Errors
/// Returns an error that names the invalid field and the fix.
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
    match component(object) {
        Ok((_, bytes)) => {
            let origin = format!("ConfigMap {key}");
            let component = Component::Inline(bytes.into());
            Ok(Fact::from(Plugin { name, origin, component }).into())
        }
        Err(unusable) => Ok(Converted {
            facts: Vec::new(),
            notes: vec![Note {
                instead_of: Some(FactKey::Plugin(name)),
                message: unusable.to_string(),
            }],
        }),
    }
}

/// Reason why a ConfigMap holds no component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The ConfigMap has none of the keys, or only empty values.
    #[error(
        "binaryData[plugin.wasm]: is empty: add the component, or a compressed one as plugin.wasm.gz or plugin.wasm.zst (kubectl create configmap NAME --from-file=plugin.wasm)"
    )]
    Empty,
    /// The ConfigMap has more than one of the keys.
    #[error("binaryData: holds {0} and {1}: remove one of the two")]
    Several(&'static str, &'static str),
    /// The ConfigMap refers to a component in an OCI registry.
    #[error(
        "data.image: a component in an OCI registry is not supported by this version: put it into binaryData[plugin.wasm.zst], which holds up to 1 MiB"
    )]
    Image,
}

/// Returns the component in a ConfigMap as it was delivered, and the key that holds it.
///
/// # Errors
/// Returns an error that describes the unusable content and the fix.
pub fn component(object: &v1::ConfigMap) -> Result<(&'static str, &[u8]), Unusable> {
    if object.data.as_ref().is_some_and(|data| data.contains_key(IMAGE_KEY)) {
        return Err(Unusable::Image);
    }
    let held = |key: &&'static str| {
        let bytes = &object.binary_data.as_ref()?.get(*key)?.0;
        (!bytes.is_empty()).then_some((*key, bytes.as_slice()))
    };
    let mut held = PLUGIN_KEYS.iter().filter_map(held);
    let first = held.next().ok_or(Unusable::Empty)?;
    match held.next() {
        Some((other, _)) => Err(Unusable::Several(first.0, other)),
        None => Ok(first),
    }
}
